/**
 * Runs the life of a cluster with the project's own commands, from its creation on an older Talos version to its
 * removal, and writes a record of it for docs/compatibility.md. The place is that of env/<cluster>.env; the cluster must not
 * exist yet, and is destroyed at the end. After a failure it stays as it is.
 *
 *   npx tsx tools/e2e.ts <cluster> --from v1.12.11 [--from-kubernetes v1.35.4] [--record e2e.json]
 */
import { existsSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { generatedFiles, loadCluster, Problem, projectRoot, reasonOf } from '@talosmith/core'
import { patchPath, runSteps, stepsOf } from './e2e/life.ts'
import { describeHost, describeRun, rowOf } from './e2e/record.ts'
import { stagesFor } from './e2e/versions.ts'
import { openWorld } from './e2e/world.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    from: { type: 'string' },
    'from-kubernetes': { type: 'string' },
    record: { type: 'string', default: 'e2e.json' },
  },
})
const [file] = positionals
try {
  if (file === undefined || values.from === undefined)
    throw new Error('usage: npx tsx tools/e2e.ts <cluster> --from <Talos version>')
  process.exitCode = await run(file, values.from)
} catch (error) {
  console.error(reasonOf(error))
  if (error instanceof Problem && error.hint) console.error(error.hint)
  process.exitCode = 78
}

/** Returns the exit code: 1 when a step failed. */
async function run(name: string, from: string): Promise<number> {
  const { cluster } = await loadCluster(projectRoot, name, process.env)
  const stages = stagesFor(cluster, from, values['from-kubernetes'])
  for (const path of [generatedFiles(cluster).path('secrets.yaml'), patchPath(cluster)])
    if (existsSync(path))
      throw new Error(`${path} exists: this run needs a cluster of its own. Nothing was changed.`)
  const steps = await runSteps(stepsOf(cluster, stages), openWorld(cluster), console.log)
  const record = describeRun(cluster, stages, await describeHost(cluster), steps, process.env)
  writeFileSync(values.record, `${JSON.stringify(record, undefined, 2)}\n`)
  console.log('')
  for (const { step, outcome, because, seconds } of steps)
    console.log([outcome, step, seconds && `${seconds} s`, because].filter(Boolean).join('  '))
  console.log(`record: ${values.record}, and its row for docs/compatibility.md:\n${rowOf(record)}`)
  return steps.some(({ outcome }) => outcome === 'failed') ? 1 : 0
}
