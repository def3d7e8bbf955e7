import type { Cluster } from '@talosmith/core'
import { problemOf, recordingHost } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findMissingImages, findProblems } from '../src/check.ts'
import { observeHost } from '../src/observe.ts'
import { planCreate } from '../src/plan-create.ts'
import { planDestroy } from '../src/plan-destroy.ts'
import { describeSeed, encodeSeedMarker } from '../src/seed-iso.ts'
import { capabilities, domainXml, fakeHost, ownCluster, type Fake } from './fake-host.ts'
import { answerBatch } from './fake-virsh.ts'
import { clusterId, pool } from './observed-hosts.ts'

const cluster = ownCluster()
function diskLine(path: string, gib: number): string {
  const header = Buffer.alloc(4096)
  header.write('QFI\xfb', 'latin1')
  header.writeBigUInt64BE(BigInt(gib) * 2n ** 30n, 24)
  return `disk 2048 ${header.toString('base64')} ${path}`
}

function seedLine(desired: Cluster, name: string, path: string): string {
  const node = desired.nodes.find((one) => one.name === name)
  if (node === undefined) throw new Error(`no node ${name}`)
  const { publisher, application } = encodeSeedMarker({
    cluster: desired.name,
    clusterId,
    node: name,
    digest: describeSeed(desired, node).digest,
  })
  const sector = Buffer.alloc(2048, ' ')
  sector.write('CD001', 1)
  sector.write('cidata', 40)
  sector.write(publisher, 318)
  sector.write(application, 574)
  return `seed ${sector.toString('base64')} 65536 ${path}`
}

function finished(desired: Cluster): Fake {
  return {
    domains: Object.fromEntries(desired.nodes.map(({ name }) => [name, domainXml(desired, name)])),
    files: desired.nodes.flatMap(({ name, diskGib }) => [
      diskLine(`${pool}/${name}.qcow2`, diskGib),
      seedLine(desired, name, `${pool}/${name}-seed.iso`),
    ]),
  }
}

test('one virsh process and one command observe a finished cluster', async () => {
  const host = fakeHost(finished(cluster))
  const observed = await observeHost(host, cluster, 0)
  assert.is(host.commands.length, 2)
  assert.equal(findProblems(cluster, [observed]), [])
  assert.equal(planCreate(cluster, [observed]), [])
})

test('each host is observed with its own pool and network', async () => {
  const named = ownCluster({
    LIBVIRT_URI: 'big=qemu:///system,small=qemu+ssh://root@kvm2/system',
    HOST_SMALL_STORAGE_POOL: 'nvme',
    HOST_SMALL_NETWORK_NAME: 'lan',
  })
  const commands = await Promise.all(
    [0, 1].map(async (index) => {
      const host = fakeHost()
      await observeHost(host, named, index)
      return [...host.commands, ...host.inputs.values()].join('\n')
    }),
  )
  assert.equal(
    commands.map((text) => [/ nvme/.test(text), / lan/.test(text)]),
    [
      [false, false],
      [true, true],
    ],
  )
})

test('fifty machines take as many commands as three', async () => {
  const big = ownCluster({
    CONTROL_PLANE_COUNT: '3',
    WORKER_COUNT: '47',
    NETWORK_CIDR: '10.0.0.0/16',
  })
  const host = fakeHost(finished(big))
  assert.equal(planCreate(big, [await observeHost(host, big, 0)]), [])
  assert.is(host.commands.length, 2)
})

test('an empty host has no machines, no disks and no problems', async () => {
  const observed = await observeHost(fakeHost(), cluster, 0)
  assert.equal(observed.domains, [])
  assert.is(observed.disks.size, 0)
  assert.is(observed.kvmProblem, undefined)
  assert.is(observed.directIo, true)
  assert.equal(findProblems(cluster, [observed]), [])
  assert.equal(findMissingImages(cluster, [observed]), [])
})

test('machines that are no longer in the settings are found', async () => {
  const fewer = ownCluster({ WORKER_COUNT: '0' })
  const host = fakeHost(finished(cluster))
  const observed = await observeHost(host, fewer, 0)
  assert.equal(
    observed.domains.map(({ name }) => name),
    ['home-cp1', 'home-w1', 'home-w2'],
  )
  assert.is(host.commands.length, 3)
})

test('the disk of a machine that is no longer in the settings is found in any folder', async () => {
  const fewer = ownCluster({ WORKER_COUNT: '0' })
  const moved = (text: string): string => text.replaceAll(`${pool}/home-w1`, '/old/home-w1')
  const fake = finished(cluster)
  const host = fakeHost({
    domains: { ...fake.domains, 'home-w1': moved(fake.domains?.['home-w1'] ?? '') },
    files: fake.files?.map(moved) ?? [],
  })
  const observed = await observeHost(host, fewer, 0)
  assert.match(host.commands.at(-1) ?? '', '/old/home-w1.qcow2')
  const paths = planDestroy(fewer, [observed]).map(({ kind, path }) => `${kind} ${path}`)
  assert.ok(paths.includes('remove-disk /old/home-w1.qcow2'))
  assert.ok(paths.includes('remove-seed /old/home-w1-seed.iso'))
})

test('the files of another cluster’s machines are not observed', async () => {
  const office = ownCluster({ CLUSTER_NAME: 'office' })
  const host = fakeHost({ domains: { 'office-w1': domainXml(office, 'office-w1') } })
  await observeHost(host, cluster, 0)
  const command = host.commands.at(-1) ?? ''
  assert.not.match(command, /^(?:disks=|for (?:name|file) in).*office-w1\.qcow2/m)
})

test('machines are read by UUID, because virsh takes a number for the ID of another machine', async () => {
  const host = fakeHost({ domains: { 7: '<domain><name>7</name></domain>' } })
  const observed = await observeHost(host, cluster, 0)
  assert.match(host.commands.join('\n'), 'list --all --uuid')
  assert.equal(
    observed.domains.map(({ uuid }) => uuid),
    ['7'],
  )
})

test('the disk that a machine uses now, and the one from its next start', async () => {
  const fake = finished(cluster)
  // libvirt writes letters other than ASCII as numbers.
  const now =
    fake.domains?.['home-w1']?.replace(
      /file="[^"]*home-w1.qcow2"(?=\/>|><)/g,
      'file="/pool/home-w1.s &#xFC;"',
    ) ?? ''
  const host = fakeHost({ ...fake, virsh: { 'dumpxml home-w1': now } })
  const { domains } = await observeHost(host, cluster, 0)
  assert.equal(domains.find(({ name }) => name === 'home-w1')?.attached, [
    { target: 'vda', type: 'file', source: '/pool/home-w1.s ü' },
    { target: 'vda', type: 'file', source: `${pool}/home-w1.qcow2` },
  ])
})

test('KVM cannot be used without the CPU flag, although libvirt offers it', async () => {
  const host = recordingHost(
    (command) =>
      answerBatch(command, (words) => {
        if (words.startsWith('pool-dumpxml'))
          return `<pool type='dir'><target><path>${pool}</path></target></pool>`
        if (words.startsWith('pool-list')) return 'default'
        return words.startsWith('dumpxml') ? { error: 'failed to get domain' } : capabilities
      }) ?? 'kvm\nbridge br0',
  )
  const { kvmProblem } = await observeHost(host, ownCluster(), 0)
  assert.match(kvmProblem ?? '', 'vmx nor svm')
})

test('an inactive pool is a problem, but its files are observed', async () => {
  const files = [diskLine(`${pool}/home-cp1.qcow2`, 20)]
  const host = fakeHost({ files, virsh: { 'pool-list --name': '' } })
  const observed = await observeHost(host, cluster, 0)
  assert.is(observed.poolProblem?.code, 'POOL_INACTIVE')
  assert.ok(observed.disks.has(`${pool}/home-cp1.qcow2`))
})

test('a missing pool is a problem, but domains are observed', async () => {
  const host = fakeHost({ ...finished(cluster), virsh: { 'pool-dumpxml': { error: 'not found' } } })
  const observed = await observeHost(host, cluster, 0)
  assert.is(observed.poolProblem?.code, 'POOL_NOT_FOUND')
  assert.is(observed.domains.length, 3)
})

test('fails when libvirt does not answer', async () => {
  const host = recordingHost(() => ({
    stderr: 'error: failed to connect to the hypervisor\n',
    exitCode: 1,
  }))
  assert.is((await problemOf(observeHost(host, cluster, 0))).code, 'LIBVIRT_UNREACHABLE')
})

test('files of a cluster whose name starts with ours are ignored', async () => {
  const files = [
    diskLine(`${pool}/home-cp1-w1.qcow2`, 20),
    diskLine(`${pool}/home-w1.qcow2`, 20),
    `partial ${pool}/home-cp1-w1.qcow2.talosmith-partial`,
    `partial ${pool}/home-w1.qcow2.talosmith-partial`,
    `partial ${pool}/home-w2-seed.iso.talosmith-partial`,
  ]
  const observed = await observeHost(fakeHost({ files }), cluster, 0)
  assert.equal([...observed.disks.keys()], [`${pool}/home-w1.qcow2`])
  assert.equal(observed.leftovers, [
    { path: `${pool}/home-w1.qcow2.talosmith-partial`, node: 'home-w1', file: 'disk' },
    { path: `${pool}/home-w2-seed.iso.talosmith-partial`, node: 'home-w2', file: 'seed' },
  ])
})

test('reads the sizes of NVRAM and logs', async () => {
  const path = '/var/lib/libvirt/qemu/nvram/home-w1_VARS.fd'
  const host = fakeHost({ ...finished(cluster), files: [`beside 540672 ${path}`] })
  assert.equal((await observeHost(host, cluster, 0)).beside, [{ path, bytes: 540_672 }])
})

test('reads paths with spaces', async () => {
  const desired = ownCluster()
  const xml = domainXml(desired, 'home-cp1').replaceAll(`${pool}/home-cp1`, '/my pool/home-cp1')
  const files = [diskLine('/my pool/home-cp1.qcow2', 20)]
  const observed = await observeHost(fakeHost({ domains: { 'home-cp1': xml }, files }), desired, 0)
  assert.is(observed.domains[0]?.own?.disk, '/my pool/home-cp1.qcow2')
  assert.ok(observed.disks.has('/my pool/home-cp1.qcow2'))
})

test('a domain that is removed between two commands is ignored', async () => {
  const host = fakeHost({
    domains: { web: '<domain/>' },
    virsh: { 'dumpxml --inactive web': { error: "failed to get domain 'web'" } },
  })
  assert.equal((await observeHost(host, cluster, 0)).domains, [])
})

test.run()
