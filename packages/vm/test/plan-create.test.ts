import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { planCreate, planDropChannels } from '../src/plan-create.ts'
import {
  diskFor,
  firstOf,
  foreignDomain,
  finishedHost,
  pool,
  emptyHost,
  withDomain,
} from './observed-hosts.ts'

const cluster = testCluster()
const kinds = (changes: readonly { kind: string; target: string }[]): string[] =>
  changes.map(({ kind, target }) => `${kind} ${target}`)

test('the plan is empty when every machine exists', () => {
  assert.equal(planCreate(cluster, [finishedHost(cluster)]), [])
})

test('creates everything on an empty host, the domain first because it names the files', () => {
  assert.equal(kinds(planCreate(cluster, [emptyHost(cluster)])).slice(0, 5), [
    'define-domain home-cp1',
    'create-disk home-cp1',
    'create-seed home-cp1',
    'set-autostart home-cp1',
    'start-domain home-cp1',
  ])
  assert.is(planCreate(cluster, [emptyHost(cluster)]).length, 15)
})

test('a plan is plain data', () => {
  const plan = planCreate(cluster, [emptyHost(cluster)])
  assert.equal(JSON.parse(JSON.stringify(plan)), plan)
})

test('a machine of another cluster is not in the plan', () => {
  const observed = withDomain(finishedHost(cluster), 'home-cp1', (domain) => ({
    ...domain,
    owner: 'other',
    machine: { ...domain.machine, memoryMib: 1 },
  }))
  assert.equal(planCreate(cluster, [observed]), [])
})

test('a machine that was created by hand is not in the plan', () => {
  const observed = withDomain(finishedHost(cluster), 'home-cp1', () =>
    foreignDomain(cluster, firstOf(cluster)),
  )
  assert.equal(planCreate(cluster, [observed]), [])
})

test('domains with other names are not in the plan', () => {
  const observed = finishedHost(cluster)
  const other = foreignDomain(cluster, { ...firstOf(cluster), name: 'web' })
  assert.equal(planCreate(cluster, [{ ...observed, domains: [...observed.domains, other] }]), [])
})

test('continues after a run that was killed before the disk was created', () => {
  const observed = finishedHost(cluster)
  const killed = {
    ...withDomain(observed, 'home-w2', (domain) => ({
      ...domain,
      autostart: false,
      diskNote: 'none',
      live: { state: 'shut off', memoryMib: undefined, cpu: undefined },
    })),
    disks: new Map([...observed.disks].filter(([path]) => !path.includes('home-w2'))),
    seeds: new Map([...observed.seeds].filter(([path]) => !path.includes('home-w2'))),
  }
  assert.equal(kinds(planCreate(cluster, [killed])), [
    'create-disk home-w2',
    'create-seed home-w2',
    'set-autostart home-w2',
    'start-domain home-w2',
  ])
})

const drifts: readonly [string, Parameters<typeof testCluster>[0], string, string][] = [
  ['memory', { WORKER_MEMORY_MIB: '8192' }, '4096 MiB of memory', '8192 MiB of memory'],
  ['CPUs', { WORKER_CPU: '4' }, '2 CPUs', '4 CPUs'],
  ['CPU model', { CPU_MODEL: 'Skylake-Server' }, 'CPU host-passthrough', 'CPU Skylake-Server'],
  [
    'the guest-agent channel',
    { TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' },
    'no guest-agent channel',
    'a guest-agent channel',
  ],
  ['the bridge', { NETWORK_BRIDGE: 'lan' }, 'bridge br0', 'bridge lan'],
]
for (const [what, settings, from, to] of drifts)
  test(`detects that ${what} differs, which a running machine gets at its next start`, () => {
    const desired = testCluster(settings)
    const changes = planCreate(desired, [
      finishedHost(cluster, { files: emptyHost(desired).files }),
    ])
    const change = changes.find(({ target }) => target === 'home-w1')
    assert.is(change?.kind, 'update-domain')
    assert.is(change?.from, from)
    assert.is(change?.to, to)
    assert.is(change?.risk, 'restart')
    assert.match(change?.summary ?? '', 'from its next start')
  })

test('a guest-agent channel is kept while Talos may still have the agent, and removed afterwards', () => {
  const withAgent = testCluster({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' })
  const observed = finishedHost(withAgent, { files: emptyHost(cluster).files })
  assert.equal(planCreate(cluster, [observed]), [])
  assert.equal(kinds(planDropChannels(withAgent, [observed])), [])
  assert.equal(
    kinds(planDropChannels(cluster, [observed])),
    cluster.nodes.map(({ name }) => `drop-channel ${name}`),
  )
  assert.equal(kinds(planDropChannels(cluster, [finishedHost(cluster)])), [])
})

test('the guest-agent channel of a machine of another owner is kept', () => {
  const withAgent = testCluster({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' })
  const observed = withDomain(finishedHost(withAgent), 'home-w1', (domain) => ({
    ...domain,
    owner: 'other',
  }))
  assert.equal(kinds(planDropChannels(cluster, [observed])), [
    'drop-channel home-cp1',
    'drop-channel home-w2',
  ])
})

test('a machine that does not run is changed without a restart', () => {
  const desired = testCluster({ WORKER_MEMORY_MIB: '8192' })
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    live: { state: 'shut off', memoryMib: undefined, cpu: undefined },
  }))
  const [change, start] = planCreate(desired, [observed]).filter(
    ({ target }) => target === 'home-w1',
  )
  assert.is(change?.risk, 'none')
  assert.is(start?.kind, 'start-domain')
})

test('sees memory changed with virsh setmem', () => {
  const observed = withDomain(finishedHost(cluster), 'home-cp1', (domain) => ({
    ...domain,
    machine: { ...domain.machine, memoryMib: 1024 },
  }))
  assert.equal(
    planCreate(cluster, [observed]).map(({ from, to }) => `${from} -> ${to}`),
    ['1024 MiB of memory -> 4096 MiB of memory'],
  )
})

test('detects a maximum changed with virsh setmaxmem', () => {
  const observed = withDomain(finishedHost(cluster), 'home-cp1', (domain) => ({
    ...domain,
    machine: { ...domain.machine, maxMemoryMib: 8192 },
  }))
  assert.equal(
    planCreate(cluster, [observed]).map(({ from, to }) => `${from} -> ${to}`),
    ['a maximum of 8192 MiB of memory -> a maximum of 4096 MiB of memory'],
  )
})

test('several differences of one machine are one change', () => {
  const desired = testCluster({ WORKER_COUNT: '1', WORKER_MEMORY_MIB: '2048', WORKER_CPU: '1' })
  const changes = planCreate(desired, [finishedHost(cluster)])
  assert.equal(kinds(changes), ['update-domain home-w1'])
  assert.is(changes[0]?.from, '2 CPUs, 4096 MiB of memory')
})

test('grows a disk in place', () => {
  const desired = testCluster({ WORKER_COUNT: '1', WORKER_DISK_GIB: '60' })
  const [change, ...others] = planCreate(desired, [finishedHost(cluster)])
  assert.is(change?.kind, 'grow-disk')
  assert.is(`${change?.from} -> ${change?.to}`, '50 GiB -> 60 GiB')
  assert.is(change?.risk, 'none')
  assert.equal(others, [])
})

test('never plans to shrink a disk', () => {
  assert.equal(planCreate(testCluster({ WORKER_DISK_GIB: '40' }), [finishedHost(cluster)]), [])
})

test('replaces the seed ISO when the network changes, effective at the next start', () => {
  const desired = testCluster({ NETWORK_NAMESERVERS: '9.9.9.9' })
  const changes = planCreate(desired, [finishedHost(cluster)])
  assert.equal(kinds(changes), [
    'create-seed home-cp1',
    'create-seed home-w1',
    'create-seed home-w2',
  ])
  assert.is(changes[0]?.risk, 'restart')
})

test('another Talos version changes no machine, because that is an upgrade', () => {
  const desired = testCluster({ TALOS_VERSION: 'v1.13.8' })
  const observed = { ...finishedHost(cluster), files: emptyHost(desired).files, hasImage: false }
  assert.equal(planCreate(desired, [observed]), [])
})

test('an existing machine keeps its disk when STORAGE_POOL changes', () => {
  const observed = finishedHost(cluster)
  const moved = {
    ...observed,
    files: {
      ...observed.files,
      disk: ({ name }: { name: string }) => `/new/${name}.qcow2`,
      seed: ({ name }: { name: string }) => `/new/${name}-seed.iso`,
    },
  }
  assert.equal(planCreate(cluster, [moved]), [])
})

test('a machine stays on its host when another host is added before it', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu+ssh://root@new/system,qemu:///system' })
  const fresh = emptyHost(two, { index: 0, host: 'root@new' })
  const old = finishedHost(cluster, { index: 1 })
  assert.equal(planCreate(two, [fresh, old]), [])
})

test('new machines are created on the hosts that the settings assign', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system' })
  const changes = planCreate(two, [emptyHost(two), emptyHost(two, { index: 1, host: 'root@b' })])
  const defined = changes.filter(({ kind }) => kind === 'define-domain')
  assert.equal(
    defined.map(({ target, host }) => `${target} ${host}`),
    ['home-cp1 0', 'home-w1 1', 'home-w2 0'],
  )
})

for (const state of ['shut off', 'paused', 'crashed', 'pmsuspended'])
  test(`starts a machine that is ${state}`, () => {
    const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
      ...domain,
      live: { ...domain.live, state },
    }))
    assert.equal(
      planCreate(cluster, [observed]).map(({ kind, from }) => `${kind} ${from}`),
      [`start-domain ${state}`],
    )
  })

test('enables and disables autostart', () => {
  const [on] = planCreate(cluster, [
    withDomain(finishedHost(cluster), 'home-w1', (domain) => ({ ...domain, autostart: false })),
  ])
  assert.is(`${on?.kind} ${on?.to}`, 'set-autostart true')
  const off = planCreate(testCluster({ AUTOSTART: 'false' }), [finishedHost(cluster)])
  assert.equal(
    off.map(({ to }) => to),
    ['false', 'false', 'false'],
  )
})

test('emulated machines get the maximum CPU instead of the host CPU', () => {
  const observed = finishedHost(cluster, { kvmProblem: 'no vmx' })
  const [change] = planCreate(cluster, [observed])
  assert.is(change?.to, 'CPU maximum, domain type qemu')
})

test('a marker of an upload beside an attached seed ISO removes nothing', () => {
  const fewer = testCluster({ WORKER_COUNT: '0' })
  const path = `${pool}/home-w1-seed.iso.talosmith-upload`
  const observed = finishedHost(cluster, { leftovers: [{ path, node: 'home-w1', file: 'seed' }] })
  assert.equal(planCreate(fewer, [observed]), [])
})

test('removes the incomplete file of a killed run, unless it is recreated', () => {
  const path = '/var/lib/libvirt/images/home-w1-seed.iso.talosmith-partial'
  const leftover = { path, node: 'home-w1', file: 'seed' } as const
  const observed = finishedHost(cluster, { leftovers: [leftover] })
  assert.equal(kinds(planCreate(cluster, [observed])), ['remove-leftover home-w1'])
  const without = {
    ...observed,
    seeds: new Map([...observed.seeds].filter(([p]) => !p.includes('w1'))),
  }
  assert.equal(kinds(planCreate(cluster, [without])), ['create-seed home-w1'])
})

test('machines that are no longer in the settings are left alone', () => {
  const fewer = testCluster({ WORKER_COUNT: '1' })
  assert.equal(planCreate(fewer, [finishedHost(cluster)]), [])
})

test('a machine whose disk is lost gets no empty disk, and is not started', () => {
  const observed = finishedHost(cluster)
  const disks = new Map([...observed.disks].filter(([path]) => !path.includes('home-w1')))
  const off = { state: 'shut off', memoryMib: undefined, cpu: undefined }
  for (const live of [off, { ...off, state: 'running' }]) {
    const lost = withDomain({ ...observed, disks }, 'home-w1', (domain) => ({ ...domain, live }))
    assert.equal(planCreate(cluster, [lost]), [])
  }
})

test('a disk that a killed run has created but not recorded is recorded', () => {
  const killed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    diskNote: 'none',
  }))
  assert.equal(kinds(planCreate(cluster, [killed])), ['record-disk home-w1'])
})

test('a machine with an external snapshot, or another disk, keeps it as it is', () => {
  const desired = testCluster({ WORKER_DISK_GIB: '60', WORKER_COUNT: '1' })
  const path = `${pool}/home-w1.before-change`
  const source = { target: 'vda', type: 'file', source: path }
  const worker = desired.nodes[1] ?? firstOf(desired)
  const observed = withDomain(finishedHost(desired), 'home-w1', (domain) => ({
    ...domain,
    attached: [source],
  }))
  const small = diskFor(desired, worker, 50)
  const overlays = [{ path, disk: small.path, isInUse: true }]
  const disks = new Map([...observed.disks, [small.path, small], [path, { ...small, path }]])
  assert.equal(planCreate(desired, [{ ...observed, disks, overlays }]), [])
  const moved = new Map([...disks].filter(([one]) => one !== small.path))
  assert.equal(planCreate(desired, [{ ...observed, disks: moved }]), [])
})

test('a disk that is not a qcow2 file is not grown', () => {
  const observed = finishedHost(cluster)
  const disk = { ...diskFor(cluster, firstOf(cluster)), qcow2: undefined }
  assert.equal(
    planCreate(cluster, [{ ...observed, disks: new Map([...observed.disks, [disk.path, disk]]) }]),
    [],
  )
})

test('fifty machines that match the settings give an empty plan', () => {
  const big = testCluster({
    CONTROL_PLANE_COUNT: '3',
    WORKER_COUNT: '47',
    CLUSTER_VIP: '10.0.0.60',
  })
  assert.equal(planCreate(big, [finishedHost(big)]), [])
})

test.run()
