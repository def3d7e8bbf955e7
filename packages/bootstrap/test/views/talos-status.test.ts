import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import { stringify } from 'yaml'
import { observeAccessFiles } from '../../src/views/access-status.ts'
import { observeKubernetesNodes } from '../../src/views/kubernetes-status.ts'
import { observeTalosStatus } from '../../src/views/talos-status.ts'
import {
  fakeTalosctl,
  resource,
  versions,
  type Reply,
  showMachine,
  createCa,
} from '@talosmith/clients/testing'
import * as assert from 'uvu/assert'

// Machines on addresses of this test alone, at Talos' own port.
const root = temporaryFolder('status')
const settings = {
  NETWORK_CIDR: '127.13.14.0/24',
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  CLUSTER_VIP: '127.13.14.60',
  CLUSTER_ENDPOINT: '127.0.0.1',
}
const cluster = testCluster(settings, root)
const [cp1 = '', cp2 = '', cp3 = '', w1 = ''] = cluster.nodes.map(({ address }) => address)
const [os, k8s] = [createCa(), createCa('/O=kubernetes')]
const encode = (text: string): string => Buffer.from(text).toString('base64')
mkdirSync(cluster.generated, { recursive: true })
const put = (name: string, value: unknown): void =>
  writeFileSync(join(cluster.generated, name), stringify(value))
put('secrets.yaml', { certs: { os: { crt: encode(os.cert) }, k8s: { crt: encode(k8s.cert) } } })

// As talosctl v1.13.9 prints them.
const answers = (nodes: readonly string[]): Readonly<Record<string, Reply>> => ({
  version: versions(Object.fromEntries(nodes.map((node) => [node, 'v1.13.9']))),
  'get machinestatus --output json': nodes
    .map((node) => resource(node, { stage: 'running', status: { ready: node !== w1 } }))
    .join(''),
  'get extensions --output json': nodes
    .flatMap((node) =>
      [
        { name: 'qemu-guest-agent', version: '10.0.2' },
        { name: 'schematic', version: 'ab12' },
      ].map((metadata) => resource(node, { image: '', metadata })),
    )
    .join(''),
  mounts: `NODE           FILESYSTEM   SIZE(GB)   USED(GB)   AVAILABLE(GB)   PERCENT USED   MOUNTED ON
${nodes.map((node) => `${node}   devtmpfs     0.99       0.00       0.99            0.00%          /dev\n${node}   /dev/vda4    18.20      2.10       16.10           11.54%         /var`).join('\n')}
`,
  'etcd status': `NODE           MEMBER             LEADER             LEARNER   ERRORS
127.13.14.70   41e1c53bd3a9d63d   1b36ed6e55ab2ba5   false     
127.13.14.71   1b36ed6e55ab2ba5   1b36ed6e55ab2ba5   true      
`,
  'get addresses --output json': [
    resource(cp1, { address: `${cp1}/24` }),
    resource(cp2, { address: '127.13.14.60/32' }),
  ].join(''),
})
const talosctl = () =>
  fakeTalosctl((words, nodes): Reply => answers(nodes)[words] ?? { stderr: `unexpected ${words}` })

/** Runs `work` while the machines of `addresses` answer with a certificate of `ca`. */
async function withMachines<T>(addresses: readonly string[], work: () => Promise<T>): Promise<T> {
  const machine = os.issue('/CN=machine')
  const shown = await Promise.all(
    addresses.map((address) => showMachine(address, { has: machine, ca: os.cert })),
  )
  try {
    return await work()
  } finally {
    await Promise.all(shown.map((one) => one.stop()))
  }
}

test('every machine that answers reports its status; the others have a reason', async () => {
  const tool = talosctl()
  const { machines, etcd, vipHolder } = await withMachines([cp1, cp2, w1], () =>
    observeTalosStatus(cluster, tool),
  )
  assert.equal(machines.get('home-cp1'), {
    stage: 'running',
    ready: true,
    version: 'v1.13.9',
    schematic: 'ab12',
    disk: { sizeGb: 18.2, usedGb: 2.1 },
    reason: undefined,
  })
  assert.is(machines.get('home-w1')?.ready, false)
  assert.match(machines.get('home-cp3')?.reason ?? '', '127.13.14.72')
  assert.equal(etcd.ok && etcd.value.map(({ node, isLearner }) => [node, isLearner]), [
    [cp1, false],
    [cp2, true],
  ])
  assert.equal(vipHolder, { ok: true, value: 'home-cp2' })
  assert.is(tool.calls.length, 6)
})

test('the VIP has no holder only once every control plane has reported its addresses', async () => {
  const holder = async (...addresses: readonly string[]) => {
    const tool = fakeTalosctl((words, nodes): Reply =>
      words.startsWith('get addresses')
        ? addresses.map((node) => resource(node, { address: `${node}/24` })).join('')
        : (answers(nodes)[words] ?? ''),
    )
    return (await withMachines([cp1, cp2, cp3], () => observeTalosStatus(cluster, tool))).vipHolder
  }
  assert.equal(await holder(cp1, cp2, cp3), { ok: true, value: undefined })
  assert.equal(await holder(cp1, cp3), {
    ok: false,
    reason: 'home-cp2 does not report its addresses',
  })
})

test('four machines take as many processes as one', async () => {
  const [few, many] = [talosctl(), talosctl()]
  await withMachines([cp1], () => observeTalosStatus(cluster, few))
  const all = cluster.nodes.map(({ address }) => address)
  await withMachines(all, () => observeTalosStatus(cluster, many))
  assert.is(few.calls.length, many.calls.length)
})

test('a worker is not queried when no control plane could forward the request', async () => {
  const tool = talosctl()
  const { machines, etcd } = await withMachines([w1], () => observeTalosStatus(cluster, tool))
  assert.equal(tool.calls, [])
  assert.match(machines.get('home-w1')?.reason ?? '', 'queried through control planes')
  assert.equal(etcd, { ok: false, reason: 'no control plane answers' })
})

test('a machine in maintenance mode is recognized', async () => {
  const machine = await showMachine(w1, { waits: createCa().issue('/O=maintenance') })
  try {
    const { machines } = await observeTalosStatus(cluster, talosctl())
    assert.is(machines.get('home-w1')?.stage, 'maintenance')
  } finally {
    await machine.stop()
  }
})

test('etcd that does not run has a reason, not an empty list', async () => {
  const tool = fakeTalosctl((words, nodes): Reply =>
    words === 'etcd status' ? { stderr: 'etcd is not running' } : (answers(nodes)[words] ?? ''),
  )
  const { etcd } = await withMachines([cp1], () => observeTalosStatus(cluster, tool))
  assert.is(etcd.ok, false)
})

const api = k8s.issue('/CN=kube-apiserver')
const admin = k8s.issue('/CN=admin', 200)

test('Kubernetes nodes are read in one request at the endpoint', async () => {
  const calls: string[] = []
  const list = { items: [{ metadata: { name: 'home-cp1' } }] }
  const server = createServer({ ...api, ca: k8s.cert, requestCert: true }, ({ url = '' }, out) => {
    calls.push(url)
    out.end(JSON.stringify(list))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  putKubeconfig(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    const { endpoint, nodes } = await observeKubernetesNodes(cluster)
    assert.is(endpoint.ok, true)
    assert.equal(nodes.ok && nodes.value, list.items)
    assert.equal(calls, ['/api/v1/nodes'])
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('an endpoint that does not answer is the reason when no control plane answers either', async () => {
  putKubeconfig('https://127.0.0.1:1')
  const { endpoint, nodes } = await observeKubernetesNodes(cluster)
  assert.equal(endpoint, {
    ok: false,
    reason: 'connection refused',
    unreachable: 'ECONNREFUSED',
  })
  assert.equal(nodes, endpoint)
})

test('access files are listed with their expiry and their problem', async () => {
  putKubeconfig('https://127.0.0.1:1')
  const [talosconfig, kubeconfig] = await observeAccessFiles(cluster)
  assert.is(talosconfig?.problem, 'missing')
  assert.is(talosconfig?.expires, undefined)
  assert.is(kubeconfig?.problem, 'of another endpoint')
  const days = (new Date(kubeconfig?.expires ?? 0).getTime() - Date.now()) / (24 * 3600 * 1000)
  assert.ok(days > 199 && days <= 200)
})

test('a missing kubeconfig is the reason', async () => {
  rmSync(join(cluster.generated, 'kubeconfig'))
  const { nodes } = await observeKubernetesNodes(cluster)
  assert.equal(nodes, { ok: false, reason: 'there is no kubeconfig' })
})

function putKubeconfig(server: string): void {
  const { cert, key } = admin
  put('kubeconfig', {
    clusters: [{ cluster: { server, 'certificate-authority-data': encode(k8s.cert) } }],
    users: [{ user: { 'client-certificate-data': encode(cert), 'client-key-data': encode(key) } }],
  })
}

test.run()
