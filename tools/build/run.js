/**
 * Runs a program of this workspace, compiled:
 *
 *   node tools/build/run.js packages/vm/scripts/create.ts --dry-run
 *
 * Compiled it is under way after 0.1 s, where tsx needs 0.65 s to load its sources, and cluster:up is ten
 * programs. What was compiled lies in dist/programs/<state of the sources>/, and is made anew by compile.ts
 * when a source has changed; a program that still runs keeps its own folder.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** Where sources are: every folder of a workspace of package.json. */
function sourceFolders() {
  const { workspaces } = /** @type {{ workspaces: string[] }} */ (
    JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  )
  return workspaces
    .map((pattern) => pattern.replace('/*', ''))
    .filter((folder) => existsSync(join(root, folder)))
}

/** Changes with every source: names, sizes and times. */
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
  // Folders that nobody has used for a day go when the next one is made.
  utimesSync(out, new Date(), new Date())
} catch {
  // Somebody else's, for example root's.
}
const program = join(out, relative(root, resolve(source)).replace(/\.ts$/, '.js'))
process.argv = [process.execPath, program, ...args]
await import(program)
