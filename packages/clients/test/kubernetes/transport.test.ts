/** The client against a real HTTPS server: connections, bodies, failures. */
import type { IncomingMessage, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  ApiRefusal,
  ApiUnreachable,
  kubernetesOver,
  statusOf,
  type Kubernetes,
} from '@talosmith/clients/kubernetes'
import { createCa } from '@talosmith/clients/testing'
import { openTransport } from '../../src/kubernetes/transport.ts'

const ca = createCa('/CN=kubernetes')
const server = ca.issue('/CN=kube-apiserver')
const admin = ca.issue('/O=system:masters/CN=admin')

interface Received {
  readonly method: string
  readonly url: string
  readonly body: string
  readonly socket: Socket
  readonly headers: IncomingMessage['headers']
}
type Handler = (received: Received, ...[, response]: Parameters<RequestListener>) => void
interface Context {
  /** Answers the requests; set by each test. */
  handle: Handler
  readonly received: Received[]
  kubernetes: Kubernetes
  stop(): Promise<void>
}

const test = suite<Context>('requests to a Kubernetes API', {
  handle: (_, __, response) => void response.end('{}'),
  received: [],
  kubernetes: kubernetesOver(() => Promise.reject(new Error('not started'))),
  stop: () => Promise.resolve(),
})
test.before.each(async (context) => {
  context.received.length = 0
  context.handle = (_, __, response) => void response.end('{}')
  const api = createServer(
    { ...server, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const { method = '', url = '', socket, headers } = request
      void text(request).then((body) => {
        const one = { method, url, socket, headers, body }
        context.received.push(one)
        context.handle(one, request, response)
      })
    },
  )
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  const { port } = api.address() as AddressInfo
  const ask = openTransport({
    server: `https://127.0.0.1:${port}`,
    ca: ca.cert,
    certificate: admin.cert,
    key: admin.key,
  })
  context.kubernetes = kubernetesOver(ask)
  context.stop = () =>
    new Promise((resolve) => {
      api.close(() => resolve())
      api.closeAllConnections()
    })
})
test.after.each(({ stop }) => stop())

const pod = '/api/v1/namespaces/default/pods/web'
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

test('the connection of a DELETE with a body serves the next request', async (context) => {
  const { kubernetes, received } = context
  await kubernetes.delete(pod)
  await kubernetes.read('/version')
  const [first, second] = received
  assert.equal(
    received.map(({ method, url }) => `${method} ${url}`),
    [`DELETE ${pod}`, 'GET /version'],
  )
  assert.equal(JSON.parse(first?.body ?? ''), {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy: 'Background',
  })
  assert.is(first?.headers['content-length'], String(first?.body.length))
  assert.is(first?.socket, second?.socket)
})

test('a body is sent in full, also when its characters take several bytes', async (context) => {
  const change = { metadata: { annotations: { note: 'Zürich – 東京' } } }
  await context.kubernetes.patch(pod, change)
  const [patch] = context.received
  assert.equal(JSON.parse(patch?.body ?? ''), change)
  assert.is(patch?.headers['content-type'], 'application/merge-patch+json')
})

/** Keeps one connection, which the server resets when the next request arrives on it. */
async function resetAfterFirst(context: Context): Promise<void> {
  await context.kubernetes.read('/version')
  const kept = context.received[0]?.socket
  context.handle = ({ socket }, _, response) => {
    if (socket === kept) socket.destroy()
    else response.end('{"metadata":{"name":"web"}}')
  }
}

test('a GET that meets a reset of a kept connection is sent again', async (context) => {
  await resetAfterFirst(context)
  assert.equal(await context.kubernetes.get(pod), { metadata: { name: 'web' } })
  assert.is(context.received.length, 3)
})

test('so is a DELETE, with its body', async (context) => {
  await resetAfterFirst(context)
  await context.kubernetes.delete(pod)
  const [, first, again] = context.received
  assert.is(again?.method, 'DELETE')
  assert.is(again?.body, first?.body)
})

test('a POST is never sent again', async (context) => {
  await resetAfterFirst(context)
  const error = await failureOf(context.kubernetes.evict({ namespace: 'default', name: 'web' }))
  assert.instance(error, ApiUnreachable)
  assert.is((error as ApiUnreachable).code, 'ECONNRESET')
  assert.equal(
    context.received.map(({ method }) => method),
    ['GET', 'POST'],
  )
})

test('a reset of a new connection is an error at once', async (context) => {
  context.handle = ({ socket }) => void socket.destroy()
  const error = await failureOf(context.kubernetes.read('/version'))
  assert.instance(error, ApiUnreachable)
  assert.is(context.received.length, 1)
})

/** Answers with a Status object, as the API does. */
const refuse =
  (code: number, reason: string, message: string): Handler =>
  (_, __, response) =>
    void response.writeHead(code).end(JSON.stringify({ kind: 'Status', code, reason, message }))

test('an object that does not exist is undefined, and is deleted already', async (context) => {
  context.handle = refuse(404, 'NotFound', 'pods "web" not found')
  assert.is(await context.kubernetes.get(pod), undefined)
  assert.is(await context.kubernetes.delete(pod), undefined)
})

test('a list or a change of what does not exist is an error', async (context) => {
  context.handle = refuse(404, 'NotFound', 'not found')
  assert.is(statusOf(await failureOf(context.kubernetes.list('/api/v1/pods'))), 404)
  assert.is(statusOf(await failureOf(context.kubernetes.patch(pod, {}))), 404)
})

test('a list sends its label selector, and is the items', async (context) => {
  context.handle = (_, __, response) =>
    void response.end('{"kind":"PodList","items":[{"metadata":{"name":"web"}}]}')
  const labels = 'owner=helm,app in (a,b)'
  const items = await context.kubernetes.list('/api/v1/pods', { labels })
  assert.equal(items, [{ metadata: { name: 'web' } }])
  await context.kubernetes.list('/api/v1/pods')
  const [selected, all] = context.received.map(({ url }) => new URL(url, 'https://kubernetes'))
  assert.is(selected?.searchParams.get('labelSelector'), labels)
  assert.is(all?.search, '')
})

test('a refusal has status, reason and message apart', async (context) => {
  const message = 'Operation cannot be fulfilled: the object has been modified'
  context.handle = refuse(409, 'Conflict', message)
  const error = await failureOf(context.kubernetes.patch(pod, {}))
  assert.instance(error, ApiRefusal)
  const { status, reason, detail } = error as ApiRefusal
  assert.equal([status, reason, detail], [409, 'Conflict', message])
})

test('a request without an answer ends after its time limit', async (context) => {
  context.handle = () => undefined
  const error = await failureOf(context.kubernetes.read('/version', { timeoutMs: 100 }))
  assert.instance(error, ApiUnreachable)
  const { code, message } = error as ApiUnreachable
  assert.equal([code, message], ['timeout', 'no answer within 0.1 s'])
})

test('an answer that ends too early is an error', async (context) => {
  context.handle = ({ socket }, _, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('{"items":', () => socket.destroy())
  }
  assert.instance(await failureOf(context.kubernetes.read('/api/v1/pods')), ApiUnreachable)
})

test('an object that is not JSON is an error', async (context) => {
  context.handle = (_, __, response) => void response.end('<html>')
  const error = await failureOf(context.kubernetes.get(pod))
  assert.instance(error, ApiUnreachable)
  assert.is((error as ApiUnreachable).code, 'incomplete')
})

test.run()
