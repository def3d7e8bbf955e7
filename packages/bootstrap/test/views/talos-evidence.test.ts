import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import { stringify } from 'yaml'
import { hasEnded, isWell, observeTalosEvidence } from '../../src/views/talos-evidence.ts'
import {
  fakeTalosctl,
  resource,
  versions,
  type Reply,
  showMachine,
  createCa,
} from '@talosmith/clients/testing'
import * as assert from 'uvu/assert'

const test = suite('evidence')
const settings = { NETWORK_CIDR: '127.13.13.0/24', CONTROL_PLANE_COUNT: '1', WORKER_COUNT: '2' }
const cluster = testCluster(settings, temporaryFolder('evidence'))
const [cp = '', w1 = ''] = cluster.nodes.map(({ address }) => address)
const ca = createCa('/O=talos')
const crt = Buffer.from(ca.cert).toString('base64')
mkdirSync(cluster.generated, { recursive: true })
writeFileSync(
  join(cluster.generated, 'secrets.yaml'),
  stringify({ certs: { os: { crt }, k8s: { crt } } }),
)
let shown: { stop(): Promise<void> }[] = []
test.before(async () => {
  const machine = ca.issue('/CN=machine')
  shown = await Promise.all([cp, w1].map((at) => showMachine(at, { has: machine, ca: ca.cert })))
})
test.after(async () => {
  await Promise.all(shown.map((one) => one.stop()))
})

const now = Math.round(Date.now() / 1000)
// As talosctl v1.13.9 prints them.
const replies: Readonly<Record<string, Reply>> = {
  'get machinestatus --output json': resource(cp, { stage: 'running', status: { ready: true } }),
  services: `NODE          SERVICE   STATE      HEALTH   LAST CHANGE   LAST EVENT
${cp}   etcd      Running    OK       3m1s ago      Health check successful
${w1}   kubelet   Finished   ?        5s ago        Service finished successfully
`,
  'get addresses --output json': resource(cp, { address: `${cp}/24` }),
  'get routes --output json': [
    resource(cp, { dst: '127.13.13.0/24', gateway: '' }),
    resource(cp, { dst: '', gateway: '127.13.13.1' }),
  ].join(''),
  'get resolvers --output json': resource(w1, { dnsServers: ['9.9.9.9'] }),
  'get timestatus --output json': resource(cp, { synced: true }),
  version: versions({ [cp]: 'v1.13.9' }),
  mounts: `NODE          FILESYSTEM   SIZE(GB)   USED(GB)   AVAILABLE(GB)   PERCENT USED   MOUNTED ON
${w1}   /dev/vda4    18.20      17.90      0.30            98.00%         /var
`,
  'get disks --output json': resource(cp, {
    dev_path: '/dev/vda',
    symlinks: ['/dev/disk/by-id/one'],
  }),
  'get diagnostics --output json': resource(w1, { message: 'overlap', details: ['10.0.0.0/8'] }),
  'logs kubelet --tail 30': `${w1}: first\n${w1}: last\n`,
}

const talosctl = fakeTalosctl((words, [node = '']): Reply => {
  if (words === 'read /proc/stat') return `cpu 1\nbtime ${now - (node === w1 ? 40 : 100)}\n`
  if (words === 'read /proc/uptime') return '100.20 50.10\n'
  return replies[words] ?? { stderr: `rpc error: code = Unavailable desc = ${words}` }
})

test('every machine that answers has evidence; one that does not answer has none', async () => {
  const { probes, machines } = await observeTalosEvidence(cluster, talosctl)
  assert.equal([...machines.keys()], ['home-cp1', 'home-w1'])
  assert.equal(
    [...probes].map(([name, { kind }]) => `${name} ${kind}`),
    ['home-cp1 ours', 'home-w1 ours', 'home-w2 silent'],
  )
  const [first, second] = [machines.get('home-cp1'), machines.get('home-w1')]
  assert.is(first?.status?.stage, 'running')
  assert.equal(first?.addresses, [cp])
  assert.equal(first?.gateways, ['127.13.13.1'])
  assert.equal([first?.version, second?.version], ['v1.13.9', undefined])
  assert.equal(second?.disk, { sizeGb: 18.2, usedGb: 17.9 })
  assert.equal(first?.diskPaths, ['/dev/vda', '/dev/disk/by-id/one'])
  assert.is(first?.timeSynced, true)
  assert.is(second?.status, undefined)
  assert.equal(second?.resolvers, ['9.9.9.9'])
  assert.equal(second?.diagnostics, ['overlap: 10.0.0.0/8'])
})

test('a clock is boot time plus uptime, against ours', async () => {
  const { machines } = await observeTalosEvidence(cluster, talosctl)
  assert.ok(Math.abs(machines.get('home-cp1')?.clockAheadS ?? 99) <= 2)
  assert.ok(Math.abs((machines.get('home-w1')?.clockAheadS ?? 0) - 60) <= 2)
})

test('the log of an unhealthy service is included, without the machine’s address', async () => {
  const { machines } = await observeTalosEvidence(cluster, talosctl)
  const [kubelet] = machines.get('home-w1')?.services ?? []
  assert.equal(kubelet, {
    ...{ id: 'kubelet', state: 'Finished', health: '?', event: 'Service finished successfully' },
    log: ['first', 'last'],
  })
  assert.equal(machines.get('home-cp1')?.services[0]?.log, [])
})

test('the log of a healthy kubelet is included while its machine is not ready', async () => {
  for (const [ready, log] of [
    [true, []],
    [false, ['first', 'last']],
  ] as const) {
    const talosctl = fakeTalosctl((words): Reply =>
      words === 'get machinestatus --output json'
        ? resource(w1, { stage: 'running', status: { ready } })
        : words === 'services'
          ? (replies[words] as string).replace('Finished   ?  ', 'Running    OK ')
          : (replies[words] ?? ''),
    )
    const { machines } = await observeTalosEvidence(cluster, talosctl)
    const [kubelet] = machines.get('home-w1')?.services ?? []
    assert.equal([kubelet?.state, kubelet?.health, kubelet?.log], ['Running', 'OK', log])
  }
})

for (const [id, state, stage, expected] of [
  ['kubelet', 'Finished', 'running', true],
  ['kubelet', 'Failed', 'booting', true],
  ['kubelet', 'Finished', 'rebooting', false],
  ['etcd', 'Finished', 'upgrading', false],
  ['etcd', 'Finished', undefined, false],
  ['etcd', 'Running', 'running', false],
  ['ext-once', 'Finished', 'running', false],
  ['ext-once', 'Failed', 'running', true],
] as const)
  test(`${id}, ${state} on a machine that is ${stage ?? 'silent'}, has ${expected ? '' : 'not '}ended`, () => {
    assert.is(hasEnded({ id, state }, stage && { stage }), expected)
  })

for (const [state, health, expected] of [
  ['Running', 'OK', true],
  ['Running', '?', true],
  ['Running', 'Fail', false],
  ['Waiting', '?', false],
  ['Finished', '?', false],
] as const)
  test(`a service that is ${state}, ${health}, is ${expected ? '' : 'not '}well`, () => {
    assert.is(isWell({ state, health }), expected)
  })

test('the reason of a failing pull is read from the log of Talos, while a service is prepared', async () => {
  const requests: string[] = []
  const preparing = fakeTalosctl((words): Reply => {
    requests.push(words)
    if (words === 'services')
      return `NODE          SERVICE   STATE       HEALTH   LAST CHANGE   LAST EVENT
${w1}   kubelet   Preparing   ?        3m1s ago      Running pre state
`
    if (words.startsWith('logs machined'))
      return `${w1}: task startAllServices\n${w1}: retrying error: failed to pull image "x/kubelet:v1": EOF\n`
    return replies[words] ?? { stderr: `rpc error: code = Unavailable desc = ${words}` }
  })
  const { machines } = await observeTalosEvidence(cluster, preparing)
  assert.equal(machines.get('home-w1')?.pulls, [
    'retrying error: failed to pull image "x/kubelet:v1": EOF',
  ])
  assert.is(requests.filter((words) => words.startsWith('logs machined')).length, 1)
})

test.run()
