import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { commandFor, describeCluster, hostFiles } from '../src/cluster.ts'
import { testCluster } from '../src/testing/test-cluster.ts'

test('machines are named, addressed and numbered from the settings, control planes first', () => {
  const { nodes } = testCluster({ CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '2' })
  assert.equal(
    nodes.map(({ name, address }) => `${name} ${address}`),
    [
      'home-cp1 10.0.0.70',
      'home-cp2 10.0.0.71',
      'home-cp3 10.0.0.72',
      'home-w1 10.0.0.80',
      'home-w2 10.0.0.81',
    ],
  )
})

test('a MAC address belongs to one machine of one cluster', () => {
  const macs = ['home', 'office'].flatMap((name) =>
    testCluster({
      CLUSTER_NAME: name,
      CONTROL_PLANE_COUNT: '7',
      WORKER_COUNT: '100',
      WORKER_IP_OFFSET: '100',
    }).nodes.map(({ mac }) => mac),
  )
  assert.is(new Set(macs).size, macs.length)
  for (const mac of macs) assert.match(mac, /^52:54:00(:[0-9a-f]{2}){3}$/)
})

test('the endpoint is CLUSTER_ENDPOINT, else the VIP, else the first control plane', () => {
  assert.is(testCluster().endpoint, 'https://10.0.0.70:6443')
  assert.is(testCluster({ CLUSTER_VIP: '10.0.0.9' }).endpoint, 'https://10.0.0.9:6443')
  assert.is(
    testCluster({ CLUSTER_VIP: '10.0.0.9', CLUSTER_ENDPOINT: 'k8s.home' }).endpoint,
    'https://k8s.home:6443',
  )
})

test('control planes are distributed over the hosts before workers', () => {
  const { nodes } = testCluster({
    LIBVIRT_URI: 'qemu+ssh://kvm1/system,qemu+ssh://kvm2/system',
    CONTROL_PLANE_COUNT: '3',
    WORKER_COUNT: '2',
  })
  assert.equal(
    nodes.map(({ host }) => host),
    [0, 1, 0, 1, 0],
  )
})

test('extensions in another order make the same schematic', () => {
  const one = testCluster({ TALOS_EXTENSIONS: 'siderolabs/b,siderolabs/a' })
  const two = testCluster({ TALOS_EXTENSIONS: 'siderolabs/a siderolabs/b siderolabs/a' })
  assert.is(one.schematic.id, two.schematic.id)
})

test('the installer image is the nocloud one', () => {
  const { image, schematic } = testCluster()
  assert.is(image.installer, `factory.talos.dev/nocloud-installer/${schematic.id}:v1.13.9`)
})

test('machines have a guest-agent channel exactly when the schematic has the agent', () => {
  assert.is(testCluster().image.hasGuestAgent, false)
  assert.is(
    testCluster({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' }).image.hasGuestAgent,
    true,
  )
})

test('the compression decides what is downloaded', () => {
  const name = (compression: string): string =>
    testCluster({ IMAGE_COMPRESSION: compression }).image.url.split('/').at(-1) ?? ''
  assert.is(name('zst'), 'nocloud-amd64.raw.zst')
  assert.is(name('none'), 'nocloud-amd64.raw')
})

test('files are in the pool, seed ISOs in SEED_ISO_DIR', () => {
  const files = hostFiles(testCluster({ SEED_ISO_DIR: '/iso' }), '/pool')
  assert.is(files.disk({ name: 'home-cp1' }), '/pool/home-cp1.qcow2')
  assert.is(files.seed({ name: 'home-cp1' }), '/iso/home-cp1-seed.iso')
})

test('IMAGE_PATH is the image', () => {
  assert.is(
    hostFiles(testCluster({ IMAGE_PATH: '/images/talos.raw' }), '/pool').image,
    '/images/talos.raw',
  )
})

test('commands in hints select the cluster by its env file, not by its name', () => {
  const { settings } = testCluster({ CLUSTER_NAME: 'house' })
  const cluster = describeCluster(settings, '/project', 'home')
  assert.is(commandFor(cluster, 'vm:create'), 'CLUSTER=home npx nx run vm:create')
  assert.is(cluster.patchesDir, '/project/env/home/patches')
  assert.is(cluster.manifestsDir, '/project/env/home/manifests')
  assert.is(cluster.generated, '/project/generated/house')
})

test.run()
