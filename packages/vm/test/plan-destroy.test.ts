import type { Problem } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { planDestroy, planRebuild, planRemoveSeeds } from '../src/plan-destroy.ts'
import { planMachineStart, planMachineStop } from '../src/plan-power.ts'
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

test('removes the parts of each machine in order, the domain last', () => {
  assert.equal(kinds(planDestroy(cluster, [finishedHost(cluster)])), [
    ...['cut-power', 'remove-disk', 'undefine-domain'].map((kind) => `${kind} home-w1`),
    ...['cut-power', 'remove-disk', 'undefine-domain'].map((kind) => `${kind} home-w2`),
    ...['cut-power', 'remove-disk', 'undefine-domain'].map((kind) => `${kind} home-cp1`),
  ])
})

test('lists what is deleted, with sizes', () => {
  const [, disk] = planDestroy(cluster, [finishedHost(cluster)])
  assert.is(disk?.summary, `Remove the disk of home-w1: ${pool}/home-w1.qcow2`)
  assert.is(disk?.from, '50 GiB, 0.5 GiB written')
  assert.is(disk?.risk, 'data-loss')
})

test('lists the sizes of NVRAM and logs', () => {
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

test('nothing to destroy on an empty host', () => {
  assert.equal(planDestroy(cluster, [emptyHost(cluster)]), [])
})

test('removes machines that are no longer in the settings', () => {
  const fewer = testCluster({ WORKER_COUNT: '0' })
  assert.is(planDestroy(fewer, [finishedHost(cluster)]).length, 9)
})

test('removes machines on all hosts', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system' })
  const [cp1, w1] = two.nodes
  const hosts = [
    finishedHost(two, {}, cp1 && [cp1]),
    finishedHost(two, { index: 1, host: 'root@b' }, w1 && [w1]),
  ]
  assert.equal([...new Set(planDestroy(two, hosts).map(({ host }) => host))], [0, 1])
})

test('a domain of the same name and another owner is left alone and reported', () => {
  const observed = withDomain(finishedHost(cluster), 'home-cp1', () =>
    foreignDomain(cluster, firstOf(cluster)),
  )
  assert.not.ok(planDestroy(cluster, [observed]).some(({ target }) => target === 'home-cp1'))
  assert.match(
    describeUntouched(cluster, [observed]).join('\n'),
    'virtual machine home-cp1 on root@kvm1',
  )
})

test('a disk that no machine of ours uses is left alone and reported', () => {
  const observed = emptyHost(cluster)
  const disk = diskFor(cluster, firstOf(cluster))
  const withOrphan = { ...observed, disks: new Map([[disk.path, disk]]) }
  assert.equal(planDestroy(cluster, [withOrphan]), [])
  assert.match(describeUntouched(cluster, [withOrphan]).join('\n'), disk.path)
})

test('a disk that a machine of another owner also uses is left alone', () => {
  const observed = finishedHost(cluster)
  const theirs = foreignDomain(cluster, { ...firstOf(cluster), name: 'clone' })
  const sharing = { ...theirs, machine: { ...theirs.machine, disk: `${pool}/home-cp1.qcow2` } }
  const changes = planDestroy(cluster, [{ ...observed, domains: [...observed.domains, sharing] }])
  assert.equal(
    kinds(changes).filter((change) => change.endsWith('home-cp1')),
    ['cut-power home-cp1', 'undefine-domain home-cp1'],
  )
})

test('no disk is removed while one of another machine may be an overlay of it', () => {
  const observed = finishedHost(cluster, { unknownChains: ['/srv/clone.qcow2'] })
  assert.throws(
    () => planDestroy(cluster, [observed]),
    (problem: Problem) =>
      problem.code === 'DISK_USE_UNKNOWN' && problem.because?.includes('/srv/clone.qcow2'),
  )
  assert.ok(planDestroy(cluster, [{ ...observed, disks: new Map() }]).length > 0)
})

test("another cluster's machines and files are left alone", () => {
  const other = testCluster({ CLUSTER_NAME: 'office' })
  assert.equal(planDestroy(cluster, [finishedHost(other)]), [])
  assert.equal(planRemoveSeeds(cluster, [{ ...finishedHost(other), domains: [] }]), [])
})

test('continues after a run that was killed after removing the disk', () => {
  const observed = finishedHost(cluster)
  const half = { ...withDomain(observed, 'home-w1', off), disks: new Map() }
  assert.equal(
    kinds(planDestroy(cluster, [half])).filter((change) => change.endsWith('home-w1')),
    ['undefine-domain home-w1'],
  )
})

test('incomplete disks are removed with the machines, incomplete seed ISOs with the seed ISOs', () => {
  const leftovers = [
    { path: `${pool}/home-w1.qcow2.talosmith-partial`, node: 'home-w1', file: 'disk' },
    { path: `${pool}/home-w2-seed.iso.talosmith-partial`, node: 'home-w2', file: 'seed' },
  ] as const
  const observed = emptyHost(cluster, { leftovers })
  assert.equal(kinds(planDestroy(cluster, [observed])), ['remove-leftover home-w1'])
  assert.equal(kinds(planRemoveSeeds(cluster, [observed])), ['remove-leftover home-w2'])
})

test('seed ISOs are removed after the machines, also those of nodes no longer in the settings', () => {
  const observed = { ...finishedHost(cluster), domains: [] }
  assert.equal(kinds(planRemoveSeeds(testCluster({ WORKER_COUNT: '0' }), [observed])), [
    'remove-seed home-cp1',
    'remove-seed home-w1',
    'remove-seed home-w2',
  ])
})

test('a seed ISO that is still attached to a machine is kept', () => {
  assert.equal(planRemoveSeeds(cluster, [finishedHost(cluster)]), [])
})

/** Machines that were created while SEED_ISO_DIR named another folder, which has their seed ISOs. */
const withMovedSeeds = (): ObservedHost => {
  const observed = finishedHost(cluster)
  const moved = (path: string): string => path.replace(pool, '/srv/isos')
  return {
    ...observed,
    domains: observed.domains.map((domain) => ({
      ...domain,
      own: domain.own && { ...domain.own, seed: moved(domain.own.seed) },
      machine: { ...domain.machine, seed: moved(domain.machine.seed) },
    })),
    seeds: new Map([...observed.seeds].map(([path, marker]) => [moved(path), marker])),
  }
}

test('a seed ISO outside the configured folder is removed before its domain, which alone knows its path', () => {
  const changes = planDestroy(cluster, [withMovedSeeds()])
  assert.equal(
    kinds(changes).filter((change) => change.endsWith('home-w1')),
    ['cut-power', 'remove-disk', 'remove-seed', 'undefine-domain'].map((kind) => `${kind} home-w1`),
  )
  const seed = changes.find(({ kind }) => kind === 'remove-seed')
  assert.is(seed?.path, '/srv/isos/home-w1-seed.iso')
  assert.is(seed?.from, '64 KiB')
})

test('a seed ISO outside the configured folder is listed once in the whole plan', () => {
  assert.equal(planRemoveSeeds(cluster, [withoutMachines(cluster, withMovedSeeds())]), [])
})

test('a file outside the configured folder is kept if it is not our seed ISO or another machine uses it', () => {
  const observed = withMovedSeeds()
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

test('a file that is named like a seed ISO but has no marker is kept and reported', () => {
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

test('stops a paused machine, and one no longer in the settings, with those of its role', () => {
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

test('does not start running machines or stop machines that are off', () => {
  const observed = finishedHost(cluster)
  assert.equal(planMachineStart(cluster, [observed]), [])
  assert.equal(planMachineStop(cluster, [{ ...observed, domains: observed.domains.map(off) }]), [])
})

test('neither starts nor stops machines of other owners or missing ones', () => {
  const observed = withDomain(emptyHost(cluster), 'home-cp1', () => undefined)
  const theirs = { ...observed, domains: [foreignDomain(cluster, firstOf(cluster))] }
  for (const host of [observed, theirs]) {
    assert.equal(planMachineStart(cluster, [host]), [])
    assert.equal(planMachineStop(cluster, [host]), [])
  }
})

/** The finished host whose home-w1 uses `top`, a snapshot of a snapshot of its disk. */
function withOverlays(): { observed: ObservedHost; disk: string; paths: string[] } {
  const base = finishedHost(cluster)
  const disk = `${pool}/home-w1.qcow2`
  const paths = [`${pool}/home-w1.after`, `${pool}/home-w1.before`]
  const [top = ''] = paths
  const observed = withDomain(base, 'home-w1', (domain) => ({
    ...domain,
    attached: [{ target: 'vda', type: 'file', source: top }],
  }))
  const overlays = paths.map((path) => ({ path, disk, isInUse: true }))
  const size = { ...diskFor(cluster, firstOf(cluster)), path: top }
  return {
    observed: { ...observed, overlays, disks: new Map([...base.disks, [top, size]]) },
    disk,
    paths,
  }
}

test('the snapshots that a machine uses go with its disk, from the top down', () => {
  const { observed, disk, paths } = withOverlays()
  const removals = planDestroy(cluster, [observed]).filter(
    ({ kind, target }) => kind === 'remove-disk' && target === 'home-w1',
  )
  assert.equal(
    removals.map(({ path }) => path),
    [...paths, disk],
  )
  assert.ok(removals.every(({ risk }) => risk === 'data-loss'))
  assert.equal(describeUntouched(cluster, [observed]), [])
})

test('an overlay that no machine uses is reported', () => {
  const disk = `${pool}/home-w1.qcow2`
  const overlays = [{ path: `${pool}/home-w1.old`, disk, isInUse: false }]
  const observed = finishedHost(cluster, { overlays })
  assert.not.match(JSON.stringify(planDestroy(cluster, [observed])), 'home-w1.old')
  assert.match(
    describeUntouched(cluster, [observed]).join(),
    `home-w1.old on root@kvm1: an overlay of ${disk}`,
  )
})

test('a disk below a clone of another owner stays, and is reported', () => {
  const disk = `${pool}/home-w1.qcow2`
  const path = '/srv/clone.qcow2'
  const theirs = foreignDomain(cluster, { ...firstOf(cluster), name: 'clone' })
  const clone = { ...theirs, disks: [{ target: 'sdb', type: 'file', source: path }] }
  const base = finishedHost(cluster)
  const observed = {
    ...base,
    domains: [...base.domains, clone],
    overlays: [{ path, disk, isInUse: false }],
  }
  const changes = planDestroy(cluster, [observed])
  assert.not.ok(changes.some((one) => one.path === disk || one.path === path))
  assert.match(
    describeUntouched(cluster, [observed]).join(),
    `${disk} on root@kvm1: virtual machine clone uses it`,
  )
})

test('a disk that a machine was given by hand is left alone and reported', () => {
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    attached: [{ target: 'vda', type: 'block', source: '/dev/vg/w1' }],
  }))
  assert.not.match(JSON.stringify(planDestroy(cluster, [observed])), '/dev/vg/w1')
  assert.match(
    describeUntouched(cluster, [observed]).join(),
    '/dev/vg/w1 on root@kvm1: home-w1 uses it',
  )
})

for (const [what, plan, kind] of [
  ['destroy', planDestroy, 'undefine-domain'],
  ['rebuild', planRebuild, 'rebuild-domain'],
] as const)
  test(`${what}: disks that were added by hand are named, and stay`, () => {
    const disk = `${pool}/home-w1.qcow2`
    const overlay = `${pool}/home-w1.snap`
    const added = ['/data/home-w1-data.qcow2', '/dev/vg/w1']
    const observed = withDomain(
      { ...finishedHost(cluster), overlays: [{ path: overlay, disk, isInUse: true }] },
      'home-w1',
      (domain) => ({
        ...domain,
        disks: [disk, overlay, ...added].map((source, index) => ({
          ...{ target: `vd${'abcd'[index]}`, type: 'file', source },
        })),
      }),
    )
    const changes = plan(cluster, [observed]).filter(({ target }) => target === 'home-w1')
    assert.match(
      changes.find((one) => one.kind === kind)?.summary ?? '',
      `added by hand stay: ${added.join(', ')}`,
    )
    assert.not.ok(changes.some(({ path = '' }) => added.includes(path)))
  })

test('rebuild: a machine that is no longer in the settings is removed', () => {
  const kinds = planRebuild(testCluster({ WORKER_COUNT: '1' }), [finishedHost(cluster)])
    .filter(({ kind }) => kind.endsWith('-domain'))
    .map(({ target, kind }) => `${target} ${kind}`)
  assert.equal(kinds.toSorted(), [
    'home-cp1 rebuild-domain',
    'home-w1 rebuild-domain',
    'home-w2 undefine-domain',
  ])
})

test.run()
