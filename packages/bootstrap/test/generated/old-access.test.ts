import { CommandFailed } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { expectRefusal } from '../../src/generated/old-access.ts'

const transport = 'rpc error: code = Unavailable desc = connection error: desc = "transport: '
const fails = (stderr: string) => async (): Promise<never> => {
  throw new CommandFailed('this machine', 'talosctl version', { stdout: '', stderr, exitCode: 1 })
}

for (const said of [
  `${transport}authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of \"x509: Ed25519 verification failure\")"`,
  'error reading server preface: remote error: tls: unknown certificate authority',
  'error reading server preface: remote error: tls: bad certificate',
  'rpc error: code = Unavailable desc = remote error: tls: certificate required',
  'Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority',
  'error: You must be logged in to the server (Unauthorized)',
])
  test(`refused: ${said.slice(0, 90)}`, () => expectRefusal('talosconfig', 'talosctl', fails(said)))

for (const said of [
  `${transport}authentication handshake failed: EOF"`,
  `${transport}authentication handshake failed: read tcp 10.0.0.1:4->10.0.0.70:50000: read: connection reset by peer"`,
  `${transport}authentication handshake failed: context deadline exceeded"`,
  `${transport}Error while dialing: dial tcp 10.0.0.70:50000: connect: connection refused"`,
  'tls: first record does not look like a TLS handshake',
  'Unable to connect to the server: net/http: TLS handshake timeout',
])
  test(`not known: ${said.slice(-60)}`, async () => {
    const problem = await problemOf(expectRefusal('talosconfig', 'talosctl', fails(said)))
    assert.is(problem.code, 'OLD_ACCESS_UNKNOWN')
    assert.match(problem.message, 'old talosconfig')
  })

test('who is let in is a failure that names client and file', async () => {
  const problem = await problemOf(expectRefusal('kubeconfig', 'kubectl', async () => 'v1'))
  assert.is(problem.code, 'OLD_ACCESS_WORKS')
  assert.match(problem.message, 'kubectl is let in with the old kubeconfig')
})

test('what is no answer of a client is thrown on', async () => {
  const odd = new Error('odd')
  const thrown = await expectRefusal('kubeconfig', 'kubectl', () => Promise.reject(odd)).catch(
    (error: unknown) => error,
  )
  assert.is(thrown, odd)
})

test.run()
