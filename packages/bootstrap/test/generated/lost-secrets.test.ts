import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { codes, Problem, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { forgetDestroyed, noteDestroyed, observeKeptFiles } from '../../src/generated/destroyed.ts'
import {
  judgeTraces,
  observeTraces,
  readSecretsUnlessLost,
  type Traces,
} from '../../src/generated/lost-secrets.ts'
import { parseSecrets, readSecrets, writeSecrets } from '../../src/secrets/secrets.ts'

const test = suite<{ cluster: Cluster }>('lost secrets')
test.before.each((context) => {
  context.cluster = testCluster({}, temporaryFolder('lost secrets'))
})

const put = ({ generated }: Cluster, ...names: string[]): void => {
  for (const name of names) {
    mkdirSync(dirname(join(generated, name)), { recursive: true })
    writeFileSync(join(generated, name), `TOPSECRET ${name}`)
  }
}
const note = ({ generated }: Cluster, machinesAreNew: boolean): void =>
  writeFileSync(
    join(generated, 'regenerating.json'),
    JSON.stringify({ archive: 'archive/then', machinesAreNew }),
  )
const judge = async (cluster: Cluster): Promise<Problem | undefined> =>
  judgeTraces(cluster, await observeTraces(cluster))
const secretsText = (name = 'a'): string => {
  const crt = Buffer.from(`-----BEGIN CERTIFICATE-----\n${name}`).toString('base64')
  return `certs: {os: {crt: ${crt}}, k8s: {crt: ${crt}}}\n`
}

/** What runs leave behind before there are secrets. */
const harmless = [
  ...['images.json', 'hosts.json', 'lock', 'runs/1.jsonl', 'bundles/1.tar.zst', 'work/1-0/x.yaml'],
  'secrets.yaml.1-2.tmp',
]

test('a cluster that was never configured has no traces, whatever its runs left', async ({
  cluster,
}) => {
  assert.is(await judge(cluster), undefined)
  put(cluster, ...harmless)
  assert.is(await judge(cluster), undefined)
  assert.is(await readSecretsUnlessLost(cluster), undefined)
})

for (const trace of [
  'secrets.owner.json',
  'talosconfig',
  'kubeconfig',
  'configs/home-cp1.yaml',
  'removed/secrets.yaml',
  'archive/2026-11-24T01-02-03.004Z/secrets.yaml',
  'backups/etcd-2026-11-24T01-31-49.000Z.db',
])
  test(`${trace} shows that the secrets were lost`, async ({ cluster }) => {
    put(cluster, ...harmless, trace)
    const problem = await judge(cluster)
    assert.is(problem?.code, codes.secretsLost)
    assert.match(problem?.because ?? '', trace.replace(/\/.*/, '/'))
    assert.match(problem?.hint ?? '', 'bootstrap:recover-secrets')
    assert.not.match(JSON.stringify(problem), 'TOPSECRET')
    const thrown: unknown = await readSecretsUnlessLost(cluster).catch((error: unknown) => error)
    assert.ok(thrown instanceof Problem && thrown.code === codes.secretsLost)
  })

const waysBack: [string, Traces, readonly RegExp[], readonly RegExp[]][] = [
  [
    'an interrupted destroy is continued or undone',
    { files: ['removed/secrets.yaml'] },
    [/CONFIRM=home CLUSTER=home npx nx run cluster:destroy/, /mv removed\/\* \./],
    [/cluster:restore/],
  ],
  [
    'a destroy that was given up long ago is not the first',
    { files: ['configs/home-cp1.yaml', 'removed/kubeconfig', 'removed/talosconfig'] },
    [/put a copy of secrets\.yaml back/],
    [/a destroy was interrupted/],
  ],
  [
    'an interrupted regeneration is continued',
    { files: ['archive/then/secrets.yaml'], regeneration: 'to recreate' },
    [/^a regeneration was interrupted; continue it: CONFIRM=home .*cluster:regenerate-secrets/],
    [/removed\//, /recreate its machines/],
  ],
  [
    'a final backup restores the cluster with its secrets',
    { files: ['backups/etcd-1.db', 'backups/etcd-1.secrets.yaml'] },
    [/CONFIRM=home .*cluster:restore/],
    [/interrupted/],
  ],
  [
    'otherwise a copy, a recovery, and the ways to give it up',
    { files: ['configs/home-cp1.yaml'] },
    [/put a copy of secrets\.yaml back/, /recover-secrets/, /cluster:destroy/, /etcd is lost/],
    [/cluster:restore/, /interrupted/],
  ],
]
for (const [title, traces, offered, others] of waysBack)
  test(`ways back: ${title}`, ({ cluster }) => {
    const hint = judgeTraces(cluster, traces)?.hint ?? ''
    for (const pattern of offered) assert.match(hint, pattern)
    for (const pattern of others) assert.not.match(hint, pattern)
  })

test('a regeneration whose machines are new gets new secrets', async ({ cluster }) => {
  put(cluster, 'archive/then/secrets.yaml', 'archive/then/talosconfig', 'backups/etcd-1.db')
  note(cluster, true)
  assert.is(await judge(cluster), undefined)
})

test('a regeneration gets no second secrets, nor any before its machines are new', async ({
  cluster,
}) => {
  put(cluster, 'archive/then/secrets.yaml')
  note(cluster, false)
  assert.is((await judge(cluster))?.code, codes.secretsLost)
  note(cluster, true)
  put(cluster, 'configs/home-cp1.yaml')
  assert.is((await judge(cluster))?.code, codes.secretsLost)
})

test('backups and archives of a destroyed cluster do not count, later ones do', async ({
  cluster,
}) => {
  put(cluster, 'archive/then/secrets.yaml', 'backups/etcd-1.db', 'backups/etcd-1.secrets.yaml')
  assert.is((await observeKeptFiles(cluster)).length, 3)
  await noteDestroyed(cluster)
  assert.equal(await observeKeptFiles(cluster), [])
  assert.is(await judge(cluster), undefined)
  put(cluster, 'backups/etcd-2.db')
  assert.match((await judge(cluster))?.because ?? '', 'backups/ (1 file)')
})

test('the record of a destroyed cluster never excuses the files of one that is configured', async ({
  cluster,
}) => {
  put(cluster, 'backups/etcd-1.db')
  await noteDestroyed(cluster)
  put(cluster, 'talosconfig')
  assert.is((await judge(cluster))?.code, codes.secretsLost)
})

for (const text of ['null', '', '{', '{"files":7}'])
  test(`a record of a destroyed cluster that reads ${text || 'empty'} excuses nothing`, async ({
    cluster,
  }) => {
    put(cluster, 'backups/etcd-1.db')
    writeFileSync(join(cluster.generated, 'destroyed.json'), text)
    assert.is((await judge(cluster))?.code, codes.secretsLost)
  })

test('secrets end the record of a destroyed cluster: from then on its backups count', async ({
  cluster,
}) => {
  put(cluster, 'backups/etcd-1.db')
  await noteDestroyed(cluster)
  await writeSecrets(cluster, secretsText())
  assert.not.ok(existsSync(join(cluster.generated, 'destroyed.json')))
  assert.is(statSync(join(cluster.generated, 'secrets.yaml')).mode & 0o777, 0o600)
  await forgetDestroyed(cluster)
})

test('secrets are never replaced', async ({ cluster }) => {
  await writeSecrets(cluster, secretsText('a'))
  const error: unknown = await writeSecrets(cluster, secretsText('b')).catch((one: unknown) => one)
  assert.instance(error, Error)
  assert.is((await readSecrets(cluster))?.digest, parseSecrets(secretsText('a')).digest)
})

test('a run killed after it wrote the secrets, before their owner, leaves usable secrets', async ({
  cluster,
}) => {
  mkdirSync(cluster.generated, { recursive: true })
  writeFileSync(join(cluster.generated, 'secrets.yaml'), secretsText())
  assert.is((await readSecrets(cluster))?.digest, parseSecrets(secretsText()).digest)
})

test.run()
