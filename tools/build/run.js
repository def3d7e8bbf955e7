/**
 * Runs a program of this workspace, compiled:
 *
 *   node tools/build/run.js packages/vm/scripts/create.ts --dry-run
 *
 * A compiled program starts in 0.1 s, while tsx needs 0.65 s to load its sources, and cluster:up is ten
 * programs. Compiled programs are in dist/programs/<state of the sources>/; compile.ts writes a new folder
 * when a source has changed, so that a running program keeps its own.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** The folders that contain sources: the workspaces of package.json. */
function sourceFolders() {
  const { workspaces } = /** @type {{ workspaces: string[] }} */ (
    JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  )
  return workspaces
    .map((pattern) => pattern.replace('/*', ''))
    .filter((folder) => existsSync(join(root, folder)))
}

/** A hash of the names, sizes and times of all sources. */
function stateOfSources() {
  const hash = createHash('sha256')
  const add = (/** @type {string} */ name) => {
    const { size, mtimeMs } = statSync(join(root, name))
    hash.update(`${name} ${size} ${mtimeMs}\n`)
  }
  add('package-lock.json')
  for (const folder of sourceFolders())
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }))
      if (name.endsWith('.ts') && !/(?:^|\/)(?:test|e2e[^/]*)\//.test(name)) add(join(folder, name))
  return hash.digest('hex').slice(0, 16)
}

const [source = '', ...args] = process.argv.slice(2)
const out = join(root, 'dist', 'programs', stateOfSources())
if (!existsSync(out)) {
  const compile = join(import.meta.dirname, 'compile.ts')
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', compile, out], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status !== 0) {
    console.error(`could not compile ${source}; run it from its source: npx tsx ${source}`)
    process.exit(status ?? 1)
  }
}
try {
  // Marks the folder as used: compile.ts removes folders that were not used for a day.
  utimesSync(out, new Date(), new Date())
} catch {
  // Another user owns the folder, for example root.
}
const program = join(out, relative(root, resolve(source)).replace(/\.ts$/, '.js'))
process.argv = [process.execPath, program, ...args]
await import(program)
