/**
 * Measures the overhead of cluster:up in the lab: relative to boot, etcd and API server (goal: at most 10 %), of
 * a run that changes nothing (goal: at most 5 s), and the peak memory of each stage's program (goal: at most
 * 150 MiB).
 *
 * The machines' time, by the run records, is the time from a machine's start until Talos answers, and all other
 * times at which a stage waited for machines; overlaps count once. The rest is overhead: Nx, start-up of
 * programs, SSH, virsh, talosctl. Storage and image download have their own benches and are excluded.
 * The lab shares its processors with the programs that are measured, so all shares are larger than with KVM.
 *
 * Destroys and recreates the lab's cluster:  CONFIRM=lab npm run bench -- cluster-up
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { boots, coveredSeconds, readRecords, waits } from './support/run-record.ts'

if (process.env['CONFIRM'] !== 'lab') {
  console.log("this destroys the lab's cluster; run it with CONFIRM=lab")
  process.exit(0)
}
const env = { ...process.env, CLUSTER: 'lab', NX_TUI: 'false' }
const generated = join(projectRoot, 'generated', 'lab')
const started = (
  command: string,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): number => {
  const from = performance.now()
  const { status, stderr, stdout } = spawnSync(command, args, {
    cwd: projectRoot,
    env: { ...env, ...more },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status}\n${stdout}${stderr}`)
  return (performance.now() - from) / 1000
}
const nx = (target: string, more: NodeJS.ProcessEnv = {}): number =>
  started('npx', ['nx', 'run', target], more)

nx('lab:start')
for (const name of ['destroy', 'remove-seeds'])
  started('npx', ['tsx', `packages/vm/scripts/${name}.ts`, '--cluster', 'lab'])
rmSync(generated, { recursive: true, force: true })

nx('image:download')
const wall = nx('cluster:up', { NFS_SERVER: '' })
const events = readRecords(generated).flat()
const machines = coveredSeconds([...boots(events), ...waits(events)])
const ours = wall - machines
console.log(`cluster:up            ${wall.toFixed(0)} s`)
console.log(`  machines            ${machines.toFixed(0)} s`)
console.log(`  ours                ${ours.toFixed(1)} s, ${percent(ours / machines)} (goal: 10 %)`)

nx('cluster:up')
const again = Array.from({ length: 3 }, () => nx('cluster:up'))
console.log(`nothing to do         ${Math.min(...again).toFixed(1)} s, best of three (goal: 5 s)`)

const scratch = temporaryFolder('bench')
const stages = {
  'image:build': 'packages/image/scripts/build.ts',
  'image:download': 'packages/image/scripts/download.ts',
  'vm:create': 'packages/vm/scripts/create.ts',
  'bootstrap:configure': 'packages/bootstrap/scripts/configure.ts',
  'bootstrap:start': 'packages/bootstrap/scripts/start.ts',
  'bootstrap:health': 'packages/bootstrap/scripts/health.ts',
  'storage:install': 'packages/storage/scripts/install.ts',
  'storage:verify': 'packages/storage/scripts/verify.ts',
  'vm:status': 'packages/vm/scripts/status.ts',
}
for (const [name, path] of Object.entries(stages)) {
  const file = join(scratch, name.replace(':', '-'))
  const note = `import{writeFileSync as w}from'node:fs';process.on('exit',()=>w(process.env.PEAK,String(process.resourceUsage().maxRSS)))`
  const hook = `data:text/javascript,${encodeURIComponent(note)}`
  const seconds = started('node', ['--import', hook, 'tools/build/run.js', path], { PEAK: file })
  const mib = Number(readFileSync(file, 'utf8')) / 1024
  console.log(
    `${name.padEnd(21)} ${mib.toFixed(0)} MiB at most (goal: 150), ${seconds.toFixed(1)} s`,
  )
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(0)} %`
}
