import { Problem, type Cluster } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findMissingImages, findProblems } from '../src/check.ts'
import type { ObservedDomain, ObservedHost } from '../src/observe.ts'
import { planCreate } from '../src/plan-create.ts'
import { describeMachineStatus } from '../src/status.ts'
import { diskFor, emptyHost, finishedHost, firstOf, pool, withDomain } from './observed-hosts.ts'

const cluster = testCluster()
const off = { state: 'shut off', memoryMib: undefined, cpu: undefined }

/** The finished host without some files of the pool. */
function without(pattern: RegExp, desired: Cluster = cluster): ObservedHost {
  const host = finishedHost(desired)
  return {
    ...host,
    domains: host.domains.map((domain) => ({ ...domain, live: off })),
    disks: new Map([...host.disks].filter(([path]) => !pattern.test(path))),
    seeds: new Map([...host.seeds].filter(([path]) => !pattern.test(path))),
  }
}
const change = (host: ObservedHost, more: Partial<ObservedDomain>): ObservedHost =>
  withDomain(host, 'home-w1', (domain) => ({ ...domain, ...more }))
const found = (host: ObservedHost, recreated?: ReadonlySet<string>): Problem[] =>
  findProblems(cluster, [host], recreated === undefined ? {} : { recreated })
const codes = (host: ObservedHost): string[] => found(host).map(({ code }) => code)

test('a missing disk is lost, and nothing is planned for its machine', () => {
  const host = without(/home-w1\.qcow2/)
  const [problem, ...others] = found(host)
  assert.equal(others, [])
  assert.is(problem?.code, 'DISK_LOST')
  assert.match(problem?.message ?? '', `home-w1 on root@kvm1 is missing: ${pool}/home-w1.qcow2`)
  assert.match(
    problem?.hint ?? '',
    'virsh undefine --nvram --managed-save --snapshots-metadata home-w1',
  )
  assert.not.ok(planCreate(cluster, [host]).some(({ target }) => target === 'home-w1'))
  assert.equal(findMissingImages(cluster, [{ ...host, hasImage: false }]), [])
  const row = describeMachineStatus(cluster, [host]).find(({ machine }) => machine === 'home-w1')
  assert.equal(row?.notes, [`DISK_LOST: ${problem?.message}`])
})

test('for a control plane, restoring from a backup is named', () => {
  assert.match(found(without(/home-cp1\.qcow2/))[0]?.hint ?? '', 'CONFIRM=home CLUSTER=')
})

test('a machine that still runs on the deleted file is not to be stopped', () => {
  const [problem] = found(change(without(/home-w1\.qcow2/), { live: { ...off, state: 'running' } }))
  assert.match(problem?.because ?? '', 'as soon as it stops')
  assert.match(problem?.hint ?? '', 'virsh blockcopy home-w1 vda')
  // Undefined while it runs, it would still be there.
  assert.match(problem?.hint ?? '', 'virsh destroy home-w1; virsh undefine')
})

test('a control plane whose fellows have their disks joins them, and they are not replaced', () => {
  const three = testCluster({ CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '0' })
  const hintOf = (pattern: RegExp): string =>
    findProblems(three, [without(pattern, three)]).find(({ message }) => /home-cp2/.test(message))
      ?.hint ?? ''
  assert.match(hintOf(/home-cp2\.qcow2/), 'cluster:up creates it again, and it joins the others')
  assert.not.match(hintOf(/home-cp[123]\.qcow2/), 'cluster:up')
})

test('the disk below a lost snapshot is to be moved: without its machine, it would be refused', () => {
  const attached = [{ target: 'vda', type: 'file', source: `${pool}/home-w1.before` }]
  const host = change(without(/nothing/), { attached })
  assert.match(found(host)[0]?.hint ?? '', `home-w1; move ${pool}/home-w1.qcow2 elsewhere; then`)
  const gone = withDomain(host, 'home-w1', () => undefined)
  assert.equal(codes(gone), ['VM_NOT_OURS'])
})

test('a disk that was never created, or that Talosmith removed, is created', () => {
  const host = change(without(/home-w1\.qcow2/), { diskNote: 'none' })
  assert.equal(codes(host), [])
  assert.ok(planCreate(cluster, [host]).some(({ kind }) => kind === 'create-disk'))
})

test('a machine that runs had a disk, whatever is recorded', () => {
  const running = { ...off, state: 'running' }
  const host = change(without(/home-w1\.qcow2/), { diskNote: 'none', live: running })
  assert.equal(codes(host), ['DISK_LOST'])
})

test('a machine that was removed with its disk is created again', () => {
  const host = withDomain(without(/home-w1/), 'home-w1', () => undefined)
  assert.equal(codes(host), [])
  assert.ok(planCreate(cluster, [host]).some(({ kind }) => kind === 'define-domain'))
})

test('a machine that is recreated may have lost its disk', () => {
  assert.equal(found(without(/home-w1\.qcow2/), new Set(['home-w1'])), [])
})

test('a pool that holds nothing of the machines any more is named, also when they are recreated', () => {
  const host = without(/./)
  const names = new Set(cluster.nodes.map(({ name }) => name))
  for (const [problem, ...others] of [found(host), found(host, names)]) {
    assert.equal(others, [])
    assert.is(problem?.code, 'POOL_EMPTY')
    assert.is(
      problem?.message,
      `the pool default at ${pool} on root@kvm1 does not hold any of the 3 disks of home: is its file system mounted?`,
    )
    assert.match(problem?.hint ?? '', `findmnt -T ${pool}`)
    assert.match(problem?.hint ?? '', 'mount it (mount -a; virsh pool-refresh default)')
    assert.not.match(problem?.hint ?? '', 'pool-start')
  }
  assert.equal(planCreate(cluster, [host]), [])
})

test('an empty pool: the way to a cluster is named to its end, and it is one', () => {
  const hintOf = (host: ObservedHost, desired = cluster): string =>
    findProblems(desired, [host])[0]?.hint ?? ''
  const gone = without(/./)
  const restore = /undefine .* home-cp1; then CONFIRM=home CLUSTER=home npx nx run cluster:restore/
  assert.match(hintOf(gone), restore)
  // What it leads to: nothing stops the machines from being created, with what is left on the host.
  const undefined_ = { ...gone, domains: [] }
  assert.equal(codes(undefined_), [])
  const planned = planCreate(cluster, [undefined_])
  assert.is(planned.filter(({ kind }) => kind === 'create-disk').length, 3)
  // On another host a control plane has its disk: the lost one joins it.
  const three = testCluster({ CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '0' })
  const [first, ...others] = without(/./, three).domains
  const [lost, kept] = [
    { ...without(/./, three), domains: first ? [first] : [], hasImage: false },
    { ...finishedHost(three, { index: 1 }), domains: others },
  ]
  const [problem] = findProblems(three, [lost, kept])
  assert.is(problem?.code, 'POOL_EMPTY')
  assert.match(problem?.hint ?? '', 'cluster:up creates it again, and it joins the others')
})

test('an empty pool that is not active is started, and machines that still run are saved first', () => {
  const gone = without(/./)
  const poolProblem = new Problem('POOL_INACTIVE', 'inactive')
  const running = gone.domains.map((domain) => ({ ...domain, live: { ...off, state: 'running' } }))
  const [problem] = found({ ...gone, poolProblem, domains: running })
  assert.is(problem?.code, 'POOL_EMPTY')
  assert.match(problem?.hint ?? '', 'then virsh pool-start default, or mount it')
  assert.match(
    problem?.hint ?? '',
    /home-cp1 still run on deleted .* files: back up etcd .*: CLUSTER=home npx nx run bootstrap:backup/,
  )
})

test('an empty pool whose folder is gone is not to be started', () => {
  const poolProblem = new Problem('POOL_UNREADABLE', 'gone')
  const [problem, other] = found({ ...without(/./), poolProblem })
  assert.is(problem?.code, 'POOL_EMPTY')
  assert.not.match(problem?.hint ?? '', 'pool-start')
  assert.is(other?.code, 'POOL_UNREADABLE')
})

test('a pool with a single disk is empty only without its image and seed ISO', () => {
  const one = testCluster({ WORKER_COUNT: '0' })
  const gone = without(/./, one)
  const codesOf = (host: ObservedHost): string[] =>
    findProblems(one, [host]).map(({ code }) => code)
  assert.equal(codesOf({ ...gone, hasImage: false }), ['POOL_EMPTY'])
  assert.equal(codesOf(gone), ['DISK_LOST'])
})

test('the folder of disks that are not in the configured pool is named by its path', () => {
  const host = finishedHost(cluster)
  const moved = {
    ...host,
    disks: new Map(),
    domains: host.domains.map((domain) => {
      const disk = `/old/${domain.name}.qcow2`
      const attached = [{ target: 'vda', type: 'file', source: disk }]
      return { ...domain, own: { disk, seed: domain.own?.seed ?? '' }, attached }
    }),
  }
  assert.match(found(moved)[0]?.message ?? '', '/old on root@kvm1 does not hold any of the 3')
})

test('a machine that was given another disk by hand has not lost it', () => {
  const attached = [{ target: 'vda', type: 'block', source: '/dev/vg/home-w1' }]
  assert.equal(codes(change(without(/home-w1\.qcow2/), { attached })), [])
})

test('a snapshot that is missing, or whose backing file is, is a lost disk', () => {
  const path = `${pool}/home-w1.before`
  const host = change(without(/nothing/), {
    attached: [{ target: 'vda', type: 'file', source: path }],
  })
  assert.equal(codes(host), ['DISK_LOST'])
  const disks = new Map([
    ...host.disks,
    [path, { ...diskFor(cluster, firstOf(cluster), 50), path }],
  ])
  assert.equal(codes({ ...host, disks }), [])
  assert.equal(codes({ ...host, disks, brokenChains: new Set([path]) }), ['DISK_LOST'])
})

test('a machine of another cluster, and one that is not in the settings, is no problem', () => {
  const host = without(/home-w2\.qcow2/)
  const fewer = testCluster({ WORKER_COUNT: '1' })
  assert.equal(findProblems(fewer, [host]), [])
  assert.equal(findProblems(cluster, [emptyHost(cluster)]), [])
})

test('growing a disk below a snapshot is refused, with the command that merges it', () => {
  const desired = testCluster({ WORKER_DISK_GIB: '60', WORKER_COUNT: '1' })
  const path = `${pool}/home-w1.before`
  const base = finishedHost(desired)
  const [, worker = firstOf(desired)] = desired.nodes
  const small = diskFor(desired, worker, 50)
  const host = {
    ...change(base, { attached: [{ target: 'vda', type: 'file', source: path }] }),
    disks: new Map([...base.disks, [small.path, small], [path, { ...small, path }]]),
    overlays: [{ path, disk: small.path, isInUse: true }],
  }
  const [problem, ...others] = findProblems(desired, [host])
  assert.equal(others, [])
  assert.is(problem?.code, 'DISK_NOT_OURS')
  assert.match(problem?.because ?? '', `${path}, an external snapshot of ${small.path}`)
  assert.match(problem?.hint ?? '', `virsh blockcommit home-w1 vda --base ${small.path} --active`)
  assert.match(problem?.hint ?? '', 'WORKER_DISK_GIB=50')
  const [other] = findProblems(desired, [{ ...host, overlays: [] }])
  assert.match(other?.because ?? '', `it uses ${path} with 50 GiB, not ${small.path}`)
  assert.equal(findProblems(testCluster({ WORKER_COUNT: '1' }), [host]), [])
})

test.run()
