import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { local, type Cluster } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { zipSync } from 'fflate'
import { suite, test } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { createCa } from '@talosmith/clients/testing'
import { createRedactor, openTexts, secretsIn } from '../bundle/redact.ts'
import { writeBundle } from '../bundle/write.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const pem =
  '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAbCdEf0123456789\n-----END EC PRIVATE KEY-----'
const pemIn64 = Buffer.from(pem).toString('base64')
const known = 'kHq3+8fPz0vYt5LcR1uXw9mN2bQe7sDa'
const redact = createRedactor([known, pemIn64, 'home', 'true'])

const planted: [string, string][] = [
  ['a known value', known],
  ['a known value inside another word', `x${known}y`],
  ['a known value in base64', Buffer.from(known).toString('base64')],
  ['a key in base64 that is known', pemIn64],
  ['the key itself', pem],
  ['another key', pem.replace('MHcC', 'MHdD')],
  ['another key in base64', Buffer.from(pem.replace('MHcC', 'MHdD')).toString('base64')],
  ['a key that is cut off', '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq'],
  ['a bearer token', 'Authorization: Bearer abc.def-ghi_123'],
  ['a service account’s token', 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl'],
  ['a bootstrap token', 'abcdef.0123456789abcdef'],
  ['a password in a URL', 'http://me:hunter2pass@proxy:3128'],
  ['a token in the query of a URL', 'https://host/x?a=b&access_token=s3cretvalue99&c=d'],
  ['a YAML field', 'token: s3cretvalue99'],
  ['a JSON field', '{"clientSecret":"s3cretvalue99","a":1}'],
  ['a line of an env file', 'REGISTRY_PASSWORD=s3cretvalue99'],
  ['an attribute of XML', "<graphics type='vnc' passwd='s3cretvalue99'/>"],
  ['a key of a config', 'key: c2VjcmV0dmFsdWU5OQ=='],
]
const secret =
  /LS0tLS1|kHq3|a0hxMys4|MHcC|MHdD|MIIEvQ|TUhjQ|TUhkR|abc\.def|eyJhb|abcdef\.0123|hunter2|s3cretvalue|c2VjcmV0/
for (const [title, text] of planted)
  test(`${title} is removed, and the text around it stays`, () => {
    const clean = redact(`before ${text} after`)
    assert.match(text, secret)
    assert.not.match(clean, secret)
    assert.match(clean, /^before /)
    assert.match(clean, '[removed]')
  })

test('text without secrets stays as it is', () => {
  const text = `machine home-cp1 at 10.0.0.70: etcd is ready: true
digest sha256:${'ab'.repeat(32)}, key "monkey", tokens left: none; see https://kubernetes.io/docs/x#y`
  assert.is(
    redact(text),
    text.replace('none', '[removed]').replace('tokens left: [removed]', 'tokens left: none'),
  )
})

test('names and addresses of the cluster stay, although access files contain them', () => {
  const cluster = testCluster({
    CLUSTER_NAME: 'production',
    CONTROL_PLANE_COUNT: '3',
    CLUSTER_VIP: '10.0.0.60',
  })
  const files = [talosconfigOf(cluster, known), kubeconfigOf(cluster, known, known)]
  const clean = createRedactor(files.flatMap(secretsIn), openTexts(cluster))
  const text = `production: admin@production at https://10.0.0.60:6443, production-cp1 is 10.0.0.70`
  assert.is(clean(text), text)
  assert.is(
    clean(`key ${known}, ${Buffer.from(known).toString('base64')}`),
    'key [removed], [removed]',
  )
})

test('every string in a file of secrets counts as one', () => {
  assert.equal(secretsIn('a: one\nb: [two, 3]\n---\nc:\n  d: three\n'), ['one', 'two', 'three'])
})

/** As talosctl writes it. */
const talosconfigOf = ({ name, controlPlanes }: Cluster, key: string): string => {
  const endpoints = controlPlanes.map(({ address }) => address)
  return stringify({ context: name, contexts: { [name]: { endpoints, ca: key, crt: key, key } } })
}

/** As Talos generates it. */
const kubeconfigOf = ({ name, endpoint }: Cluster, ca: string, key: string, cert = key): string => {
  const user = `admin@${name}`
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: endpoint, 'certificate-authority-data': ca } }],
    users: [{ name: user, user: { 'client-certificate-data': cert, 'client-key-data': key } }],
    contexts: [{ name: user, context: { cluster: name, namespace: 'default', user } }],
    'current-context': user,
  })
}

const bundle = suite<{ made: Made; path: string | undefined }>('a bundle')
bundle.before.each(async (context) => {
  context.made = await makeCluster()
  context.path = process.env['PATH']
  process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
})
bundle.after.each(({ made, path }) => {
  process.env['PATH'] = path
  made.close()
})

const write = (cluster: Cluster, now?: Date) =>
  writeBundle(
    { cluster, eachHost: () => [Promise.resolve(local)], signal: new AbortController().signal },
    now,
  )

bundle(
  'contains what could be collected, a reason for what could not, and no planted secret',
  async ({ made }) => {
    const { cluster, generated } = made
    writeFileSync(join(generated, 'secrets.yaml'), `cluster:\n  secret: ${known}\n`)
    mkdirSync(join(generated, 'runs'), { recursive: true })
    writeFileSync(join(generated, 'runs', '2026.jsonl'), `{"text":"token ${known}"}\n`)
    const [first] = cluster.nodes
    const xml = made.path(`domains/${first?.name}/xml`)
    writeFileSync(
      xml,
      readFileSync(xml, 'utf8').replace('</devices>', `<x passwd='s3cretvalue99'/></devices>`),
    )
    const { path } = await write(cluster)
    assert.is(statSync(path).mode & 0o777, 0o600)
    const out = made.path('out')
    mkdirSync(out)
    await local.$`tar -C ${out} -xf ${path}`
    const names = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) =>
      statSync(join(out, name)).isFile(),
    )
    for (const name of [
      'settings.json',
      'versions.txt',
      'diagnosis.txt',
      'diagnosis.json',
      'runs/2026.jsonl',
    ])
      assert.ok(names.includes(name), `${name} is not among ${names.join(', ')}`)
    assert.ok(names.some((name) => name.endsWith(`${first?.name}.xml`)))
    assert.ok(
      names.some((name) => name.startsWith('talos-support') && name.endsWith('.missing.txt')),
    )
    const all = names.map((name) => readFileSync(join(out, name), 'utf8')).join('\n')
    assert.not.match(all, known)
    assert.not.match(all, 's3cretvalue99')
    assert.match(all, 'token [removed]')
  },
)

bundle(
  'contains no secrets from the outputs of hosts, Talos and Kubernetes, nor from settings',
  async ({ made }) => {
    const encode = (text: string): string => Buffer.from(text).toString('base64')
    const ca = createCa('/O=kubernetes')
    const cluster = testCluster(
      {
        CLUSTER_NAME: made.cluster.name,
        NETWORK_CIDR: '127.13.11.0/24',
        TALOS_KERNEL_ARGS: 'talos.config=https://host/x?token=s3cretvalue99',
      },
      made.root,
    )
    const [first] = cluster.controlPlanes
    const { cert, key } = ca.issue('/CN=it', 365, first?.address)
    const leak = (where: string): string => `${where} leaks ${known}; token=s3cretvalue99\n`
    const api = createServer({ cert, key }, (_, response) => {
      response.end(JSON.stringify({ items: [{ message: `${first?.address}: ${leak('event')}` }] }))
    })
    await new Promise<void>((resolve) => api.listen(6443, first?.address, resolve))
    // The other machines do not answer, and are not waited for.
    const talos = createTlsServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => {
      socket.on('error', () => undefined)
      socket.write('settings')
    })
    await new Promise<void>((resolve) => talos.listen(50_000, first?.address, resolve))
    const put = (name: string, text: string | Uint8Array, mode = 0o600): void =>
      writeFileSync(made.path(name), text, { mode })
    const folder = `generated/${cluster.name}`
    put(`${folder}/secrets.yaml`, stringify({ cluster: { secret: known } }))
    put(`${folder}/talosconfig`, talosconfigOf(cluster, encode(pem)))
    put(`${folder}/kubeconfig`, kubeconfigOf(cluster, encode(ca.cert), encode(key), encode(cert)))
    put(
      'support.zip',
      zipSync({ 'dmesg.log': Buffer.from(`${leak('support')}${pem}\n${encode(key)}\n`) }),
    )
    put(
      'bin/talosctl',
      `#!/bin/bash
if [ "$1" = version ]; then echo 'Talos v1.13.9'; fi
case " $* " in *,*) exit 1 ;; esac
while [ $# -gt 0 ]; do if [ "$1" = --output ]; then cp ${made.path('support.zip')} "$2" 2>/dev/null; fi; shift; done
`,
      0o755,
    )
    put('console.txt', leak('console'))
    put(
      'bin/tail',
      `#!/bin/bash
case \${*: -1} in *-console.log) cat ${made.path('console.txt')} ;; *) exec /usr/bin/tail "$@" ;; esac
`,
      0o755,
    )
    const cache = process.env['XDG_CACHE_HOME']
    process.env['XDG_CACHE_HOME'] = made.path('cache')
    const { path } = await write(cluster).finally(() => {
      if (cache === undefined) delete process.env['XDG_CACHE_HOME']
      else process.env['XDG_CACHE_HOME'] = cache
      api.close()
      talos.close()
      api.closeAllConnections()
    })
    const { stdout: all } = await local.$`tar -xOf ${path}`
    for (const where of ['console', 'event', 'support'])
      assert.match(all, `${where} leaks [removed]`)
    assert.match(all, 'talos.config=https://host/x?token=[removed]')
    for (const planted of [known, 's3cretvalue99', pem, encode(pem), key, encode(key)])
      assert.not.ok(all.includes(planted), planted)
    assert.match(all, `${first?.address}: event leaks [removed]`)
  },
)

bundle('deletes the oldest of more than five', async ({ made }) => {
  const folder = join(made.generated, 'bundles')
  mkdirSync(folder)
  for (let day = 1; day < 8; day++) writeFileSync(join(folder, `2026-01-0${day}.tar.zst`), '')
  await write(made.cluster, new Date('2026-11-24T00:00:00Z'))
  const left = readdirSync(folder).sort()
  assert.is(left.length, 5)
  assert.match(left[4] ?? '', '2026-11-24')
  assert.is(left[0], '2026-01-04.tar.zst')
})

test.run()
bundle.run()
