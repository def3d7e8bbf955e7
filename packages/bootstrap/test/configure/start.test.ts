import {
  generatedFiles,
  Problem,
  silentLog,
  type Change,
  type Cluster,
  type Flow,
} from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import {
  createCa,
  fakeTalosctl,
  resource,
  showMachine,
  type Reply,
} from '@talosmith/clients/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { configure } from '../../src/configure/configure.ts'
import { startCluster } from '../../src/configure/start.ts'
import { sha256 } from '../../src/secrets/secrets.ts'
import { beginRestore, findRestore } from '../../src/generated/under-way.ts'

// One control plane of the settings, and two that a lowered count no longer names.
const network = '127.13.21'
const ca = createCa('/O=talos')
const pair = ca.issue('/CN=machine')
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const secrets = stringify({
  certs: { os: { crt: base64(ca.cert) }, k8s: { crt: base64(ca.cert) } },
})
const shown: { stop(): Promise<void> }[] = []
const test = suite('starting a cluster')
test.before(async () => {
  for (const last of [70, 72, 80])
    shown.push(await showMachine(`${network}.${last}`, { has: pair, ca: ca.cert }))
})
test.after(async () => {
  await Promise.all(shown.map((machine) => machine.stop()))
})

interface Given {
  /** Files in generated/, by name. */
  readonly files?: Readonly<Record<string, string>>
  /** Addresses on which etcd has data. */
  readonly data?: readonly string[]
  readonly confirmed?: boolean
  readonly within?: Flow
}

async function made({ files = {} }: Given): Promise<Cluster> {
  const settings = { NETWORK_CIDR: `${network}.0/24`, WORKER_COUNT: '1' }
  const cluster = testCluster(settings, temporaryFolder('start'))
  const [address = ''] = cluster.controlPlanes.map((node) => node.address)
  const talosconfig = stringify({
    context: cluster.name,
    contexts: {
      [cluster.name]: { endpoints: [address], ca: base64(ca.cert), crt: base64(pair.cert) },
    },
  })
  const all = { 'secrets.yaml': secrets, talosconfig, ...files }
  for (const [name, text] of Object.entries(all)) await generatedFiles(cluster).write(name, text)
  return cluster
}

/** A dry run on control planes of which no one that the settings name has etcd data. */
async function start(given: Given): Promise<{ plan: Change[]; problem: Problem | undefined }> {
  const cluster = await made(given)
  const talosctl = fakeTalosctl((words, [node = '']): Reply => {
    if (words.startsWith('get service'))
      return given.data?.includes(node) === true
        ? resource(node, { running: true })
        : { stderr: 'rpc error: code = NotFound desc = no such resource' }
    return { stderr: 'rpc error: code = Unknown desc = no such file or directory' }
  })
  const plan: Change[] = []
  const showPlan = (changes: readonly Change[]) => (plan.push(...changes), 2 as const)
  const { confirmed = false, within } = given
  const context = { cluster, log: silentLog, dryRun: true, showPlan, confirmed }
  const problem = await startCluster(
    within === undefined ? context : { ...context, within },
    talosctl,
  ).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  assert.not.ok(talosctl.calls.some((call) => call.startsWith('bootstrap')))
  return { plan, problem }
}

const backup = (own: string | undefined, more: object = {}): Record<string, string> => {
  const description = {
    ...{ file: 'etcd-a.db', cluster: 'home', takenAt: '2026-11-24T01:00:00.000Z' },
    ...{ secrets: own, revision: 1, ...more },
  }
  return { 'backups/etcd-a.json': JSON.stringify(description) }
}
const own = sha256(secrets)
const kubeconfig = { kubeconfig: 'a cluster has run' }
const restoring = { 'restoring.json': '{"backup":"etcd-a.db"}' }
const record = (digest: string): Record<string, string> => ({
  'regenerating.json': JSON.stringify({
    archive: 'archive/then',
    machinesAreNew: true,
    secrets: digest,
  }),
})
const regenerating = record(own)

const rows: [string, Given, string | undefined][] = [
  ['a new cluster is bootstrapped', {}, undefined],
  ['so is one beside backups of an earlier cluster', { files: backup('other') }, undefined],
  ['and beside backups that do not name their secrets', { files: backup(undefined) }, undefined],
  ['a kubeconfig stops it', { files: kubeconfig }, 'ETCD_LOST'],
  ['a backup with the current secrets stops it', { files: backup(own) }, 'ETCD_LOST'],
  [
    'both can be confirmed',
    { files: { ...kubeconfig, ...backup(own) }, confirmed: true },
    undefined,
  ],
  [
    'a restore is never confirmed for an empty etcd',
    { files: backup(own), confirmed: true, within: 'cluster:restore' },
    'ETCD_LOST',
  ],
  ['a stopped restore stops it', { files: restoring, confirmed: true }, 'RESTORE_UNFINISHED'],
  [
    'a stopped regeneration stops it',
    { files: regenerating, confirmed: true },
    'REGENERATION_UNFINISHED',
  ],
  ['a record of a regeneration with other secrets does not', { files: record('other') }, undefined],
  [
    'the regeneration itself goes on',
    { files: regenerating, within: 'cluster:regenerate-secrets' },
    undefined,
  ],
  [
    'a control plane that the settings no longer name stops it',
    { data: [`${network}.72`], confirmed: true },
    'CONTROL_PLANES_LEFT',
  ],
]
for (const [title, given, code] of rows)
  test(title, async () => {
    const { plan, problem } = await start(given)
    assert.is(problem?.code, code)
    const kinds = plan.map(({ kind, risk }) => `${kind} ${risk}`)
    if (code === undefined)
      assert.is(kinds[0], `bootstrap-etcd ${given.confirmed === true ? 'data-loss' : 'none'}`)
    else assert.equal(kinds, [])
  })

test('the restore is named first, then what to type for an empty cluster', async () => {
  const { problem } = await start({ files: { ...kubeconfig, ...backup(own) } })
  assert.match(problem?.because ?? '', 'generated/home')
  assert.match(problem?.because ?? '', 'the newest at 2026-11-24T01:00:00.000Z: etcd-a.db')
  assert.match(
    problem?.hint ?? '',
    /^to restore the newest backup: CONFIRM=home CLUSTER=home npx nx run cluster:restore\n.*: CONFIRM=home CLUSTER=home npx nx run cluster:up$/,
  )
})

test('the count that names the control planes again is part of the answer', async () => {
  const { problem } = await start({ data: [`${network}.72`] })
  assert.match(problem?.because ?? '', `home-cp3 (${network}.72) runs etcd`)
  assert.match(problem?.hint ?? '', 'set CONTROL_PLANE_COUNT=3 again')
})

test('no secrets are made in the middle of a restore', async () => {
  const cluster = await made({})
  await generatedFiles(cluster).remove('secrets.yaml')
  await beginRestore(cluster, { file: 'etcd-a.db' })
  const talosctl = fakeTalosctl(() => '')
  const showPlan = () => 2 as const
  const error: unknown = await configure(
    { cluster, log: silentLog, dryRun: false, showPlan },
    talosctl,
  ).catch((thrown: unknown) => thrown)
  assert.is(error instanceof Problem ? error.code : '', 'RESTORE_UNFINISHED')
  assert.equal(talosctl.calls, [])
  assert.equal(await findRestore(cluster), { backup: 'etcd-a.db' })
})

test.run()
