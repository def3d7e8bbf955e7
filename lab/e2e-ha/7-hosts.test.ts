/** Hosts and networks as people have them: a login without root, fish, a proxy, libvirt's stock network. */
import { join } from 'node:path'
import { createLog, local, projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  kubernetesNodes,
  labCluster,
  nx,
  removeCluster,
  run,
  scriptOf,
  type Overrides,
} from '../e2e/support.ts'
import { factoryPort, kvm1, libvirtUri, machineAddress, sshFolder } from '../src/layout.ts'
import { inside } from '../src/namespace.ts'
import { installPackages, neededByOtherHosts } from '../src/packages.ts'
import { startProxy } from './forward-proxy.ts'
import { addOperator, removeOperator } from './operator.ts'
import { startSlowLink } from './slow-link.ts'

const pool = '/var/lib/libvirt/images'
const onHost = async (...command: string[]): Promise<string> =>
  (await local.$`${inside(kvm1)} ${command}`).stdout
const virsh = (...args: string[]): Promise<string> =>
  onHost('virsh', '-q', '-c', 'qemu:///system', ...args)

const oneAndOne = { CONTROL_PLANE_CPU: '1', WORKER_COUNT: '1', NFS_SERVER: '' }
const grown = { WORKER_DISK_GIB: '11' }

/** Eight stages connect to the host: about 7 round trips each for the key exchange and login, 4 to 7 for its questions. */
const roundTripsOfNoOp = 140

const names = async (overrides: Overrides): Promise<string[]> =>
  (await kubernetesNodes(await labCluster(overrides))).map(({ metadata }) => metadata.name)

test('the host has a login without root, whose shell is fish', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await installPackages(createLog(), neededByOtherHosts)
  for (const overrides of [{}, { CLUSTER_NAME: 'labdx' }, { CLUSTER_NAME: 'labha' }])
    await removeCluster(overrides)
  await addOperator(kvm1, '/usr/bin/fish')
  const [, key = ''] = /^\S+ (\S+ \S+)$/m.exec(await local.read(`${sshFolder}/known_hosts`)) ?? []
  await local.write(knownHosts, `[${machineAddress}]:${link.port} ${key}\n`)
  // As the packages of Debian, Ubuntu and Fedora have it: only root sees the files in it.
  await onHost('chmod', '711', pool)
})

const proxy = await startProxy(machineAddress, { 'factory.example': kvm1.address })
const link = await startSlowLink(machineAddress, kvm1.address)
const knownHosts = join(temporaryFolder('slow-link'), 'known_hosts')

const operator = {
  ...oneAndOne,
  CLUSTER_NAME: 'labgroup',
  LIBVIRT_URI: libvirtUri(`operator@${machineAddress}:${link.port}`, knownHosts),
  // Only the proxy knows this name.
  TALOS_FACTORY_URL: `http://factory.example:${factoryPort}`,
  HTTP_PROXY: proxy.url,
  HTTPS_PROXY: proxy.url,
  HOST_PROXY: proxy.url,
}

test('such a login makes a cluster through libvirt, and all that is fetched passes the proxy', async () => {
  assert.is((await nx('cluster:up', operator)).code, 0)
  assert.equal(await names(operator), ['labgroup-cp1', 'labgroup-w1'])
  const files = await onHost('find', pool, '-type', 'f', '-printf', '%f %u\n')
  for (const name of [
    'labgroup-cp1.qcow2 root',
    'labgroup-w1.qcow2 root',
    'labgroup-w1-seed.iso root',
  ])
    assert.match(files, name)
  assert.ok(proxy.passed.some((one) => one.includes('factory.example')))
  const passed = proxy.passed.join('\n')
  assert.not.match(passed, ':6443')
  assert.not.match(passed, ':50000')
})

test('such a login grows a disk, and the cluster is up to date then', async () => {
  const larger = { ...operator, ...grown }
  assert.is((await nx('cluster:up', larger)).code, 0)
  assert.match(await virsh('vol-info', 'labgroup-w1.qcow2', 'default'), '11.00 GiB')
  assert.is((await run(scriptOf('scripts/plan.ts'), larger)).code, 0)
})

test('a run that changes nothing waits for a host far away a bounded number of times', async () => {
  for (const roundTripMs of [0, 50, 150]) {
    link.delayMs = roundTripMs / 2
    link.roundTrips = 0
    const started = performance.now()
    assert.is((await nx('cluster:up', { ...operator, ...grown })).code, 0)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    console.log(`${roundTripMs} ms: ${link.roundTrips} round trips, ${seconds} s`)
    assert.ok(link.roundTrips <= roundTripsOfNoOp, `${link.roundTrips} round trips`)
  }
  link.delayMs = 0
})

test('such a login destroys its cluster, and nothing of it is left', async () => {
  assert.is((await nx('cluster:destroy', { ...operator, CONFIRM: 'labgroup' })).code, 0)
  assert.not.match(await virsh('list', '--all', '--name'), 'labgroup')
  assert.not.match(await onHost('find', '/var/lib/libvirt'), 'labgroup')
  proxy.close()
  link.close()
  await onHost('chmod', '755', pool)
  await removeOperator(kvm1)
})

const stock = {
  ...oneAndOne,
  CLUSTER_NAME: 'labnat',
  LIBVIRT_URI: 'qemu:///system',
  NETWORK_BRIDGE: '',
  NETWORK_NAME: 'default',
  NETWORK_CIDR: '192.168.122.0/24',
}

/** A command on the host itself, whose user works at its keyboard. */
const there = (...command: string[]): string[] => [
  ...inside(kvm1),
  'env',
  `--chdir=${projectRoot}`,
  ...command,
]
const reservations = async (): Promise<string[]> =>
  [...(await virsh('net-dumpxml', 'default')).matchAll(/<host mac='[^']+' name='([^']+)'/g)]
    .map(([, name = '']) => name)
    .sort()

test("a cluster is made in libvirt's stock network, from the host itself", async () => {
  if (!(await virsh('net-list', '--all', '--name')).includes('default'))
    await virsh('net-define', '/usr/share/libvirt/networks/default.xml')
  if (!(await virsh('net-list', '--name')).includes('default')) await virsh('net-start', 'default')
  assert.match(await virsh('net-dumpxml', 'default'), '192.168.122.254')
  assert.is((await run(there('npx', 'nx', 'run', 'cluster:up'), stock)).code, 0)
  assert.equal(await reservations(), ['labnat-cp1', 'labnat-w1'])
})

test('the machines keep their addresses after a stop and a start', async () => {
  const confirmed = { ...stock, CONFIRM: 'labnat' }
  for (const target of ['cluster:stop', 'cluster:up'])
    assert.is((await run(there('npx', 'nx', 'run', target), confirmed)).code, 0)
  const status = await run(there(...scriptOf('scripts/status.ts')), stock)
  assert.is(status.code, 0)
  assert.match(status.output, '192.168.122.70')
})

test('its removal takes the reservations back', async () => {
  const confirmed = { ...stock, CONFIRM: 'labnat' }
  assert.is((await run(there('npx', 'nx', 'run', 'cluster:destroy'), confirmed)).code, 0)
  assert.equal(await reservations(), [])
  await virsh('net-destroy', 'default')
})

test.run()
