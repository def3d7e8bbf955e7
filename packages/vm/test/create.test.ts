import { clusterIdFile, Problem, silentLog, type Change, type Cluster } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import create from '../scripts/create.ts'
import { recreateMachines } from '../src/recreate.ts'
import { domainXml, fakeHost, ownCluster, seedLine } from './fake-host.ts'
import { clusterId, pool } from './observed-hosts.ts'

const settings = { WORKER_COUNT: '0', LIBVIRT_URI: 'qemu+ssh://root@kvm1/system' }
const restoring = { 'restoring.json': '{"backup":"etcd-a.db"}' }
const regenerating = (machinesAreNew: boolean) => ({
  'regenerating.json': JSON.stringify({ archive: 'archive/then', machinesAreNew }),
})

/** The lines of the observing command about the disk and the seed ISO of home-cp1. */
function filesOf(cluster: Cluster): string[] {
  return [
    `disk 2048 ${Buffer.alloc(4096).toString('base64')} ${pool}/home-cp1.qcow2`,
    seedLine(cluster, clusterId),
  ]
}

/** Runs `work` on a host with or without home-cp1; returns its problem, its plan and the commands that change something. */
async function run(
  work: typeof create.run,
  {
    files,
    dryRun = false,
    hasMachine = false,
    hasDisk = hasMachine,
    hasSeed = hasDisk,
  }: {
    readonly files: Readonly<Record<string, string>>
    readonly dryRun?: boolean
    readonly hasMachine?: boolean
    readonly hasDisk?: boolean | undefined
    readonly hasSeed?: boolean | undefined
  },
) {
  const cluster = ownCluster(settings, { [clusterIdFile]: clusterId, ...files })
  const xml = domainXml(cluster, 'home-cp1').replace(
    'state="created"',
    `state="${hasDisk ? 'created' : 'none'}"`,
  )
  const host = fakeHost({
    domains: hasMachine ? { 'home-cp1': xml } : {},
    files: filesOf(cluster).filter((line) => (line.startsWith('seed') ? hasSeed : hasDisk)),
    virsh: { domstats: "Domain: 'home-cp1'\n  state.state=5\n" },
  })
  const planned: Change[] = []
  const problem = await work({
    ...{ cluster, log: silentLog, dryRun, hosts: async () => [host], confirm: () => undefined },
    showPlan: (changes: readonly Change[]) => (planned.push(...changes), 2 as const),
  } as never).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  return { problem, kinds: planned.map(({ kind }) => kind), changing: host.commands.slice(2) }
}

for (const [code, files] of [
  ['RESTORE_UNFINISHED', restoring],
  ['REGENERATION_UNFINISHED', regenerating(false)],
] as const)
  for (const [title, host] of Object.entries({
    'no machine': { hasMachine: false },
    'a machine without its disk': { hasMachine: true, hasDisk: false },
    'a machine without its seed ISO': { hasMachine: true, hasSeed: false },
  }))
    test(`${code}, with ${title}: no empty one is created, and none is planned`, async () => {
      for (const dryRun of [false, true]) {
        const { problem, kinds, changing } = await run(create.run, { files, dryRun, ...host })
        assert.is(problem?.code, code)
        assert.match(problem?.hint ?? '', 'CONFIRM=home CLUSTER=home npx nx run cluster:re')
        assert.equal([kinds, changing], [[], []])
      }
    })

test('a machine that exists is started also while a restore is unfinished', async () => {
  const { problem, kinds } = await run(create.run, {
    ...{ files: restoring, hasMachine: true, dryRun: true },
  })
  assert.is(problem, undefined)
  assert.ok(kinds.includes('start-domain'))
})

test('a regeneration whose machines are new stops no machine from being created', async () => {
  const files = regenerating(true)
  const { problem, kinds } = await run(create.run, { files, dryRun: true })
  assert.is(problem, undefined)
  assert.ok(kinds.includes('create-disk'))
})

test('the flows that were stopped create their machines themselves', async () => {
  const recreate: typeof create.run = (context) => recreateMachines(context, new Set(['home-cp1']))
  for (const files of [restoring, regenerating(false)]) {
    const { problem, changing } = await run(recreate, { files })
    assert.is(problem, undefined)
    assert.match(changing.join('\n'), 'pool_overlay')
  }
})

test.run()
