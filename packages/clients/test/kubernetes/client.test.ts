import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NotOurApi, openKubernetes } from '@talosmith/clients/kubernetes'
import { createCa, renderKubeconfig } from '@talosmith/clients/testing'

const ca = createCa('/CN=kubernetes')
const api = ca.issue('/CN=kube-apiserver')
const admin = ca.issue('/O=system:masters/CN=admin')
const kubeconfig = (server: string, pair = admin): string => renderKubeconfig(server, ca.cert, pair)

function clusterWith(text: string) {
  const cluster = testCluster({}, temporaryFolder('kube'))
  mkdirSync(cluster.generated, { recursive: true, mode: 0o700 })
  writeFileSync(join(cluster.generated, 'kubeconfig'), text, { mode: 0o600 })
  return cluster
}

/** Asks an API server that answers everything with `status` and `body`. */
async function ask(status: number, body: string, pair = api): Promise<string | Error> {
  const server: Server = createServer(
    { ...pair, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
    (_, response) => response.writeHead(status).end(body),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  try {
    const kubernetes = await openKubernetes(clusterWith(kubeconfig(`https://127.0.0.1:${port}`)))
    return await kubernetes.read('/readyz').catch((error: Error) => error)
  } finally {
    server.close()
  }
}

test('it logs in with the certificate of the kubeconfig', async () => {
  assert.is(await ask(200, 'ok'), 'ok')
})

const refusals: [string, number, string, string][] = [
  [
    'the failed checks of /readyz',
    500,
    '[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac failed: x\nreadyz check failed\n',
    'not ready: etcd, poststarthook/rbac',
  ],
  [
    'the message of a Status',
    403,
    '{"kind":"Status","message":"nodes is forbidden"}',
    'HTTP 403: nodes is forbidden',
  ],
  ['the text of a gateway', 503, 'upstream is down\n', 'HTTP 503: upstream is down'],
]
for (const [title, status, body, reason] of refusals)
  test(`a refusal is known by ${title}`, async () => {
    const error = await ask(status, body)
    assert.is(error instanceof Error ? error.message : error, reason)
    assert.not.instance(error, NotOurApi)
  })

test('an API that does not know us is not ours', async () => {
  assert.instance(await ask(401, '{"message":"Unauthorized"}'), NotOurApi)
})

test('an API with a certificate of another CA is not ours', async () => {
  const error = await ask(200, 'ok', createCa('/CN=kubernetes').issue('/CN=x'))
  assert.instance(error, NotOurApi)
})

test('a closed port is a connection refused', async () => {
  const kubernetes = await openKubernetes(clusterWith(kubeconfig('https://127.0.0.1:1')))
  const error = await kubernetes.read('/version').catch((reason: Error) => reason)
  assert.is(error instanceof Error ? error.message : '', 'connection refused')
})

test.run()
