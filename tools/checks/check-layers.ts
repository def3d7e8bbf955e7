/** Fails when an import goes against the layers: flow -> part -> core, lab -> core. Reads Nx' graph. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forbiddenImports, type ProjectGraph } from './layers.ts'

const folder = mkdtempSync(join(tmpdir(), 'talosmith-graph-'))
try {
  const file = join(folder, 'graph.json')
  execFileSync('npx', ['nx', 'graph', `--file=${file}`], { stdio: ['ignore', 'ignore', 'inherit'] })
  const { graph } = JSON.parse(readFileSync(file, 'utf8')) as { graph: ProjectGraph }
  const faults = forbiddenImports(graph)
  for (const fault of faults) console.error(fault)
  if (faults.length > 0)
    console.error(
      'Parts get what they need from another as a value from core; see docs/architecture.md.',
    )
  process.exitCode = faults.length > 0 ? 1 : 0
} finally {
  rmSync(folder, { recursive: true })
}
