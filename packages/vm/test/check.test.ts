import { Problem, type Cluster } from '@talosmith/core'
import { problemOf, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findMissingImages, findProblems, findWarnings, refuse } from '../src/check.ts'
import type { ObservedHost } from '../src/observe.ts'
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
const codes = (asked: Cluster, ...hosts: ObservedHost[]): string[] =>
  findProblems(asked, hosts).map(({ code }) => code)
const only = (asked: Cluster, ...hosts: ObservedHost[]): Problem => {
  const [problem, ...others] = findProblems(asked, hosts)
  assert.equal(others, [])
  if (problem === undefined) throw new Error('no problem found')
  return problem
}

test('finds nothing wrong with a fresh host and with a finished one', () => {
  assert.equal(codes(cluster, emptyHost(cluster)), [])
  assert.equal(codes(cluster, finishedHost(cluster)), [])
})

test('names the bridges when there is no such bridge', () => {
  const problem = only(cluster, emptyHost(cluster, { bridges: ['virbr0', 'lan'] }))
  assert.is(problem.code, 'BRIDGE_NOT_FOUND')
  assert.is(problem.because, 'bridges there: virbr0, lan')
})

test('names the networks when there is no such network', () => {
  const asked = testCluster({ NETWORK_BRIDGE: '', NETWORK_NAME: 'lan' })
  const problem = only(asked, emptyHost(asked))
  assert.is(problem.code, 'NETWORK_NOT_FOUND')
  assert.is(problem.because, 'networks there: default')
})

test('says how to start a network that is there', () => {
  const observed = emptyHost(onNetwork)
  const problem = only(onNetwork, { ...observed, networks: { ...observed.networks, active: [] } })
  assert.is(problem.code, 'NETWORK_INACTIVE')
  assert.match(problem.hint ?? '', 'virsh net-start default')
})

test('refuses addresses that DHCP gives away', () => {
  const observed = emptyHost(onNetwork)
  const dhcp = ['10.0.0.2', '10.0.0.75'] as const
  const problem = only(onNetwork, { ...observed, networks: { ...observed.networks, dhcp } })
  assert.is(problem.code, 'ADDRESS_IN_DHCP_RANGE')
  assert.match(problem.message, 'home-cp1 would get 10.0.0.70')
})

test('refuses a VIP that DHCP gives away', () => {
  const asked = testCluster({
    NETWORK_BRIDGE: '',
    NETWORK_NAME: 'default',
    CONTROL_PLANE_COUNT: '3',
    CLUSTER_VIP: '10.0.0.200',
  })
  const observed = emptyHost(asked)
  const dhcp = ['10.0.0.190', '10.0.0.254'] as const
  const problem = only(asked, { ...observed, networks: { ...observed.networks, dhcp } })
  assert.match(problem.message, 'CLUSTER_VIP is 10.0.0.200')
})

test("refuses addresses outside the libvirt network's own", () => {
  const observed = emptyHost(onNetwork)
  const address = { address: '192.168.122.1', prefixLength: 24 }
  const [problem] = findProblems(onNetwork, [{ ...observed, networks: { ...observed.networks, address } }])
  assert.is(problem?.code, 'ADDRESS_OUTSIDE_NETWORK')
  assert.is(problem?.because, 'on root@kvm1 it is 192.168.122.1/24')
})

test('a domain of the same name that is not ours stops everything, by name', () => {
  const observed = { ...emptyHost(cluster), domains: [foreignDomain(cluster, firstOf(cluster))] }
  const problem = only(cluster, observed)
  assert.is(problem.code, 'VM_NOT_OURS')
  assert.match(problem.message, 'home-cp1')
  assert.is(problem.now, 'nothing was changed')
})

test('says whose a domain of another cluster is', () => {
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({ ...domain, owner: 'b' }))
  assert.match(findProblems(cluster, [observed])[0]?.because ?? '', 'belongs to cluster b')
})

test('a disk in the way that no machine of ours uses may hold data', () => {
  const disk = diskFor(cluster, firstOf(cluster))
  const problem = only(cluster, emptyHost(cluster, { disks: new Map([[disk.path, disk]]) }))
  assert.is(problem.code, 'VM_NOT_OURS')
  assert.match(problem.message, disk.path)
})

test('a file in the way of a seed ISO is not overwritten', () => {
  const seeds = new Map([[`${pool}/home-w1-seed.iso`, undefined]])
  assert.is(only(cluster, emptyHost(cluster, { seeds })).code, 'VM_NOT_OURS')
})

test('a seed ISO of our own that a destroy left is no problem', () => {
  const { seeds } = finishedHost(cluster)
  assert.equal(codes(cluster, emptyHost(cluster, { seeds })), [])
})

test('refuses a MAC address that another machine has', () => {
  const node = firstOf(cluster)
  const taken = foreignDomain(cluster, { ...node, name: 'web' })
  const observed = emptyHost(cluster)
  const domains = [{ ...taken, machine: { ...taken.machine, mac: node.mac } }]
  assert.is(only(cluster, { ...observed, domains }).code, 'MAC_TAKEN')
})

test('refuses to guess when a machine exists on two hosts', () => {
  const two = testCluster({ LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system' })
  const [cp1] = two.nodes
  const here = finishedHost(two, {}, cp1 && [cp1])
  const there = finishedHost(two, { index: 1, host: 'root@b' }, cp1 && [cp1])
  assert.match(only(two, here, there).message, 'home-cp1 exists on root@kvm1 and root@b')
})

test('refuses to shrink a disk and says by how much', () => {
  const problem = only(testCluster({ CONTROL_PLANE_DISK_GIB: '15' }), finishedHost(cluster))
  assert.is(problem.code, 'DISK_SHRINK')
  assert.match(problem.message, 'has 20 GiB and would shrink to 15 GiB')
  assert.match(problem.because ?? '', '5 GiB smaller')
})

test('refuses to change the firmware under an installed system', () => {
  assert.equal(
    new Set(codes(testCluster({ UEFI: 'false' }), finishedHost(cluster))),
    new Set(['FIRMWARE_FIXED']),
  )
})

test('says what KVM lacks, when KVM was asked for', () => {
  const fault = 'the processor offers neither vmx nor svm (/proc/cpuinfo)'
  const asked = testCluster({ DOMAIN_TYPE: 'kvm' })
  const problem = only(asked, emptyHost(asked, { kvmProblem: fault }))
  assert.is(problem.code, 'KVM_UNUSABLE')
  assert.is(problem.because, fault)
})

test('falls back to emulation where KVM was not asked for, and warns', () => {
  const observed = emptyHost(cluster, { kvmProblem: 'there is no /dev/kvm' })
  assert.equal(codes(cluster, observed), [])
  assert.match(findWarnings(cluster, [observed])[0]?.text ?? '', 'emulated')
  assert.equal(findWarnings(cluster, [finishedHost(cluster, { kvmProblem: 'x' })]), [])
})

test('warns of too little memory only for machines that are yet to start', () => {
  assert.match(
    findWarnings(cluster, [emptyHost(cluster, { memoryFreeMib: 2000 })])[0]?.text ?? '',
    '3 machines need 12288 MiB of memory; root@kvm1 has 2000 MiB left',
  )
  assert.equal(findWarnings(cluster, [finishedHost(cluster, { memoryFreeMib: 100 })]), [])
})

test('names missing firmware, tools and folders all at once', () => {
  const asked = testCluster({ SEED_ISO_DIR: '/srv/seeds' })
  const observed = emptyHost(asked, {
    hasUefi: false,
    missingTools: ['xorriso'],
    hasSeedFolder: false,
  })
  assert.equal(codes(asked, observed), [
    'HOST_TOOLS_MISSING',
    'FIRMWARE_MISSING',
    'SEED_FOLDER_MISSING',
  ])
})

test('BIOS machines need no UEFI firmware', () => {
  const asked = testCluster({ UEFI: 'false' })
  assert.equal(codes(asked, emptyHost(asked, { hasUefi: false })), [])
})

test('passes on why the pool cannot be used', () => {
  const poolProblem = new Problem('POOL_INACTIVE', 'the storage pool default is not active')
  assert.equal(codes(cluster, emptyHost(cluster, { poolProblem })), ['POOL_INACTIVE'])
})

test('a host on which no machine belongs is not looked at', () => {
  const two = testCluster({
    LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system',
    WORKER_COUNT: '0',
  })
  const broken = emptyHost(two, { index: 1, host: 'root@b', bridges: [] })
  assert.equal(codes(two, emptyHost(two), broken), [])
})

test('refuses a pool without room for the disks that are yet to be made, and no other', () => {
  const poolFreeBytes = 2.5 * 2 ** 30
  const problem = only(cluster, emptyHost(cluster, { poolFreeBytes }))
  assert.is(problem.code, 'POOL_FULL')
  assert.match(problem.message, 'has 2.5 GiB left for 3 disks')
  assert.equal(codes(cluster, finishedHost(cluster, { poolFreeBytes: 0 })), [])
})

test('asks for the image once, and only where a disk has to be made from it', () => {
  const without = emptyHost(cluster, { hasImage: false })
  const [problem, ...others] = findMissingImages(cluster, [without])
  assert.is(problem?.code, 'IMAGE_MISSING')
  assert.match(problem?.hint ?? '', 'image:download')
  assert.equal(others, [])
  assert.equal(findMissingImages(cluster, [finishedHost(cluster, { hasImage: false })]), [])
})

test('an image of the user’s own is not downloaded', () => {
  const asked = testCluster({ IMAGE_PATH: '/srv/talos.raw' })
  const [problem] = findMissingImages(asked, [emptyHost(asked, { hasImage: false })])
  assert.match(problem?.hint ?? '', 'IMAGE_PATH')
})

test('refuses with the first problem and names all others', async () => {
  const first = new Problem('A', 'one', { because: 'why', hint: 'do' })
  const problem = await problemOf(
    Promise.resolve().then(() => refuse([first, new Problem('B', 'two')])),
  )
  assert.is(problem.code, 'A')
  assert.is(problem.because, 'why\nbesides, B: two')
  assert.is(problem.hint, 'do')
  refuse([])
})

test('a domain that is ours is no obstacle', () => {
  const observed = emptyHost(cluster)
  const domains = cluster.nodes.map((node) => domainFor(cluster, node))
  assert.equal(codes(cluster, { ...observed, domains }), [])
})

test.run()
