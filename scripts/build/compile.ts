/**
 * Compiles every program into dist/programs, with what they share in chunks. A compiled program is under way
 * after 0.15 s, where tsx needs 0.65 s to load its sources, and cluster:up is ten programs. Nx runs this when
 * a source has changed; see docs/decisions/compiled-programs.md.
 */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { build } from 'esbuild'

const out = join(projectRoot, 'dist', 'programs')

const folders = ['scripts', 'lab/scripts']
for (const part of await readdir(join(projectRoot, 'packages')))
  folders.push(`packages/${part}/scripts`)
const programs: string[] = []
for (const folder of folders)
  for (const name of await readdir(join(projectRoot, folder)))
    if (name.endsWith('.ts')) programs.push(join(folder, name))

const { outputFiles } = await build({
  absWorkingDir: projectRoot,
  entryPoints: programs,
  outbase: '.',
  outdir: out,
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  write: false,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Half as much to read; names stay for those who read a stack.
  minifyWhitespace: true,
  minifySyntax: true,
  // They look for files beside themselves.
  external: ['node-ssh', 'ssh2', 'tsx'],
  // Libraries written for CommonJS call require.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
})

// Chunks first, and each file at once: another run may be about to load them.
for (const { path, contents } of outputFiles.sort((a, b) => a.path.localeCompare(b.path))) {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.${process.pid}`, contents)
  await rename(`${path}.${process.pid}`, path)
}
const made = new Set(outputFiles.map(({ path }) => relative(out, path)))
for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
  const path = relative(out, join(entry.parentPath, entry.name))
  if (entry.isFile() && !made.has(path)) await rm(join(out, path))
}
