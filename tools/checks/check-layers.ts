/** Fails when an import goes against the layers, or around an entry. Reads Nx' graph and the sources. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forbiddenImports, trespasses, type ProjectGraph } from './layers.ts'
import { readManifests, readSources } from './sources.ts'

const root = join(import.meta.dirname, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'talosmith-graph-'))
try {
  const file = join(folder, 'graph.json')
  execFileSync('npx', ['nx', 'graph', `--file=${file}`], { stdio: ['ignore', 'ignore', 'inherit'] })
  const { graph } = JSON.parse(readFileSync(file, 'utf8')) as { graph: ProjectGraph }
  const faults = [...forbiddenImports(graph), ...trespasses(readManifests(root), readSources(root))]
  for (const fault of faults) console.error(fault)
  if (faults.length > 0)
    console.error(
      'Parts get what they need from another as a value from core; see docs/architecture.md.',
    )
  process.exitCode = faults.length > 0 ? 1 : 0
} finally {
  rmSync(folder, { recursive: true })
}
