/** Compiles every program into a folder (the only argument), with shared code in chunks. Called by run.js. */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { build } from 'esbuild'

const dayMs = 24 * 60 * 60 * 1000

/** All files that are programs, relative to the project's root. */
async function listPrograms(): Promise<string[]> {
  const { workspaces } = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8')) as {
    workspaces: string[]
  }
  const list = async (folder: string): Promise<string[]> =>
    // Not every project has programs.
    (await readdir(join(projectRoot, folder)).catch(() => [])).map((name) => join(folder, name))
  const projects = await Promise.all(
    workspaces.map(async (pattern) =>
      pattern.endsWith('/*') ? list(dirname(pattern)) : [pattern],
    ),
  )
  const listed = await Promise.all(
    projects
      .flat()
      .flatMap((project) => [
        ...(basename(project) === 'scripts' ? [list(project)] : []),
        ...[list(join(project, 'scripts'))],
      ]),
  )
  return listed.flat().filter((name) => name.endsWith('.ts'))
}

async function compile(out: string): Promise<void> {
  // Written under a temporary name first: programs may start in parallel.
  const folder = `${out}.${process.pid}`
  const { outputFiles } = await build({
    absWorkingDir: projectRoot,
    entryPoints: await listPrograms(),
    outbase: '.',
    outdir: folder,
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Half as much to load; names are kept for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    // They load files from their own folder.
    external: ['node-ssh', 'ssh2', 'tsx'],
    // Libraries written for CommonJS call require.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  })
  for (const { path, contents } of outputFiles) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, contents)
  }
  await rename(folder, out).catch(async () => {
    // Another run compiled the same sources first.
    await stat(out)
    await rm(folder, { recursive: true })
  })
}

/** Removes compiled programs of earlier sources, unless they were used within a day: they may still run. */
async function removeOthers(out: string): Promise<void> {
  const all = dirname(out)
  for (const name of await readdir(all)) {
    const path = join(all, name)
    // Another run may have removed the folder in the meantime.
    const usedMs = (await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now()
    if (path !== out && Date.now() - usedMs > dayMs)
      await rm(path, { recursive: true, force: true })
  }
}

const [out] = process.argv.slice(2)
if (out === undefined) {
  console.error(`usage: tsx ${relative(projectRoot, import.meta.filename)} <folder>`)
  process.exitCode = 64
} else {
  await compile(out)
  await removeOthers(out)
}
