import { Problem, type Cluster } from '@talosmith/core'
import { problemOf, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findMissingImages, findProblems, findWarnings, refuse } from '../src/check.ts'
import type { ObservedHost } from '../src/observe.ts'
import { planCreate } from '../src/plan-create.ts'
import {
  diskFor,
  domainFor,
  firstOf,
  foreignDomain,
  pool,
  finishedHost,
  emptyHost,
  withDomain,
} from './observed-hosts.ts'

const cluster = testCluster()
const onNetwork = testCluster({ NETWORK_BRIDGE: '', NETWORK_NAME: 'default' })
const codes = (desired: Cluster, ...hosts: ObservedHost[]): string[] =>
  findProblems(desired, hosts).map(({ code }) => code)
const only = (desired: Cluster, ...hosts: ObservedHost[]): Problem => {
  const [problem, ...others] = findProblems(desired, hosts)
  assert.equal(others, [])
  if (problem === undefined) throw new Error('no problem found')
  return problem
}

test('an empty host and a finished one have no problems', () => {
  assert.equal(codes(cluster, emptyHost(cluster)), [])
  assert.equal(codes(cluster, finishedHost(cluster)), [])
})

for (const [state, expected] of [
  ['running', ['CONTROL_PLANES_LEFT']],
  ['paused', ['CONTROL_PLANES_LEFT']],
  ['shut off', []],
] as const)
  test(`a control plane that a lowered count no longer names is ${state}`, () => {
    const whole = testCluster({ CONTROL_PLANE_COUNT: '3' })
    const host = finishedHost(cluster)
    const live = { state, memoryMib: undefined, cpu: undefined }
    const further = whole.controlPlanes.slice(1).map((node) => domainFor(whole, node, { live }))
    const problems = findProblems(cluster, [{ ...host, domains: [...host.domains, ...further] }])
    assert.equal(
      problems.map(({ code }) => code),
      expected,
    )
    if (problems[0] === undefined) return
    assert.match(problems[0].because ?? '', `home-cp2 is ${state} on root@kvm1`)
    assert.match(problems[0].hint ?? '', 'set CONTROL_PLANE_COUNT=3 again')
  })

test('a worker that a lowered count no longer names is no problem', () => {
  const whole = testCluster({ WORKER_COUNT: '3' })
  const host = finishedHost(cluster)
  const further = whole.nodes.slice(-1).map((node) => domainFor(whole, node))
  assert.equal(codes(cluster, { ...host, domains: [...host.domains, ...further] }), [])
})

test('names the bridges when there is no such bridge', () => {
  const problem = only(cluster, emptyHost(cluster, { bridges: ['virbr0', 'lan'] }))
  assert.is(problem.code, 'BRIDGE_NOT_FOUND')
  assert.is(problem.because, 'bridges there: virbr0, lan')
})

test('names the networks when there is no such network', () => {
  const desired = testCluster({ NETWORK_BRIDGE: '', NETWORK_NAME: 'lan' })
  const problem = only(desired, emptyHost(desired))
  assert.is(problem.code, 'NETWORK_NOT_FOUND')
  assert.is(problem.because, 'networks there: default')
})

test('has a hint to start an inactive network', () => {
  const observed = emptyHost(onNetwork)
  const problem = only(onNetwork, { ...observed, networks: { ...observed.networks, active: [] } })
  assert.is(problem.code, 'NETWORK_INACTIVE')
  assert.match(problem.hint ?? '', 'virsh net-start default')
})

test('rejects addresses outside the libvirt network, with the lines of the env file', () => {
  const observed = emptyHost(onNetwork)
  const address = { address: '192.168.122.1', prefixLength: 24 }
  const problem = only(onNetwork, { ...observed, networks: { ...observed.networks, address } })
  assert.is(problem.code, 'ADDRESS_OUTSIDE_NETWORK')
  assert.match(problem.message, 'the libvirt network default on root@kvm1 has 192.168.122.1/24')
  assert.is(
    problem.hint,
    'put into env/home.env:\nNETWORK_CIDR=192.168.122.0/24\nNETWORK_GATEWAY=192.168.122.1',
  )
})

test('judges a routed libvirt network by the machines on its host', () => {
  const two = testCluster({
    ...{ NETWORK_BRIDGE: '', NETWORK_NAME: 'default', NETWORK_CIDR: '192.168.122.0/24' },
    LIBVIRT_URI: 'qemu+ssh://kvm1/system,qemu+ssh://kvm2/system',
    ...{ CONTROL_PLANE_IP_OFFSET: '70', WORKER_IP_OFFSET: '200', WORKER_COUNT: '1' },
  })
  const on = (index: number, address: string) => {
    const observed = emptyHost(two, { index })
    const own = { address, prefixLength: 25 }
    return { ...observed, networks: { ...observed.networks, address: own } }
  }
  assert.equal(
    two.nodes.map(({ host }) => host),
    [0, 1],
  )
  assert.equal(codes(two, on(0, '192.168.122.1'), on(1, '192.168.122.129')), [])
  assert.equal(codes(two, on(0, '192.168.122.1'), on(1, '192.168.122.2')), [
    'ADDRESS_OUTSIDE_NETWORK',
  ])
})

const lan = { bridge: 'br0', address: '192.168.1.2/24', gateway: '192.168.1.254' }
const neverRan = {
  identity: { clusterId: undefined, hasEvidence: false, hasRun: false, wasBootstrapped: false },
}

test('rejects a bridge of another network, with the lines of the env file', () => {
  const problem = only(cluster, emptyHost(cluster, { ...neverRan, bridgeNetworks: [lan] }))
  assert.is(problem.code, 'ADDRESS_OUTSIDE_NETWORK')
  assert.is(
    problem.message,
    'bridge br0 on root@kvm1 has 192.168.1.2/24, which is not in NETWORK_CIDR 10.0.0.0/24',
  )
  assert.match(
    problem.hint ?? '',
    /^put into env\/home\.env:\nNETWORK_CIDR=192\.168\.1\.0\/24\nNETWORK_GATEWAY=192\.168\.1\.254\nor, if 10\.0\.0\.0\/24 is right, give the bridge an address in it$/,
  )
})

test('a bridge of another network is a problem where no machine has run', () => {
  const bridgeNetworks = [lan]
  // Without files of the cluster: it is new, or was created from another computer.
  assert.equal(codes(cluster, emptyHost(cluster, { bridgeNetworks })), ['ADDRESS_OUTSIDE_NETWORK'])
  assert.equal(codes(cluster, finishedHost(cluster, { bridgeNetworks })), [])
})

test('a cluster that was bootstrapped, or runs on another host, gets a bridge behind a router', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu+ssh://kvm1/system,qemu+ssh://kvm2/system' })
  const [first, ...rest] = two.nodes
  const has = finishedHost(two, {}, first === undefined ? [] : [first])
  const added = (more: Partial<ObservedHost>) =>
    emptyHost(two, { index: 1, host: 'root@kvm2', bridgeNetworks: [lan], ...more })
  assert.ok(rest.some(({ host }) => host === 1))
  assert.equal(codes(two, has, added(neverRan)), [])
  const gone = emptyHost(two)
  assert.equal(codes(two, gone, added(neverRan)), ['ADDRESS_OUTSIDE_NETWORK'])
  const identity = { ...neverRan.identity, wasBootstrapped: true }
  assert.equal(codes(two, gone, added({ identity })), [])
})

test('a libvirt network on a bridge of the host is in the network of that bridge', () => {
  const observed = emptyHost(onNetwork, { ...neverRan, bridgeNetworks: [lan] })
  const networks = { ...observed.networks, bridge: 'br0' }
  assert.equal(codes(onNetwork, { ...observed, networks }), ['ADDRESS_OUTSIDE_NETWORK'])
  assert.equal(codes(onNetwork, observed), [])
})

for (const [title, more] of [
  ['without an address', { ...neverRan, bridgeNetworks: [] }],
  [
    'with a link-local address',
    { ...neverRan, bridgeNetworks: [{ ...lan, address: '169.254.3.4/16' }] },
  ],
  [
    'with an address in NETWORK_CIDR and another one',
    { ...neverRan, bridgeNetworks: [lan, { ...lan, address: '10.0.0.2/24' }] },
  ],
  ['beside one of another network', { ...neverRan, bridgeNetworks: [{ ...lan, bridge: 'br1' }] }],
] as const)
  test(`accepts a bridge ${title}`, () => {
    assert.equal(codes(cluster, emptyHost(cluster, more)), [])
  })

test('names each host whose bridge is in another network', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu+ssh://kvm1/system,qemu+ssh://kvm2/system' })
  const hosts = [0, 1].map((index) =>
    emptyHost(two, {
      ...neverRan,
      ...{ index, host: `kvm${index + 1}` },
      bridgeNetworks: [{ ...lan, address: `192.168.${index + 1}.2/24`, gateway: undefined }],
    }),
  )
  assert.equal(
    findProblems(two, hosts).map(({ message, hint = '' }) => [
      /on kvm\d/.exec(message)?.[0],
      /NETWORK_CIDR=.*\n# .*/.exec(hint)?.[0],
    ]),
    [
      [
        'on kvm1',
        'NETWORK_CIDR=192.168.1.0/24\n# if the router is not 192.168.1.1: NETWORK_GATEWAY=<its address>',
      ],
      [
        'on kvm2',
        'NETWORK_CIDR=192.168.2.0/24\n# if the router is not 192.168.2.1: NETWORK_GATEWAY=<its address>',
      ],
    ],
  )
})

test('a domain of the same name and another owner is an error that names it', () => {
  const observed = { ...emptyHost(cluster), domains: [foreignDomain(cluster, firstOf(cluster))] }
  const problem = only(cluster, observed)
  assert.is(problem.code, 'VM_NOT_OURS')
  assert.match(problem.message, 'home-cp1')
  assert.is(problem.now, 'nothing was changed')
})

test('names the cluster that owns a domain', () => {
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    owner: 'b',
  }))
  assert.match(findProblems(cluster, [observed])[0]?.because ?? '', 'belongs to cluster b')
})

test('an existing disk that no machine of ours uses is not overwritten', () => {
  const disk = diskFor(cluster, firstOf(cluster))
  const problem = only(cluster, emptyHost(cluster, { disks: new Map([[disk.path, disk]]) }))
  assert.is(problem.code, 'VM_NOT_OURS')
  assert.match(problem.message, disk.path)
})

test('an existing file at the path of a seed ISO is not overwritten', () => {
  const seeds = new Map([[`${pool}/home-w1-seed.iso`, undefined]])
  assert.is(only(cluster, emptyHost(cluster, { seeds })).code, 'VM_NOT_OURS')
})

test('our own seed ISO, left by a destroy, is no problem', () => {
  const { seeds } = finishedHost(cluster)
  assert.equal(codes(cluster, emptyHost(cluster, { seeds })), [])
})

test('rejects a MAC address that another machine has', () => {
  const node = firstOf(cluster)
  const taken = foreignDomain(cluster, { ...node, name: 'web' })
  const observed = emptyHost(cluster)
  const domains = [{ ...taken, machine: { ...taken.machine, mac: node.mac } }]
  assert.is(only(cluster, { ...observed, domains }).code, 'MAC_TAKEN')
})

test('a machine that exists on two hosts is an error', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system' })
  const [cp1] = two.nodes
  const here = finishedHost(two, {}, cp1 && [cp1])
  const there = finishedHost(two, { index: 1, host: 'root@b' }, cp1 && [cp1])
  assert.match(only(two, here, there).message, 'home-cp1 exists on root@kvm1 and root@b')
})

test('rejects shrinking a disk, and reports both sizes', () => {
  const problem = only(testCluster({ CONTROL_PLANE_DISK_GIB: '15' }), finishedHost(cluster))
  assert.is(problem.code, 'DISK_SHRINK')
  assert.match(problem.message, 'has 20 GiB and would shrink to 15 GiB')
  assert.match(problem.because ?? '', 'by 5 GiB')
})

test('rejects changing the firmware of an installed system', () => {
  assert.equal(
    new Set(codes(testCluster({ UEFI: 'false' }), finishedHost(cluster))),
    new Set(['FIRMWARE_FIXED']),
  )
})

test('reports why KVM cannot be used, when DOMAIN_TYPE=kvm', () => {
  const reason = 'the processor offers neither vmx nor svm (/proc/cpuinfo)'
  const desired = testCluster({ DOMAIN_TYPE: 'kvm' })
  const problem = only(desired, emptyHost(desired, { kvmProblem: reason }))
  assert.is(problem.code, 'KVM_UNUSABLE')
  assert.is(problem.because, reason)
})

test('a host without an x86_64 machine, such as one with ARM, has no other problem of machines', () => {
  const reason = "Cannot find QEMU binary /usr/bin/qemu-system-aarch64 for machine 'q35'"
  const observed = { emulatorProblem: reason, kvmProblem: 'no vmx', hasUefi: false }
  const problem = only(cluster, emptyHost(cluster, observed))
  assert.is(problem.code, 'EMULATOR_MISSING')
  assert.is(problem.because, reason)
  assert.match(problem.hint ?? '', 'ARM hosts are not supported')
})

test('falls back to emulation with a warning, when DOMAIN_TYPE=auto', () => {
  const observed = emptyHost(cluster, { kvmProblem: 'there is no /dev/kvm' })
  assert.equal(codes(cluster, observed), [])
  assert.match(findWarnings(cluster, [observed])[0]?.text ?? '', 'emulated')
  assert.equal(findWarnings(cluster, [finishedHost(cluster, { kvmProblem: 'x' })]), [])
})

test('warns of too little memory only for machines that are not running', () => {
  assert.match(
    findWarnings(cluster, [emptyHost(cluster, { memoryFreeMib: 2000 })])[0]?.text ?? '',
    '3 machines need 12288 MiB of memory; root@kvm1 has 2000 MiB left',
  )
  assert.equal(findWarnings(cluster, [finishedHost(cluster, { memoryFreeMib: 100 })]), [])
})

test('a folder of seed ISOs must be writable, unless it is the pool’s', () => {
  for (const [folder, expected] of [
    ['/srv/seeds', ['SEED_FOLDER_NOT_WRITABLE']],
    [pool, []],
    [`${pool}/`, []],
  ] as const) {
    const desired = testCluster({ SEED_ISO_DIR: folder })
    const rights = { isPoolWritable: false, isSeedFolderWritable: false }
    assert.equal(codes(desired, emptyHost(desired, rights)), expected)
    assert.equal(codes(desired, finishedHost(desired, rights)), [])
  }
})

test('names missing firmware, tools and folders all at once', () => {
  const desired = testCluster({ SEED_ISO_DIR: '/srv/seeds' })
  const observed = emptyHost(desired, {
    hasUefi: false,
    missingTools: ['xorriso'],
    hasSeedFolder: false,
  })
  assert.equal(codes(desired, observed), [
    'HOST_TOOLS_MISSING',
    'FIRMWARE_MISSING',
    'SEED_FOLDER_MISSING',
  ])
})

test('BIOS machines need no UEFI firmware', () => {
  const desired = testCluster({ UEFI: 'false' })
  assert.equal(codes(desired, emptyHost(desired, { hasUefi: false })), [])
})

test('reports why the pool cannot be used', () => {
  const poolProblem = new Problem('POOL_INACTIVE', 'the storage pool default is not active')
  assert.equal(codes(cluster, emptyHost(cluster, { poolProblem })), ['POOL_INACTIVE'])
})

test('a host without machines in the settings is not checked', () => {
  const two = testCluster({
    LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system',
    WORKER_COUNT: '0',
  })
  const broken = emptyHost(two, { index: 1, host: 'root@b', bridges: [] })
  assert.equal(codes(two, emptyHost(two), broken), [])
})

test('rejects a pool only if it has no space for the disks to be created', () => {
  const poolFreeBytes = 2.5 * 2 ** 30
  const problem = only(cluster, emptyHost(cluster, { poolFreeBytes }))
  assert.is(problem.code, 'POOL_FULL')
  assert.match(problem.message, 'has 2.5 GiB left for 3 disks')
  assert.equal(codes(cluster, finishedHost(cluster, { poolFreeBytes: 0 })), [])
})

test('a missing image is reported once, and only if a disk has to be created from it', () => {
  const without = emptyHost(cluster, { hasImage: false })
  const [problem, ...others] = findMissingImages(cluster, [without])
  assert.is(problem?.code, 'IMAGE_MISSING')
  assert.match(problem?.hint ?? '', 'image:download')
  assert.equal(others, [])
  assert.equal(findMissingImages(cluster, [finishedHost(cluster, { hasImage: false })]), [])
})

test('an image at IMAGE_PATH is not downloaded', () => {
  const desired = testCluster({ IMAGE_PATH: '/srv/talos.raw' })
  const [problem] = findMissingImages(desired, [emptyHost(desired, { hasImage: false })])
  assert.match(problem?.hint ?? '', 'IMAGE_PATH')
})

test('throws the first problem and lists all others', async () => {
  const first = new Problem('A', 'one', { because: 'why', hint: 'do' })
  const problem = await problemOf(
    Promise.resolve().then(() => refuse([first, new Problem('B', 'two')])),
  )
  assert.is(problem.code, 'A')
  assert.is(problem.because, 'why\nalso B: two')
  assert.is(problem.hint, 'do')
  refuse([])
})

test('a domain of this cluster that has no disk yet is no problem', () => {
  const observed = emptyHost(cluster)
  const domains = cluster.nodes.map((node) =>
    domainFor(cluster, node, {
      diskNote: 'none',
      live: { state: 'shut off', memoryMib: undefined, cpu: undefined },
    }),
  )
  assert.equal(codes(cluster, { ...observed, domains }), [])
})

const moves: Readonly<Record<string, [Record<string, string>, string]>> = {
  'another control plane offset': [
    { CONTROL_PLANE_IP_OFFSET: '50' },
    'set CONTROL_PLANE_IP_OFFSET=70 again',
  ],
  'another worker offset': [{ WORKER_IP_OFFSET: '90' }, 'set WORKER_IP_OFFSET=80 again'],
  'another network': [{ NETWORK_CIDR: '10.0.1.0/24' }, 'set NETWORK_CIDR=10.0.0.0/24 again'],
  'a wider network': [{ NETWORK_CIDR: '10.0.0.0/16' }, 'set NETWORK_CIDR=10.0.0.0/24 again'],
  'another MAC prefix': [
    { MAC_PREFIX: '52:54:00:aa:bb' },
    /set MAC_PREFIX=52:54:00:\w\w:\w\w again/.source,
  ],
}
for (const [what, [settings, hint]] of Object.entries(moves))
  test(`a cluster that has run does not get ${what}`, () => {
    const desired = testCluster(settings)
    const files = emptyHost(desired).files
    const observed = finishedHost(cluster, { files })
    const problem = only(desired, observed)
    assert.is(problem.code, 'ADDRESS_FIXED')
    assert.match(problem.hint ?? '', new RegExp(hint))
    assert.match(problem.hint ?? '', 'cluster:destroy')
    const planned = planCreate(desired, [observed])
    assert.equal(
      planned.filter(({ kind }) => kind === 'create-seed' || kind === 'update-domain'),
      [],
    )
    // Nothing runs yet: a first attempt with a wrong network is corrected by the next run.
    const identity = { ...observed.identity, hasRun: false }
    const unused = { ...observed, identity, bridgeNetworks: [] }
    assert.equal(codes(desired, unused), [])
    assert.ok(planCreate(desired, [unused]).length > 0)
  })

test('another gateway, other name servers and more workers are no move', () => {
  const desired = testCluster({
    NETWORK_GATEWAY: '10.0.0.254',
    NETWORK_NAMESERVERS: '9.9.9.9',
    WORKER_COUNT: '3',
  })
  assert.equal(codes(desired, finishedHost(cluster, { files: emptyHost(desired).files })), [])
})

test('a MAC address that was changed by hand is put right, not taken for a move', () => {
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    machine: { ...domain.machine, mac: '52:54:00:00:00:01' },
  }))
  assert.equal(codes(cluster, observed), [])
  assert.ok(planCreate(cluster, [observed]).some(({ kind }) => kind === 'update-domain'))
})

test('a renamed cluster does not get a second set of machines at the same addresses', () => {
  const renamed = testCluster({ CLUSTER_NAME: 'house' })
  const problems = findProblems(renamed, [
    finishedHost(cluster, { files: emptyHost(renamed).files }),
  ])
  assert.equal([...new Set(problems.map(({ code }) => code))], ['ADDRESS_TAKEN'])
  assert.match(problems[0]?.hint ?? '', 'set CLUSTER_NAME=home again')
})

test('CLUSTER_VIP is not the address of a machine of another cluster, also one that is off', () => {
  const second = testCluster({
    ...{ CLUSTER_NAME: 'trial', CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.70' },
    ...{ CONTROL_PLANE_IP_OFFSET: '20', WORKER_IP_OFFSET: '30' },
  })
  const off = withDomain(
    finishedHost(cluster, { files: emptyHost(second).files }),
    'home-cp1',
    (domain) => ({ ...domain, live: { ...domain.live, state: 'shut off' } }),
  )
  const [problem, ...others] = findProblems(second, [off])
  assert.equal([problem?.code, others.length], ['ADDRESS_TAKEN', 0])
  assert.match(problem?.message ?? '', 'CLUSTER_VIP would get 10.0.0.70, the address of home-cp1')
  assert.match(problem?.hint ?? '', 'for a second cluster, change CLUSTER_VIP')
})

test.run()
