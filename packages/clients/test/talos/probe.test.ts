import { connect, createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { probe } from '@talosmith/clients/talos'
import { createCa } from '@talosmith/clients/testing'

const [ours, other] = [createCa(), createCa()]
const machine = ours.issue('/CN=home-cp1')
const stranger = other.issue('/O=talos')

/** Asks a server for the time of one test. */
async function ask(server: Server, ca: string | undefined, timeoutMs = 5000) {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  try {
    return await probe('127.0.0.1', ca, { port, timeoutMs })
  } finally {
    server.close()
  }
}

/** As Talos in maintenance mode: speaks first (the HTTP/2 settings), asks for no certificate. */
const maintenance = (pair: TlsOptions) =>
  createServer({ ...pair, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => undefined)
    socket.write(Buffer.from('00000604000000000000050000', 'hex'))
  })
/** As Talos with a config: takes only clients with a certificate of its CA. */
const configured = (pair: TlsOptions, ca: string) =>
  createServer({ ...pair, ca, ALPNProtocols: ['h2'], requestCert: true, rejectUnauthorized: true })

test('a machine that accepts any client waits for its config', async () => {
  assert.equal(await ask(maintenance(stranger), ours.cert), { kind: 'maintenance' })
  assert.equal(await ask(maintenance(stranger), undefined), { kind: 'maintenance' })
})

test('a certificate of our CA is ours', async () => {
  assert.equal(await ask(configured(machine, ours.cert), ours.cert), { kind: 'ours' })
})

test('a certificate of our CA that bears the name of the CA is ours', async () => {
  const sameName = ours.issue('/O=talos')
  assert.equal(await ask(configured(sameName, ours.cert), ours.cert), { kind: 'ours' })
})

test('a machine that asks for a certificate of another CA is foreign', async () => {
  assert.is((await ask(configured(stranger, other.cert), ours.cert)).kind, 'foreign')
  assert.is((await ask(configured(machine, ours.cert), undefined)).kind, 'foreign')
})

test('a closed port is silent: the machine is up, Talos is not', async () => {
  const result = await probe('127.0.0.1', ours.cert, { port: 1 })
  assert.equal(result, {
    kind: 'silent',
    reason: '127.0.0.1 is up, but Talos does not listen there yet',
  })
})

test('a server that sends nothing is silent after the time limit', async () => {
  const mute = createTcpServer((socket) => socket.on('error', () => undefined))
  const result = await ask(mute, ours.cert, 200)
  assert.is(result.kind, 'silent')
})

test('a machine too busy for a handshake is waited for longer than one that is not there', async () => {
  const busy = configured(machine, ours.cert)
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve))
  const { port } = busy.address() as AddressInfo
  const slow = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    setTimeout(() => {
      const behind = connect(port, '127.0.0.1')
      behind.on('error', () => undefined)
      socket.pipe(behind).pipe(socket)
    }, 2800)
  })
  assert.equal(await ask(slow, ours.cert, 8000), { kind: 'ours' })
  busy.close()
})

test('a connection that is closed at once is silent', async () => {
  const result = await ask(
    createTcpServer((socket) => socket.destroy()),
    ours.cert,
  )
  assert.equal(result, {
    kind: 'silent',
    reason: '127.0.0.1 closed the connection; Talos is still starting',
    hasClosed: true,
  })
})

const summary = (result: Awaited<ReturnType<typeof ask>>): unknown =>
  result.kind === 'silent' ? [result.isStranger ?? false, result.reason] : result.kind

test('what speaks no TLS is no Talos, now or later', async () => {
  for (const words of ['HTTP/1.1 400 Bad Request\r\n\r\n', 'SSH-2.0-OpenSSH_9.6\r\n']) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined)
      socket.end(words)
    })
    assert.equal(summary(await ask(server, ours.cert)), [
      true,
      'another machine than ours answers at 127.0.0.1: port 50000 there speaks no TLS, and is no Talos',
    ])
  }
})

test('TLS without HTTP/2 is no Talos, whether it refuses that or does not know it', async () => {
  for (const options of [{}, { ALPNProtocols: ['http/1.1'] }]) {
    const server = createServer({ ...stranger, ...options }, (socket) =>
      socket.on('error', () => undefined),
    )
    server.on('tlsClientError', () => undefined)
    assert.match(String(summary(await ask(server, ours.cert))), 'true,another machine than ours')
  }
})

test('what only has not started yet may well become Talos', async () => {
  const closing = createTcpServer((socket) => socket.destroy())
  for (const result of [
    await probe('127.0.0.1', ours.cert, { port: 1 }),
    await ask(closing, ours.cert),
  ])
    assert.match(String(summary(result)), /^false,/)
})

test.run()
