/**
 * Measures an upgrade of Talos in the lab: the time per machine, split into install, drain, restart and prove;
 * the overhead, which is everything except waits for machines and their own work: to install, to apply a
 * config, to back up etcd (goal: at most 10 %); and three workers one at a time against three at once. A
 * condition is met between two polls: half a polling interval of every wait counts as overhead.
 *
 * Destroys and recreates the lab's cluster:  CONFIRM=lab npm run bench -- upgrade
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import {
  coveredSeconds,
  pausedSeconds,
  readRecords,
  steps,
  waits,
  type Event,
} from './support/run-record.ts'

if (process.env['CONFIRM'] !== 'lab') {
  console.log("this destroys the lab's cluster; run it with CONFIRM=lab")
  process.exit(0)
}
const generated = join(projectRoot, 'generated', 'lab')
const older = { WORKER_COUNT: '3', TALOS_VERSION: 'v1.13.8', NFS_SERVER: '' }
const newer = { ...older, TALOS_VERSION: 'v1.13.9' }

function run(
  command: string,
  args: readonly string[],
  settings: NodeJS.ProcessEnv,
  wanted = 0,
): number {
  const from = performance.now()
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: projectRoot,
    env: { ...process.env, CLUSTER: 'lab', NX_TUI: 'false', ...settings },
    encoding: 'utf8',
  })
  if (status !== wanted)
    throw new Error(`${command} ${args.join(' ')}: ${status}\n${stdout}${stderr}`)
  return (performance.now() - from) / 1000
}

/** Upgrades, and returns its duration in seconds and the events of its run record. */
function upgrade(settings: NodeJS.ProcessEnv): { wall: number; events: Event[] } {
  run('npx', ['nx', 'run', 'image:warm-installer'], settings)
  // Started as Nx does; the first start compiles changed sources. Exit code 2: the plan has changes.
  const program = ['tools/build/run.js', 'scripts/upgrade-talos.ts']
  run('node', [...program, '--dry-run'], settings, 2)
  const wall = run('node', program, settings)
  return { wall, events: readRecords(generated).at(-1) ?? [] }
}

run('npx', ['nx', 'run', 'lab:start'], {})
for (const name of ['destroy', 'remove-seeds'])
  run('npx', ['tsx', `packages/vm/scripts/${name}.ts`], older)
rmSync(generated, { recursive: true, force: true })
run('npx', ['nx', 'run', 'cluster:up'], older)

const { wall, events } = upgrade(newer)
const parts = { install: /^Install/, drain: /^Drain/, restart: /^Restart/, verify: /^Verify/ }
for (const [name, text] of Object.entries(parts)) {
  const each = steps(events, text).map(([from, to]) => to - from)
  const mean = each.reduce((sum, one) => sum + one, 0) / Math.max(1, each.length)
  console.log(`${name.padEnd(10)} ${mean.toFixed(1)} s a machine, of ${each.length}`)
}
const polling = pausedSeconds(events)
const theirs = coveredSeconds([
  ...waits(events),
  ...steps(events, /^(?:Install|Back up etcd|Change the machine config)/),
])
const share = (seconds: number): string => `${((100 * seconds) / wall).toFixed(0)} %`
console.log(`upgrade    ${wall.toFixed(0)} s`)
console.log(`  ours     ${share(wall - theirs + polling)} (goal: 10 %)`)
console.log(`  of it    ${share(polling)} polling, ${share(wall - theirs)} queries and planning`)

const workers = (records: readonly Event[]): number =>
  coveredSeconds(steps(records, /^(?:Install|Drain|Restart|Verify).* lab-w\d/))
// Another kernel argument is another schematic: every machine restarts once more.
const together = upgrade({
  ...newer,
  TALOS_KERNEL_ARGS: 'lab.bench=1',
  UPGRADE_WORKERS_AT_ONCE: '3',
})
const ratio = workers(events) / workers(together.events)
console.log(`3 workers  ${ratio.toFixed(1)} times as fast at once as one by one`)
