import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { generatedFiles, silentLog, type Change } from '@talosmith/core'
import { problemOf, quicken, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import { listBackups } from '../../src/generated/backups.ts'
import { takeBackup } from '../../src/backup/take-backup.ts'
import { describeNewer, type RunningEtcd } from '../../src/backup/newer.ts'
import { findBackup, planRestore } from '../../src/backup/prepare-restore.ts'
import { restoreEtcd } from '../../src/backup/restore.ts'
import { findRestore } from '../../src/generated/under-way.ts'
import { sha256 } from '../../src/secrets/secrets.ts'
import { showMachine, createCa } from '@talosmith/clients/testing'
import { Simulation } from '../support/simulated.ts'
import * as assert from 'uvu/assert'

const test = suite('restore')
quicken()
const ca = createCa('/O=talos')
const shown: { stop(): Promise<void> }[] = []

test.before(async () => {
  for (const last of [70, 71, 72, 80])
    shown.push(
      await showMachine(`127.13.12.${last}`, { has: ca.issue('/CN=machine'), ca: ca.cert }),
    )
})
test.after(async () => {
  await Promise.all(shown.map((machine) => machine.stop()))
})

const settings = {
  ...{ NETWORK_CIDR: '127.13.12.0/24', CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '1' },
  HEALTH_TIMEOUT: '20s',
}

/** Three control planes, a worker, and a snapshot of their etcd. */
async function backedUp(etcd: Simulation['etcd']): Promise<Simulation> {
  const cluster = testCluster(settings, temporaryFolder('restore'))
  const simulation = new Simulation(cluster, 'v1.13.9')
  const { talosctl, kubernetes, secrets } = simulation.context({ talosCa: ca.cert })
  await takeBackup({ cluster, talosctl, kubernetes, secrets })
  simulation.changes.length = 0
  simulation.etcd = etcd
  return simulation
}

async function restore(
  simulation: Simulation,
  { dryRun = false, snapshot = undefined as string | undefined } = {},
): Promise<readonly Change[]> {
  const { cluster } = simulation
  let planned: readonly Change[] = []
  const showPlan = (changes: readonly Change[]) => {
    planned = changes
    return 2 as const
  }
  const context = simulation.context({ talosCa: ca.cert })
  const script = { cluster, log: silentLog, dryRun, showPlan, hosts: context.hosts }
  await restoreEtcd({ ...script, options: { snapshot } }, context, {
    configure: async () => 0,
    startCluster: async () => 0,
  })
  return planned
}

for (const [etcd, because] of [
  ['running', 'etcd is running'],
  ['stopped', 'etcd is not running, but its data exists'],
] as const)
  test(`while etcd is ${etcd}, nothing is restored over its data, not even as a plan`, async () => {
    for (const dryRun of [false, true]) {
      const simulation = await backedUp(etcd)
      const problem = await problemOf(restore(simulation, { dryRun }))
      assert.is(problem.code, 'RESTORE_REFUSED')
      assert.is(problem.because, because)
      assert.match(problem.hint ?? '', 'CONFIRM=home CLUSTER=home npx nx run cluster:restore')
      assert.equal(simulation.changes, [])
    }
  })

test('on empty control planes the plan is the newest snapshot, then a restart of each', async () => {
  const simulation = await backedUp('none')
  const planned = await restore(simulation, { dryRun: true })
  assert.equal(
    planned.map(({ kind, target, risk }) => `${kind} ${target} ${risk}`),
    [
      'restore-etcd etcd data-loss',
      'restart home-cp1 restart',
      'restart home-cp2 restart',
      'restart home-cp3 restart',
    ],
  )
  assert.equal(simulation.changes, [])
})

test('etcd data on a control plane that the settings no longer name stops a restore', async () => {
  const simulation = await backedUp('none')
  const cluster = testCluster({ ...settings, CONTROL_PLANE_COUNT: '1' }, simulation.cluster.root)
  const context = simulation.context({ talosCa: ca.cert })
  const { talosctl } = context
  const ask: typeof talosctl.ask = (nodes, args, options) => {
    // Only home-cp3 has data: home-cp1, which is to be restored, has none.
    simulation.etcd =
      nodes.includes('127.13.12.72') && args.join(' ') === 'list /var/lib/etcd' ? 'stopped' : 'none'
    return talosctl.ask(nodes, args, options)
  }
  for (const dryRun of [true, false]) {
    const script = { cluster, log: silentLog, dryRun, showPlan: () => 2 as const }
    const problem = await problemOf(
      restoreEtcd(
        { ...script, hosts: context.hosts, options: {} },
        { ...context, cluster, talosctl: { ...talosctl, ask } },
        { configure: async () => 0, startCluster: async () => 0 },
      ),
    )
    assert.is(problem.code, 'CONTROL_PLANES_LEFT')
    assert.match(problem.because ?? problem.message, 'home-cp3')
    assert.equal(simulation.changes, [])
  }
})

test('a missing snapshot ends the restore before any change', async () => {
  const simulation = await backedUp('none')
  const named = await problemOf(restore(simulation, { snapshot: 'etcd-never.db' }))
  assert.is(named.code, 'BACKUP_UNUSABLE')
  assert.match(named.hint ?? '', 'choose another with --snapshot: etcd-')
  await rm(join(simulation.cluster.generated, 'backups'), { recursive: true })
  const none = await problemOf(restore(simulation))
  assert.is(none.code, 'BACKUP_UNUSABLE')
  assert.is(none.message, `cluster ${simulation.cluster.name} has no backup to restore`)
  assert.match(none.hint ?? '', 'put a backup with its .json into')
  assert.equal(simulation.changes, [])
})

test('etcd is restored from the snapshot, and every control plane restarts once, the leader last', async () => {
  const simulation = await backedUp('none')
  await restore(simulation)
  assert.match(simulation.changes[0] ?? '', /^bootstrap home-cp1$/)
  assert.equal(simulation.changes.slice(1), [
    'reboot home-cp2',
    'reboot home-cp3',
    'reboot home-cp1',
  ])
})

test('cordons in the snapshot do not stop a restore: those of upgrades are removed, others stay', async () => {
  const simulation = await backedUp('none')
  Object.assign(simulation.named('home-cp2'), { cordoned: true, annotation: 'v1.13.9 s boot-1' })
  Object.assign(simulation.named('home-w1'), { cordoned: true })
  await restore(simulation)
  assert.ok(simulation.changes.includes('uncordon home-cp2'))
  assert.equal(
    simulation.machines.map(({ cordoned, annotation }) => [cordoned, annotation]),
    [
      [false, undefined],
      [false, undefined],
      [false, undefined],
      [true, undefined],
    ],
  )
})

test('an etcd that is older than the snapshot is refused', async () => {
  const simulation = await backedUp('none')
  simulation.revision = 76
  const problem = await problemOf(restore(simulation))
  assert.is(problem.code, 'RESTORE_UNPROVEN')
  assert.is(problem.because, 'etcd is at revision 76, the backup at 77')
})

test('the snapshot is found with the secrets alone', async () => {
  const { cluster } = await backedUp('none')
  const problem = await problemOf(findBackup({ cluster, options: {} }))
  assert.is(problem.code, 'BACKUP_UNUSABLE')
  assert.match(problem.because ?? '', 'secrets.yaml')
  const files = generatedFiles(cluster)
  const pem = Buffer.from(ca.cert).toString('base64')
  const secrets = JSON.stringify({ certs: { os: { crt: pem }, k8s: { crt: pem } } })
  await files.write('secrets.yaml', secrets)
  const [backup] = await listBackups(cluster)
  assert.ok(backup)
  const own = { ...backup, secrets: sha256(secrets) }
  await files.write(`backups/${backup.file.replace('.db', '.json')}`, JSON.stringify(own))
  assert.is((await findBackup({ cluster, options: {} })).file, backup.file)
})

test('the plan for a destroyed cluster begins with its secrets', () => {
  const backup = { file: 'a.db', takenAt: '2026-11-24T01:00:00.000Z', bringsSecrets: true }
  assert.equal(
    planRestore(testCluster(), backup).map(({ kind }) => kind),
    ['put-back-secrets', 'restore-etcd', 'restart'],
  )
})

test('the plan shows the time of the data', () => {
  const backup = { file: 'a.db', takenAt: '2026-11-24T01:00:00.000Z', bringsSecrets: false }
  const [first] = planRestore(testCluster(), backup)
  assert.is(first?.to, '2026-11-24T01:00:00.000Z')
  assert.is(first?.risk, 'data-loss')
})

test('in the middle of a regeneration nothing is restored', async () => {
  const simulation = await backedUp('none')
  const record = JSON.stringify({ archive: 'archive/then', machinesAreNew: true })
  await generatedFiles(simulation.cluster).write('regenerating.json', record)
  assert.is((await problemOf(restore(simulation))).code, 'REGENERATION_UNFINISHED')
  assert.equal(simulation.changes, [])
})

test('a restore that was stopped goes on with its backup, and one that ended leaves no record', async () => {
  const simulation = await backedUp('none')
  const { cluster } = simulation
  const { talosctl, kubernetes, secrets } = simulation.context({ talosCa: ca.cert })
  const [begun] = await listBackups(cluster)
  const died = new Promise<void>((resolve) => {
    simulation.kill = { at: /^reboot home-cp2/, when: 'before', died: resolve }
  })
  await Promise.race([restore(simulation), died])
  assert.equal(await findRestore(cluster), { backup: begun?.file })
  const tools = { cluster, talosctl, kubernetes, secrets }
  await takeBackup({ ...tools, ...simulation.context({ talosCa: ca.cert }) })
  assert.is((await findBackup({ cluster, options: {} }, secrets)).file, begun?.file)
  simulation.etcd = 'none'
  await restore(simulation)
  assert.is(await findRestore(cluster), undefined)
})

test('what a restore has replaced is restored only by its name, and replaces no other backup', async () => {
  const simulation = await backedUp('running')
  const { cluster } = simulation
  const tools = simulation.context({ talosCa: ca.cert })
  const times = Array.from({ length: 12 }, (_, i) => new Date(Date.now() + (i + 1) * 1000))
  for (const time of times.slice(0, 9)) await takeBackup(tools, time)
  const before = await listBackups(cluster)
  assert.is(before.length, 10)
  const saved = await takeBackup({ ...tools, beforeRestore: true }, times[10])
  assert.equal(
    (await listBackups(cluster)).map(({ file }) => file),
    [saved.file, ...before.map(({ file }) => file)],
  )
  const chosen = async (snapshot?: string): Promise<string> =>
    (await findBackup({ cluster, options: { snapshot } }, tools.secrets)).file
  assert.is(await chosen(), before[0]?.file)
  assert.is(await chosen(saved.file), saved.file)
})

const old = { file: 'a.db', takenAt: '2026-11-24T01:00:00.000Z', revision: 77, identity: 'u' }
const compared: [string, RunningEtcd, string | undefined][] = [
  ['has more', { revision: 80, identity: 'u' }, 'is 3 revisions newer than a.db'],
  ['has the same', { revision: 77, identity: 'u' }, undefined],
  ['has less', { revision: 70, identity: 'u' }, undefined],
  ['is another cluster', { revision: 70, identity: 'x' }, 'data of another cluster than a.db'],
  ['does not tell', { revision: undefined, identity: undefined }, 'may be newer than a.db'],
]
for (const [title, etcd, expected] of compared)
  test(`an etcd that ${title} is ${expected === undefined ? 'not saved' : 'saved'} before a restore`, () => {
    const newer = describeNewer(old, etcd)
    if (expected === undefined) assert.is(newer, undefined)
    else assert.match(newer ?? '', expected)
  })

test.run()
