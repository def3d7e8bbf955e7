import { X509Certificate } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CommandFailed } from '@talosmith/core'
import { assertRefused } from './refused.ts'
import { access, kubernetesNodes, killWhen, labCluster, nx, run, scriptOf } from './support.ts'

const cluster = await labCluster()
const confirmed = { CONFIRM: cluster.name }
const regenerate = scriptOf('scripts/regenerate-secrets.ts', '--cluster', 'lab')
const record = join(cluster.generated, 'regenerating.json')
const kubeconfig = join(cluster.generated, 'kubeconfig')
/** The CA of the Kubernetes API, as the kubeconfig has it. */
const ca = (): string => {
  const text = readFileSync(kubeconfig, 'utf8')
  const encoded = /certificate-authority-data: (\S+)/.exec(text)?.[1] ?? ''
  return new X509Certificate(Buffer.from(encoded, 'base64')).fingerprint256
}
/** The CA of the Talos API, as the talosconfig has it. */
const talosCa = (): string => {
  const text = readFileSync(join(cluster.generated, 'talosconfig'), 'utf8')
  const encoded = /^\s+ca: (\S+)$/m.exec(text)?.[1] ?? ''
  return new X509Certificate(Buffer.from(encoded, 'base64')).fingerprint256
}
const archives = (): string[] => readdirSync(join(cluster.generated, 'archive')).sort()
let before = ''
let talosBefore = ''

test('the cluster is up', async () => {
  assert.is((await nx('cluster:up')).code, 0)
  before = ca()
  talosBefore = talosCa()
})

test('cluster:regenerate-secrets without CONFIRM lists what is lost, and changes nothing', async () => {
  const { code, output } = await run(regenerate)
  assert.is(code, 1)
  assert.match(output, 'CONFIRM_MISSING')
  for (const lost of [
    'certificate authority',
    'kubeconfig and talosconfig',
    'service account tokens',
  ])
    assert.match(output, lost)
  assert.match(output, /Archive secrets\.yaml in archive\//)
  for (const { name } of cluster.nodes) assert.match(output, `Reset virtual machine ${name}`)
  assert.is(ca(), before)
})

const kill = async (when: RegExp): Promise<void> => {
  assert.is((await killWhen(when, regenerate, confirmed)).signal, 'SIGKILL')
}
for (const [place, when] of [
  ['while the old files are archived', /✓ Archive secrets\.yaml/],
  ['while machines are removed', /✓ Remove/],
] as const) {
  test(`it is killed ${place}`, () => kill(when))
  test(`cluster:up is refused after it was killed ${place}, and makes nothing`, async () => {
    // What it had begun on the host ends by itself.
    await sleep(3000)
    await assertRefused(cluster, 'REGENERATION_UNFINISHED')
  })
}

test('it is killed while machines get their config', () =>
  kill(/✓ Apply the machine config of lab-/))

test('cluster:up then does not bootstrap etcd', async () => {
  const { code, output } = await nx('cluster:up')
  assert.is.not(code, 0)
  assert.match(output, 'REGENERATION_UNFINISHED')
  assert.not(existsSync(kubeconfig))
})

test('an empty etcd beside a kubeconfig is not bootstrapped', async () => {
  // The machines are configured and have no data: without the record, as if their disks had been wiped.
  const aside = `${cluster.generated}.regenerating`
  renameSync(record, aside)
  copyFileSync(
    join(cluster.generated, 'archive', archives().at(-1) ?? '', 'kubeconfig'),
    kubeconfig,
  )
  const bytes = readFileSync(kubeconfig)
  try {
    const { code, output } = await nx('cluster:up')
    assert.is.not(code, 0)
    assert.match(output, 'ETCD_LOST')
    assert.match(output, 'there is a kubeconfig')
    assert.equal(readFileSync(kubeconfig), bytes)
  } finally {
    rmSync(kubeconfig, { force: true })
    renameSync(aside, record)
  }
})

test('a dry run then lists what is left to do, and where the old secrets are', async () => {
  const { code, output } = await run([...regenerate, '--dry-run'])
  assert.is(code, 2)
  assert.match(output, `the old ones are in archive/${archives().at(-1)}`)
})

test('the next run ends with a healthy cluster with another CA, and the old access is rejected', async () => {
  const { code, output } = await nx('cluster:regenerate-secrets', confirmed)
  assert.is(code, 0)
  assert.match(output, 'talosctl is refused with the old talosconfig')
  assert.match(output, 'kubectl is refused with the old kubeconfig')
  assert.is.not(ca(), before)
  assert.is.not(talosCa(), talosBefore)
  assert.is((await kubernetesNodes(cluster)).length, 3)
})

test('a record of other secrets does not turn the next regeneration into one that does nothing', async () => {
  const archive = `archive/${archives().at(-1)}`
  const stale = { archive, machinesAreNew: true, secrets: '0'.repeat(64) }
  writeFileSync(record, JSON.stringify(stale))
  const { code, output } = await run([...regenerate, '--dry-run'])
  assert.is(code, 2)
  assert.match(output, 'regenerating.json is ignored')
  assert.match(output, /Archive secrets\.yaml in archive\//)
  assert.not.match(output, `secrets.yaml in ${archive}`)
  for (const { name } of cluster.nodes) assert.match(output, `Reset virtual machine ${name}`)
  // Once the cluster is healthy, no record counts.
  assert.is((await nx('bootstrap:health')).code, 0)
  assert.not(existsSync(record))
})

test('clients are rejected with the archived files, and work with the new ones', async () => {
  const generated = join(cluster.generated, 'archive', archives().at(-1) ?? '')
  const [{ address = '' } = {}] = cluster.controlPlanes
  for (const [client, ...args] of [
    ['talosctl', '-e', address, '-n', address, 'version'],
    ['kubectl', '--request-timeout=15s', 'get', 'namespaces'],
  ] as const) {
    await access(cluster, client, ...args)
    const error: unknown = await access({ ...cluster, generated }, client, ...args).catch(
      (thrown: unknown) => thrown,
    )
    assert.instance(error, CommandFailed, `${client} was let in`)
    assert.match((error as CommandFailed).stderr, /x509: |remote error: tls: |Unauthorized/)
  }
})

test('the old secrets are kept, readable by their owner only, and storage works', async () => {
  const archived = join(cluster.generated, 'archive', archives().at(-1) ?? '', 'secrets.yaml')
  assert.is(statSync(archived).mode & 0o777, 0o600)
  const verify = scriptOf('packages/storage/scripts/verify.ts', '--cluster', 'lab')
  assert.is((await run(verify)).code, 0)
})

test.run()
