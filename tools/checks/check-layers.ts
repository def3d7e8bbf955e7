/** Fails if an import violates the layers, or is a path into another project. Reads Nx' graph and the sources. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forbiddenImports, bypassingImports, type ProjectGraph } from './layers.ts'
import { readManifests, readSources } from './sources.ts'

const root = join(import.meta.dirname, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'talosmith-graph-'))
try {
  const file = join(folder, 'graph.json')
  execFileSync('npx', ['nx', 'graph', `--file=${file}`], { stdio: ['ignore', 'ignore', 'inherit'] })
  const { graph } = JSON.parse(readFileSync(file, 'utf8')) as { graph: ProjectGraph }
  const problems = [
    ...forbiddenImports(graph),
    ...bypassingImports(readManifests(root), readSources(root)),
  ]
  for (const problem of problems) console.error(problem)
  if (problems.length > 0)
    console.error('A part gets values of another part from core; see docs/architecture.md.')
  process.exitCode = problems.length > 0 ? 1 : 0
} finally {
  rmSync(folder, { recursive: true })
}
