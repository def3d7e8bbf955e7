/** Fails when a package imports what its package.json does not declare, or declares what it does not import. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { findUndeclared } from './declared.ts'
import { readManifests, readSources } from './sources.ts'

const root = join(import.meta.dirname, '..', '..')
const problems = findUndeclared(readManifests(root), readSources(root), isUsed)
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

/** Whether the workspace uses what it does not import: a program, Node's types, or what a config names. */
function isUsed(name: string): boolean {
  if (name === '@types/node') return true
  const manifest = join(root, 'node_modules', name, 'package.json')
  if (existsSync(manifest) && 'bin' in JSON.parse(readFileSync(manifest, 'utf8'))) return true
  return readdirSync(root)
    .filter((file) => /\.(?:jsonc?|ya?ml|[cm]?js)$/.test(file) && !/^package(-lock)?\./.test(file))
    .filter((file) => statSync(join(root, file)).isFile())
    .some((file) => readFileSync(join(root, file), 'utf8').includes(name))
}
