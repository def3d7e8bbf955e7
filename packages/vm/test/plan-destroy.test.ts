import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { planDestroy, planRemoveSeeds, planMachineStart, planMachineStop } from '../src/plan.ts'
import type { ObservedDomain, ObservedHost } from '../src/observe.ts'
import { withoutMachines } from '../src/place.ts'
import { describeUntouched } from '../src/untouched.ts'
import {
  diskFor,
  firstOf,
  foreignDomain,
  pool,
  finishedHost,
  emptyHost,
  withDomain,
} from './observed-hosts.ts'

const cluster = testCluster()
const kinds = (changes: readonly { kind: string; target: string }[]): string[] =>
  changes.map(({ kind, target }) => `${kind} ${target}`)
const off = (domain: ObservedDomain): ObservedDomain => ({
  ...domain,
  live: { state: 'shut off', memoryMib: undefined, cpu: undefined },
})

test('takes each machine away in the order in which it can go, the domain last', () => {
  assert.equal(kinds(planDestroy(cluster, [finishedHost(cluster)])), [
    ...['cut-power', 'remove-disk', 'undefine-domain'].map((kind) => `${kind} home-w1`),
    ...['cut-power', 'remove-disk', 'undefine-domain'].map((kind) => `${kind} home-w2`),
    ...['cut-power', 'remove-disk', 'undefine-domain'].map((kind) => `${kind} home-cp1`),
  ])
})

test('says what is lost, with sizes', () => {
  const [, disk] = planDestroy(cluster, [finishedHost(cluster)])
  assert.is(disk?.summary, `Remove the disk of home-w1: ${pool}/home-w1.qcow2`)
  assert.is(disk?.from, '50 GiB, 0.5 GiB written')
  assert.is(disk?.risk, 'data-loss')
})

test('says what NVRAM and logs take', () => {
  const beside = [
    { path: '/var/lib/libvirt/qemu/nvram/home-w1_VARS.fd', bytes: 540_672 },
    { path: '/var/log/libvirt/qemu/home-w1.log', bytes: 1000 },
    { path: '/var/log/libvirt/qemu/home-w1-console.log', bytes: 2000 },
    { path: '/var/log/libvirt/qemu/home-w1-console.log.0', bytes: 2000 },
    { path: '/var/log/libvirt/qemu/home-w11.log', bytes: 9000 },
  ]
  const changes = planDestroy(cluster, [finishedHost(cluster, { beside })])
  const [w1, w2] = changes.filter(({ kind }) => kind === 'undefine-domain')
  assert.is(w1?.from, '2 CPUs, 4096 MiB, NVRAM 528 KiB, logs 5 KiB')
  assert.is(w2?.from, '2 CPUs, 4096 MiB')
})

test('nothing to destroy where there is nothing', () => {
  assert.equal(planDestroy(cluster, [emptyHost(cluster)]), [])
})

test('machines that the settings no longer ask for go too', () => {
  const fewer = testCluster({ WORKER_COUNT: '0' })
  assert.is(planDestroy(fewer, [finishedHost(cluster)]).length, 9)
})

test('machines of all hosts go', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system' })
  const [cp1, w1] = two.nodes
  const hosts = [
    finishedHost(two, {}, cp1 && [cp1]),
    finishedHost(two, { index: 1, host: 'root@b' }, w1 && [w1]),
  ]
  assert.equal([...new Set(planDestroy(two, hosts).map(({ host }) => host))], [0, 1])
})

test('a domain of the same name that is not ours is left alone and named', () => {
  const observed = withDomain(finishedHost(cluster), 'home-cp1', () =>
    foreignDomain(cluster, firstOf(cluster)),
  )
  assert.not.ok(planDestroy(cluster, [observed]).some(({ target }) => target === 'home-cp1'))
  assert.match(
    describeUntouched(cluster, [observed]).join('\n'),
    'virtual machine home-cp1 on root@kvm1',
  )
})

test('a disk that no machine of ours uses is left alone and named', () => {
  const observed = emptyHost(cluster)
  const disk = diskFor(cluster, firstOf(cluster))
  const stray = { ...observed, disks: new Map([[disk.path, disk]]) }
  assert.equal(planDestroy(cluster, [stray]), [])
  assert.match(describeUntouched(cluster, [stray]).join('\n'), disk.path)
})

test('a disk that a machine of somebody else has too is left alone', () => {
  const observed = finishedHost(cluster)
  const theirs = foreignDomain(cluster, { ...firstOf(cluster), name: 'clone' })
  const sharing = { ...theirs, machine: { ...theirs.machine, disk: `${pool}/home-cp1.qcow2` } }
  const changes = planDestroy(cluster, [{ ...observed, domains: [...observed.domains, sharing] }])
  assert.equal(
    kinds(changes).filter((change) => change.endsWith('home-cp1')),
    ['cut-power home-cp1', 'undefine-domain home-cp1'],
  )
})

test("another cluster's machines and files are left alone", () => {
  const other = testCluster({ CLUSTER_NAME: 'office' })
  assert.equal(planDestroy(cluster, [finishedHost(other)]), [])
  assert.equal(planRemoveSeeds(cluster, [{ ...finishedHost(other), domains: [] }]), [])
})

test('goes on after a run that was killed after the disk', () => {
  const observed = finishedHost(cluster)
  const half = { ...withDomain(observed, 'home-w1', off), disks: new Map() }
  assert.equal(
    kinds(planDestroy(cluster, [half])).filter((change) => change.endsWith('home-w1')),
    ['undefine-domain home-w1'],
  )
})

test('half-made disks go with the machines, half-made seed ISOs with the seeds', () => {
  const leftovers = [
    `${pool}/home-w1.qcow2.talosmith-partial`,
    `${pool}/home-w2-seed.iso.talosmith-partial`,
  ]
  const observed = emptyHost(cluster, { leftovers })
  assert.equal(kinds(planDestroy(cluster, [observed])), ['remove-leftover home-w1'])
  assert.equal(kinds(planRemoveSeeds(cluster, [observed])), ['remove-leftover home-w2'])
})

test('seed ISOs go after the machines, also those of nodes that the settings no longer name', () => {
  const observed = { ...finishedHost(cluster), domains: [] }
  assert.equal(kinds(planRemoveSeeds(testCluster({ WORKER_COUNT: '0' }), [observed])), [
    'remove-seed home-cp1',
    'remove-seed home-w1',
    'remove-seed home-w2',
  ])
})

test('a seed ISO that a machine still has attached stays', () => {
  assert.equal(planRemoveSeeds(cluster, [finishedHost(cluster)]), [])
})

/** Machines that were made while SEED_ISO_DIR named another folder, in which their seed ISOs lie. */
const distant = (): ObservedHost => {
  const observed = finishedHost(cluster)
  const moved = (path: string): string => path.replace(pool, '/srv/isos')
  return {
    ...observed,
    domains: observed.domains.map((domain) => ({
      ...domain,
      own: domain.own && { ...domain.own, seed: moved(domain.own.seed) },
      machine: { ...domain.machine, seed: moved(domain.machine.seed) },
    })),
    seeds: new Map([...observed.seeds].map(([path, mark]) => [moved(path), mark])),
  }
}

test('a seed ISO in a folder that the settings no longer name goes before its machine, which alone says where it is', () => {
  const changes = planDestroy(cluster, [distant()])
  assert.equal(
    kinds(changes).filter((change) => change.endsWith('home-w1')),
    ['cut-power', 'remove-disk', 'remove-seed', 'undefine-domain'].map((kind) => `${kind} home-w1`),
  )
  const seed = changes.find(({ kind }) => kind === 'remove-seed')
  assert.is(seed?.path, '/srv/isos/home-w1-seed.iso')
  assert.is(seed?.from, '64 KiB')
})

test('such a seed ISO is listed once in the whole plan', () => {
  assert.equal(planRemoveSeeds(cluster, [withoutMachines(cluster, distant())]), [])
})

test('such a file that is not our seed ISO, or that another machine has too, stays', () => {
  const observed = distant()
  const path = '/srv/isos/home-w1-seed.iso'
  const theirs = foreignDomain(cluster, { ...firstOf(cluster), name: 'clone' })
  const sharing = { ...theirs, machine: { ...theirs.machine, seed: path } }
  for (const host of [
    { ...observed, seeds: new Map([...observed.seeds, [path, undefined] as const]) },
    { ...observed, domains: [...observed.domains, sharing] },
  ])
    assert.not.ok(kinds(planDestroy(cluster, [host])).includes('remove-seed home-w1'))
  const unmarked = { ...observed, seeds: new Map([[path, undefined]]) }
  assert.match(describeUntouched(cluster, [unmarked]).join('\n'), path)
})

test('a file named like a seed ISO that we did not write stays, and is named', () => {
  const observed = emptyHost(cluster, { seeds: new Map([[`${pool}/home-w1-seed.iso`, undefined]]) })
  assert.equal(planRemoveSeeds(cluster, [observed]), [])
  assert.match(describeUntouched(cluster, [observed]).join('\n'), 'home-w1-seed.iso')
})

test('starts control planes first', () => {
  const observed = { ...finishedHost(cluster), domains: finishedHost(cluster).domains.map(off) }
  assert.equal(kinds(planMachineStart(cluster, [observed])), [
    'start-domain home-cp1',
    'start-domain home-w1',
    'start-domain home-w2',
  ])
})

test('stops workers first and control planes last', () => {
  assert.equal(kinds(planMachineStop(cluster, [finishedHost(cluster)])), [
    'stop-domain home-w1',
    'stop-domain home-w2',
    'stop-domain home-cp1',
  ])
})

test('stops a machine that is paused, and one that the settings no longer name, with those of its role', () => {
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    live: { ...domain.live, state: 'paused' },
  }))
  const none = testCluster({ WORKER_COUNT: '0' })
  assert.equal(kinds(planMachineStop(none, [observed])), [
    'stop-domain home-w1',
    'stop-domain home-w2',
    'stop-domain home-cp1',
  ])
  assert.equal(kinds(planMachineStart(none, [observed])), ['start-domain home-w1'])
})

test('over several hosts every worker stops before any control plane, and starts after them', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system' })
  const [cp1, w1, w2] = two.nodes
  if (cp1 === undefined || w1 === undefined || w2 === undefined) throw new Error('no machines')
  const hosts = [finishedHost(two, {}, [cp1, w2]), finishedHost(two, { index: 1 }, [w1])]
  const names = ['home-w2', 'home-w1', 'home-cp1']
  const targets = (changes: readonly { target: string }[]): string[] =>
    changes.map(({ target }) => target)
  assert.equal(targets(planMachineStop(two, hosts)), names)
  const stopped = hosts.map((observed) => ({ ...observed, domains: observed.domains.map(off) }))
  assert.equal(targets(planMachineStart(two, stopped)), ['home-cp1', 'home-w2', 'home-w1'])
})

test('starts nothing that runs and stops nothing that does not', () => {
  const observed = finishedHost(cluster)
  assert.equal(planMachineStart(cluster, [observed]), [])
  assert.equal(planMachineStop(cluster, [{ ...observed, domains: observed.domains.map(off) }]), [])
})

test('neither starts nor stops machines that are not ours or are not there', () => {
  const observed = withDomain(emptyHost(cluster), 'home-cp1', () => undefined)
  const theirs = { ...observed, domains: [foreignDomain(cluster, firstOf(cluster))] }
  for (const host of [observed, theirs]) {
    assert.equal(planMachineStart(cluster, [host]), [])
    assert.equal(planMachineStop(cluster, [host]), [])
  }
})

test.run()
