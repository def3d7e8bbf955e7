/**
 * Measures storage:install in the lab: helm, the rollout, the first claim, and the rest, which is overhead.
 * Needs the lab's cluster (npx nx run cluster:up); uninstalls its storage and installs it again:
 *
 *   CONFIRM=lab npm run bench -- storage
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { coveredSeconds, readRecords, waits } from './support/run-record.ts'

if (process.env['CONFIRM'] !== 'lab') {
  console.log("this uninstalls the storage of the lab's cluster; run it with CONFIRM=lab")
  process.exit(0)
}
const run = (script: string): number => {
  const from = performance.now()
  const path = `packages/storage/scripts/${script}.ts`
  const { status, stderr } = spawnSync('node', ['--import', 'tsx', path, '--cluster', 'lab'], {
    cwd: projectRoot,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${path}: ${status}\n${stderr}`)
  return (performance.now() - from) / 1000
}
run('uninstall')
const wall = run('install')
const events = readRecords(join(projectRoot, 'generated', 'lab')).at(-1) ?? []
const step = (words: RegExp): number =>
  events.find(({ event, text = '' }) => event === 'done' && words.test(text))?.seconds ?? 0

const rollout = coveredSeconds(waits(events, /the NFS driver to run/))
const helm = step(/^Install the NFS driver/) + step(/^Look up chart/) - rollout
const checks = coveredSeconds(waits(events, /to answer every node|every node to write/))
const claim = coveredSeconds(waits(events, /the claim to be bound/))
const pods = coveredSeconds(waits(events, /to write through a claim|to read it/))
const removal = coveredSeconds(waits(events, /to remove the test's sub-directory/))
const ours = wall - rollout - helm - checks - claim - pods - removal
for (const [what, seconds] of Object.entries({
  'storage:install': wall,
  '  helm': helm,
  '  rollout': rollout,
  '  nodes checked': checks,
  '  first claim bound': claim,
  '  written and read': pods,
  '  folder removed': removal,
  '  ours': ours,
}))
  console.log(
    `${what.padEnd(22)}${seconds.toFixed(1).padStart(6)} s ${((seconds / wall) * 100).toFixed(0).padStart(4)} %`,
  )
console.log(`no change             ${run('install').toFixed(1).padStart(6)} s`)
