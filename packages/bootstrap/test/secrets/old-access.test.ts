import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandFailed, generatedFiles, Problem, silentLog } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { expectRefusal, proveOldAccessRefused } from '../../src/secrets/old-access.ts'

const transport = 'rpc error: code = Unavailable desc = connection error: desc = "transport: '
const fails = (stderr: string) => async (): Promise<never> => {
  throw new CommandFailed('this machine', 'talosctl version', { stdout: '', stderr, exitCode: 1 })
}

for (const output of [
  `${transport}authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of "x509: Ed25519 verification failure")"`,
  'error reading server preface: remote error: tls: unknown certificate authority',
  'error reading server preface: remote error: tls: bad certificate',
  'rpc error: code = Unavailable desc = remote error: tls: certificate required',
  'Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority',
  'error: You must be logged in to the server (Unauthorized)',
])
  test(`refused: ${output.slice(0, 90)}`, () =>
    expectRefusal('talosconfig', 'talosctl', fails(output)))

for (const output of [
  `${transport}authentication handshake failed: EOF"`,
  `${transport}authentication handshake failed: read tcp 10.0.0.1:4->10.0.0.70:50000: read: connection reset by peer"`,
  `${transport}authentication handshake failed: context deadline exceeded"`,
  `${transport}Error while dialing: dial tcp 10.0.0.70:50000: connect: connection refused"`,
  'tls: first record does not look like a TLS handshake',
  'Unable to connect to the server: net/http: TLS handshake timeout',
])
  test(`not known: ${output.slice(-60)}`, async () => {
    const problem = await problemOf(expectRefusal('talosconfig', 'talosctl', fails(output)))
    assert.is(problem.code, 'OLD_ACCESS_UNKNOWN')
    assert.match(problem.message, 'old talosconfig')
  })

test('who is let in is a failure that names client and file', async () => {
  const problem = await problemOf(expectRefusal('kubeconfig', 'kubectl', async () => 'v1'))
  assert.is(problem.code, 'OLD_ACCESS_WORKS')
  assert.match(problem.message, 'kubectl still has access with the old kubeconfig')
})

test('what is no answer of a client is thrown on', async () => {
  const odd = new Error('odd')
  const thrown = await expectRefusal('kubeconfig', 'kubectl', () => Promise.reject(odd)).catch(
    (error: unknown) => error,
  )
  assert.is(thrown, odd)
})

/** A cluster whose archive has these files; talosctl and kubectl answer with them as these scripts do. */
async function prove(archived: readonly string[], clients: Readonly<Record<string, string>>) {
  const root = temporaryFolder('old-access')
  const cluster = testCluster({ TALOS_VERSION: 'v1.13.9', KUBERNETES_VERSION: 'v1.36.3' }, root)
  const { XDG_CACHE_HOME } = process.env
  process.env['XDG_CACHE_HOME'] = root
  for (const [name, version] of [
    ['talosctl', 'v1.13.9'],
    ['kubectl', 'v1.36.3'],
  ] as const) {
    const folder = join(root, 'talosmith/tools', name, version)
    mkdirSync(folder, { recursive: true })
    const script = `case "$*" in *--client*) echo ${version} ;; *) echo "$*" >>${root}/calls; ${clients[name]} ;; esac`
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }
  for (const name of archived)
    await generatedFiles(cluster).write(`archive/then/${name}`, `old ${name}`)
  const output: string[] = []
  const log = { ...silentLog, already: (text: string) => void output.push(text) }
  try {
    const problem = await proveOldAccessRefused(cluster, 'archive/then', log).then(
      () => undefined,
      (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
    )
    const calls = existsSync(join(root, 'calls')) ? readFileSync(join(root, 'calls'), 'utf8') : ''
    return { problem, output, calls }
  } finally {
    if (XDG_CACHE_HOME === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = XDG_CACHE_HOME
  }
}
const refuses = 'echo "tls: failed to verify certificate: x509: unknown authority" >&2; exit 1'
const letsIn = 'echo hello'
const both = ['talosconfig', 'kubeconfig']

test('old access is proven refused for both clients, each with its file of the archive', async () => {
  const { problem, output, calls } = await prove(both, { talosctl: refuses, kubectl: refuses })
  assert.is(problem, undefined)
  assert.equal(output, [
    'talosctl is refused with the old talosconfig',
    'kubectl is refused with the old kubeconfig',
  ])
  assert.match(calls, /--talosconfig \S+archive\/then\/talosconfig /)
  assert.match(calls, /--kubeconfig \S+archive\/then\/kubeconfig /)
})

for (const [client, file] of [
  ['talosctl', 'talosconfig'],
  ['kubectl', 'kubeconfig'],
] as const)
  test(`an old ${file} that still works with ${client} is a failure, whatever the other does`, async () => {
    const clients = { talosctl: refuses, kubectl: refuses, [client]: letsIn }
    const { problem } = await prove(both, clients)
    assert.is(problem?.code, 'OLD_ACCESS_WORKS')
    assert.match(problem?.message ?? '', `${client} still has access with the old ${file}`)
  })

test('a file that the archive does not have is skipped, and not reported as refused', async () => {
  const { problem, output } = await prove(['kubeconfig'], { talosctl: letsIn, kubectl: refuses })
  assert.is(problem, undefined)
  assert.equal(output, ['kubectl is refused with the old kubeconfig'])
})

test.run()
