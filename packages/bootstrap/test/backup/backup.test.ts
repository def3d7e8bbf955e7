import { readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listBackups } from '../../src/generated/backups.ts'
import { beginHistory } from '../../src/generated/history.ts'
import { parseSecrets, writeSecrets } from '../../src/secrets/secrets.ts'
import { chooseBackup } from '../../src/backup/backup.ts'
import { takeBackup, type BackupTools } from '../../src/backup/take-backup.ts'
import { checkBackupFile } from '../../src/backup/backup-file.ts'
import { fakeTalosctl, type Reply } from '@talosmith/clients/testing'
import { backupBytes } from '../support/simulated.ts'

const fresh = (overrides: Record<string, string> = {}): Cluster =>
  testCluster({ CONTROL_PLANE_COUNT: '3', ...overrides }, temporaryFolder('backup'))
const secrets = { digest: 'ours' }
const output =
  'etcd snapshot saved\nsnapshot info: hash 4fd1a3c0, revision 77, total keys 5, total size 9'
const kubernetes = {
  read: async (path: string) =>
    path === '/version' ? '{"gitVersion":"v1.36.3"}' : '{"metadata":{"uid":"uid-1"}}',
}

/** Takes a backup from a talosctl that writes these bytes; machines in `refusing` fail. */
async function take(
  cluster: Cluster,
  {
    bytes = backupBytes(),
    refusing = [],
    at = '2026-11-24T01:00:00.000Z',
    revision = 77,
    more,
  }: {
    readonly bytes?: Buffer
    readonly refusing?: readonly string[]
    readonly at?: string
    readonly revision?: number
    readonly more?: Partial<BackupTools>
  } = {},
) {
  const talosctl = fakeTalosctl((words, [node = '']): Reply => {
    if (refusing.includes(node))
      return { stderr: 'rpc error: code = Unavailable desc = etcd is down' }
    if (words === 'etcd status') return ''
    writeFileSync(words.split(' ')[2] ?? '', bytes, { mode: 0o644 })
    return output.replace('77', String(revision))
  })
  const backup = takeBackup({ cluster, talosctl, kubernetes, secrets, ...more }, new Date(at))
  return { backup, talosctl }
}
const pathOf = (cluster: Cluster, name: string): string => join(cluster.generated, 'backups', name)

test('a snapshot is private, whole, and described with what it takes to restore it', async () => {
  const cluster = fresh()
  const { backup: taking, talosctl } = await take(cluster)
  const backup = await taking
  assert.is(backup.file, 'etcd-2026-11-24T01-00-00.000Z.db')
  assert.equal(
    [backup.cluster, backup.secrets, backup.revision, backup.keys, backup.machine],
    ['home', 'ours', 77, 5, 'home-cp1'],
  )
  assert.equal([backup.identity, backup.kubernetes], ['uid-1', 'v1.36.3'])
  assert.match(talosctl.calls[1] ?? '', /^etcd snapshot \S+ @ 10\.0\.0\.70$/)
  for (const name of [backup.file, backup.file.replace('.db', '.json')])
    assert.is(statSync(pathOf(cluster, name)).mode & 0o777, 0o600)
  assert.is(statSync(pathOf(cluster, '.')).mode & 0o777, 0o700)
  assert.equal(readFileSync(pathOf(cluster, backup.file)), backupBytes())
  const { path, bringsSecrets, isFormer, ...chosen } = await chooseBackup(cluster, secrets)
  assert.equal(chosen, backup)
  assert.equal([bringsSecrets, isFormer], [false, false])
  assert.is(path, pathOf(cluster, backup.file))
})

test('the snapshot is taken from another control plane when the first fails', async () => {
  const { backup } = await take(fresh(), { refusing: ['10.0.0.70'] })
  assert.is((await backup).machine, 'home-cp2')
})

test('when every control plane fails, every reason is reported', async () => {
  const cluster = fresh()
  const { backup } = await take(cluster, {
    refusing: cluster.controlPlanes.map(({ address }) => address),
  })
  const problem = await problemOf(backup)
  assert.is(problem.code, 'BACKUP_FAILED')
  assert.is(problem.because?.split('\n').length, 3)
  assert.match(problem.because ?? '', 'home-cp3: etcd is down')
})

const cut = backupBytes().subarray(0, 1024)
const changed = backupBytes()
changed[100] = 8
for (const [title, bytes] of [
  ['cut short', cut],
  ['changed on its way', changed],
  ['empty', Buffer.alloc(0)],
] as const)
  test(`a snapshot that is ${title} is not kept`, async () => {
    const cluster = fresh()
    const { backup } = await take(cluster, { bytes })
    assert.is((await problemOf(backup)).code, 'BACKUP_FAILED')
    assert.equal(await readdir(pathOf(cluster, '.')).catch(() => []), [])
  })

test('the newest ten are kept', async () => {
  const cluster = fresh()
  for (let hour = 10; hour < 23; hour++)
    await (
      await take(cluster, { at: `2026-11-24T${hour}:00:00.000Z` })
    ).backup
  const files = (await listBackups(cluster)).map(({ file }) => file)
  assert.is(files.length, 10)
  assert.is(files[0], 'etcd-2026-11-24T22-00-00.000Z.db')
  assert.is(files[9], 'etcd-2026-11-24T13-00-00.000Z.db')
  assert.is((await readdir(pathOf(cluster, '.'))).length, 20)
})

test('a snapshot without a description is deleted once it is older than every kept backup', async () => {
  const cluster = fresh()
  const left = (hour: string) => `etcd-2026-11-24T${hour}-00-00.000Z.db`
  await (
    await take(cluster, { at: '2026-11-24T01:00:00.000Z' })
  ).backup
  for (const hour of ['02', '23']) writeFileSync(pathOf(cluster, left(hour)), 'x')
  for (let hour = 10; hour < 20; hour++)
    await (
      await take(cluster, { at: `2026-11-24T${hour}:00:00.000Z` })
    ).backup
  const names = await readdir(pathOf(cluster, '.'))
  assert.not(names.includes(left('02')))
  assert.ok(names.includes(left('23')))
})

test('a description that cannot be read is an error, and its backup is not deleted as one without', async () => {
  const cluster = fresh()
  const old = pathOf(cluster, 'etcd-2020-01-01T00-00-00.000Z.json')
  await mkdir(old, { recursive: true })
  writeFileSync(old.replace('.json', '.db'), 'data')
  const { backup } = await take(cluster)
  assert.is((await problemOf(backup)).code, 'FILE_UNREADABLE')
  assert.ok(statSync(old.replace('.json', '.db')).isFile())
})

test('a clock that was fast once does not delete the backup just taken', async () => {
  const cluster = fresh()
  for (let hour = 10; hour < 22; hour++)
    await (
      await take(cluster, { at: `2030-01-01T${hour}:00:00.000Z`, revision: hour })
    ).backup
  const taken: string[] = []
  for (let hour = 10; hour < 15; hour++) {
    const at = `2026-11-24T${hour}:00:00.000Z`
    taken.unshift((await (await take(cluster, { at, revision: 20 + hour })).backup).file)
    const files = (await listBackups(cluster)).map((one) => one.file)
    assert.is(files.length, 10)
    assert.equal(files.slice(0, taken.length), taken)
    assert.is((await chooseBackup(cluster, secrets)).file, taken[0])
  }
})

test('backups of an earlier cluster neither replace those of this one nor go for them', async () => {
  const cluster = fresh()
  const before = { secrets: { digest: 'before' } }
  for (let hour = 10; hour < 20; hour++)
    await (
      await take(cluster, {
        at: `2026-01-01T${hour}:00:00.000Z`,
        revision: 9000 + hour,
        more: before,
      })
    ).backup
  for (let hour = 10; hour < 22; hour++)
    await (
      await take(cluster, { at: `2026-11-24T${hour}:00:00.000Z`, revision: hour })
    ).backup
  const all = await listBackups(cluster)
  assert.equal(
    all.map(({ revision }) => revision),
    [
      21,
      20,
      19,
      18,
      17,
      16,
      15,
      14,
      13,
      12,
      ...[9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((n) => 9010 + n),
    ],
  )
})

test('after an older backup was restored, later ones are abandoned, and the next ones are newer', async () => {
  const cluster = fresh()
  const taken = []
  for (const revision of [10, 20, 30])
    taken.push(
      await (
        await take(cluster, {
          at: `2026-11-24T${revision}:00:00.000Z`.replace('30:', '21:'),
          revision,
        })
      ).backup,
    )
  const [old, , newest] = taken
  assert.ok(old !== undefined && newest !== undefined)
  await beginHistory(cluster, old)
  assert.is((await chooseBackup(cluster, secrets)).file, old.file)
  assert.is((await chooseBackup(cluster, secrets, newest.file)).file, newest.file)
  for (const hour of [10, 11, 12, 13, 14, 15, 16, 17, 18])
    await (
      await take(cluster, { at: `2026-11-25T${hour}:00:00.000Z`, revision: hour })
    ).backup
  assert.equal(
    (await listBackups(cluster)).map(({ revision }) => revision),
    [18, 17, 16, 15, 14, 13, 12, 11, 10, 10, 30],
  )
  await beginHistory(cluster, old)
  assert.is((await chooseBackup(cluster, secrets)).revision, 10)
})

/** Takes a backup of each revision, an hour apart. */
async function takeEach(cluster: Cluster, day: number, revisions: readonly number[]) {
  const taken = []
  for (const [hour, revision] of revisions.entries()) {
    const at = `2026-11-${day}T${String(hour).padStart(2, '0')}:00:00.000Z`
    taken.push(await (await take(cluster, { at, revision })).backup)
  }
  return taken
}
const revisionsOf = async (cluster: Cluster): Promise<number[]> =>
  (await listBackups(cluster)).map(({ revision }) => revision)
const chosenOf = async (cluster: Cluster): Promise<number> =>
  (await chooseBackup(cluster, secrets)).revision

test('backups of a former history are never the newest, also when their revisions are lower', async () => {
  const cluster = fresh()
  const [first, second] = await takeEach(cluster, 20, [100, 200])
  assert.ok(first !== undefined && second !== undefined)
  await beginHistory(cluster, first)
  await takeEach(cluster, 21, [150])
  await beginHistory(cluster, first)
  await takeEach(cluster, 22, [110])
  assert.equal(await revisionsOf(cluster), [110, 100, 150, 200])
  assert.is(await chosenOf(cluster), 110)
  // One of a former history is restored by its name, and the others stay what they are.
  assert.is((await chooseBackup(cluster, secrets, second.file)).isFormer, true)
  await beginHistory(cluster, second)
  assert.is((await chooseBackup(cluster, secrets, second.file)).isFormer, false)
  await takeEach(cluster, 23, [210])
  assert.equal(await revisionsOf(cluster), [210, 200, 110, 100, 150])
})

test('of former histories all backups are kept until the current one has ten, then the newest', async () => {
  const cluster = fresh()
  const [first] = await takeEach(
    cluster,
    20,
    Array.from({ length: 10 }, (_, index) => 100 + index),
  )
  assert.ok(first !== undefined)
  await beginHistory(cluster, first)
  await takeEach(cluster, 21, [101, 102, 103, 104, 105, 106, 107, 108])
  assert.is((await listBackups(cluster)).length, 18)
  await takeEach(cluster, 22, [109])
  // The newest of the former history stays.
  assert.equal(await revisionsOf(cluster), [109, 108, 107, 106, 105, 104, 103, 102, 101, 100, 109])
})

test('an etcd that is behind its backups was restored elsewhere: a new history', async () => {
  const cluster = fresh()
  await takeEach(cluster, 20, [100, 200])
  await takeEach(cluster, 21, [150])
  assert.equal(await revisionsOf(cluster), [150, 200, 100])
  assert.is(await chosenOf(cluster), 150)
  // A revision that is not known tells nothing.
  await takeEach(cluster, 22, [0, 160])
  assert.is(await chosenOf(cluster), 160)
})

test('without the restored backup, no former one goes for the newest', async () => {
  const cluster = fresh()
  const [first, second] = await takeEach(cluster, 20, [100, 200])
  assert.ok(first !== undefined && second !== undefined)
  await beginHistory(cluster, first)
  rmSync(pathOf(cluster, first.file.replace('.db', '.json')))
  const { code, because, hint } = await problemOf(chooseBackup(cluster, secrets))
  assert.is(code, 'BACKUP_UNUSABLE')
  assert.match(because ?? '', 'an older backup has been restored')
  assert.match(hint ?? '', `--snapshot: ${second.file}`)
  assert.is((await chooseBackup(cluster, secrets, second.file)).file, second.file)
})

test('the histories of an earlier cluster, which had other secrets, are not those of this one', async () => {
  const cluster = fresh()
  const [ours] = await takeEach(cluster, 20, [100])
  const theirs = []
  for (const [hour, revision] of [10, 20].entries()) {
    const at = `2026-11-21T0${hour}:00:00.000Z`
    const more = { secrets: { digest: 'theirs' } }
    theirs.push(await (await take(cluster, { at, revision, more })).backup)
  }
  const [old] = theirs
  assert.ok(ours !== undefined && old !== undefined)
  await beginHistory(cluster, old)
  assert.is((await chooseBackup(cluster, secrets)).file, ours.file)
  assert.is((await chooseBackup(cluster, { digest: 'theirs' })).file, old.file)
  const [next] = await takeEach(cluster, 22, [110])
  assert.is(next?.history, undefined)
})

test('a cluster that was created again with the same secrets begins a history', async () => {
  const cluster = fresh()
  const put = (digit: number): void =>
    writeFileSync(
      join(cluster.generated, 'cluster-id'),
      `${digit}1111111-1111-4222-8333-444444444444`,
    )
  await mkdir(cluster.generated, { recursive: true })
  put(1)
  await takeEach(cluster, 20, [100, 200])
  put(2)
  // Its etcd is already beyond the last backup of the former one.
  const [first, second] = await takeEach(cluster, 21, [300, 310])
  assert.equal([first?.history, second?.history], [1, 1])
})

test('what an earlier version recorded as abandoned is of a former history', async () => {
  const cluster = fresh()
  const [, second] = await takeEach(cluster, 20, [100, 200])
  const json = pathOf(cluster, second?.file.replace('.db', '.json') ?? '')
  const described = JSON.parse(readFileSync(json, 'utf8')) as object
  writeFileSync(json, JSON.stringify({ ...described, isAbandoned: true }))
  assert.is(await chosenOf(cluster), 100)
})

/** A secrets file of one CA, in one of several texts. */
const secretsText = (ca: string, comment = ''): string => {
  const crt = Buffer.from(`-----BEGIN CERTIFICATE-----\n${ca}`).toString('base64')
  return `${comment}certs: {os: {crt: ${crt}}, k8s: {crt: ${crt}}}\n`
}

test('recovered secrets have another text, and the same backups', async () => {
  const cluster = fresh()
  const [original, recovered] = [secretsText('a'), secretsText('a', '# recovered\n')]
  await writeSecrets(cluster, original)
  const { backup } = await take(cluster, { more: { secrets: parseSecrets(original) } })
  const { file } = await backup
  // One of before descriptions had the CAs.
  const old = await (await take(cluster, { more: { secrets: parseSecrets(original) } })).backup
  const { caDigest, ...before } = old
  assert.ok(caDigest)
  writeFileSync(pathOf(cluster, old.file.replace('.db', '.json')), JSON.stringify(before))
  rmSync(join(cluster.generated, 'secrets.yaml'))
  await writeSecrets(cluster, recovered, { recovered: true })
  for (const name of [file, old.file])
    assert.is((await chooseBackup(cluster, parseSecrets(recovered), name)).file, name)
  assert.is((await listBackups(cluster))[0]?.caDigest, caDigest)
  const other = chooseBackup(cluster, parseSecrets(secretsText('b')), file)
  assert.match((await problemOf(other)).because ?? '', 'other secrets')
})

test('a final backup of the lost secrets is restored also when their record has another text', async () => {
  const cluster = fresh()
  await writeSecrets(cluster, secretsText('a'))
  const more = { final: { keptSecrets: secretsText('a', '# a copy\n') } }
  const { file } = await (await take(cluster, { more })).backup
  rmSync(join(cluster.generated, 'secrets.yaml'))
  assert.is((await chooseBackup(cluster, undefined)).file, file)
  rmSync(join(cluster.generated, 'secrets.owner.json'))
  await writeSecrets(cluster, secretsText('b'))
  rmSync(join(cluster.generated, 'secrets.yaml'))
  const { because } = await problemOf(chooseBackup(cluster, undefined))
  assert.match(because ?? '', 'secrets.owner.json is of secrets with another CA')
})

test('a backup does not replace one of the same time', async () => {
  const cluster = fresh()
  const [one, other] = [await (await take(cluster)).backup, await (await take(cluster)).backup]
  assert.is.not(one.file, other.file)
  assert.is((await listBackups(cluster)).length, 2)
})

for (const [title, crafted] of Object.entries({
  'another file': { file: '../secrets.db' },
  'a file of another name': { file: 'secrets.yaml' },
  'no time': { takenAt: 7 },
  'no revision': { revision: 'high' },
  'no file': { file: ['etcd-1.db'] },
  nothing: undefined,
}))
  test(`a description with ${title} describes no backup, and stops none`, async () => {
    const cluster = fresh()
    const { file } = await (await take(cluster)).backup
    const json = pathOf(cluster, file.replace('.db', '.json'))
    const described = JSON.parse(readFileSync(json, 'utf8')) as object
    const text = JSON.stringify(crafted === undefined ? null : { ...described, ...crafted })
    for (let n = 10; n < 30; n++) writeFileSync(pathOf(cluster, `etcd-${n}.json`), text)
    writeFileSync(join(cluster.generated, 'secrets.yaml'), 'the only copy')
    writeFileSync(pathOf(cluster, 'secrets.yaml'), 'another copy')
    for (let hour = 10; hour < 23; hour++)
      await (
        await take(cluster, { at: `2026-11-24T${hour}:00:00.000Z` })
      ).backup
    assert.is((await listBackups(cluster)).length, 10)
    assert.is(readFileSync(join(cluster.generated, 'secrets.yaml'), 'utf8'), 'the only copy')
    assert.is(readFileSync(pathOf(cluster, 'secrets.yaml'), 'utf8'), 'another copy')
  })

test('a description that names another file describes no backup', async () => {
  const cluster = fresh()
  const { file } = await (await take(cluster)).backup
  const json = pathOf(cluster, file.replace('.db', '.json'))
  writeFileSync(json, readFileSync(json, 'utf8').replace(file, '../secrets.db'))
  assert.equal(await listBackups(cluster), [])
})

test('etcd is backed up while the API server is down; what it would report is left out', async () => {
  const cluster = fresh()
  const read = async (): Promise<string> => {
    throw new Error('connection refused')
  }
  const backup = await (await take(cluster, { more: { kubernetes: { read } } })).backup
  assert.equal([backup.identity, backup.kubernetes], [undefined, undefined])
  assert.is((await chooseBackup(cluster, secrets)).file, backup.file)
})

test('the newest backup of the current secrets is chosen, not that of an earlier cluster', async () => {
  const cluster = fresh()
  const own = await (await take(cluster, { at: '2026-11-20T00:00:00.000Z' })).backup
  await (
    await take(cluster, { more: { secrets: { digest: 'of another' } } })
  ).backup
  assert.is((await chooseBackup(cluster, secrets)).file, own.file)
})

test('a final backup is stored with the secrets, restores them, and is never deleted', async () => {
  const cluster = fresh()
  const more = { final: { keptSecrets: 'the secrets' } }
  const final = await (await take(cluster, { at: '2026-11-20T00:00:00.000Z', more })).backup
  const kept = pathOf(cluster, final.file.replace('.db', '.secrets.yaml'))
  assert.is(readFileSync(kept, 'utf8'), 'the secrets')
  assert.is(statSync(kept).mode & 0o777, 0o600)
  for (let hour = 10; hour < 23; hour++)
    await (
      await take(cluster, { at: `2026-11-24T${hour}:00:00.000Z` })
    ).backup
  assert.is((await listBackups(cluster)).length, 11)
  const chosen = await chooseBackup(cluster, undefined)
  assert.equal([chosen.file, chosen.bringsSecrets], [final.file, true])
  const other = await problemOf(chooseBackup(cluster, secrets, final.file))
  assert.match(other.hint ?? '', 'cluster:destroy')
})

test('a final backup is never deleted for newer ones of the same secrets either', async () => {
  const cluster = fresh()
  const more = { final: { keptSecrets: 'the secrets' } }
  const final = await (await take(cluster, { at: '2026-11-20T00:00:00.000Z', more })).backup
  const { secrets: digest, caDigest } = await (await take(cluster)).backup
  // As after a restore with the secrets that are stored with it.
  const description = pathOf(cluster, final.file.replace('.db', '.json'))
  writeFileSync(description, JSON.stringify({ ...final, secrets: digest, caDigest }))
  for (let hour = 10; hour < 23; hour++)
    await (
      await take(cluster, { at: `2026-11-24T${hour}:00:00.000Z` })
    ).backup
  const files = (await listBackups(cluster)).map(({ file }) => file)
  assert.is(files.length, 11)
  assert.ok(files.includes(final.file))
})

test('a final backup of an earlier cluster is not restored over one that lost its secrets', async () => {
  const cluster = fresh()
  const more = { final: { keptSecrets: 'the secrets' } }
  await (
    await take(cluster, { more })
  ).backup
  const owner = join(cluster.generated, 'secrets.owner.json')
  writeFileSync(owner, JSON.stringify({ cluster: cluster.name, sha256: 'of others' }))
  const { code, because, hint } = await problemOf(chooseBackup(cluster, undefined))
  assert.is(code, 'BACKUP_UNUSABLE')
  assert.match(because ?? '', 'secrets.owner.json has another checksum')
  assert.match(hint ?? '', 'bootstrap:recover-secrets')
  rmSync(owner)
  writeFileSync(
    join(cluster.generated, 'talosconfig'),
    'context: a\ncontexts: {a: {endpoints: [], ca: b3RoZXI=, crt: b3RoZXI=}}\n',
  )
  assert.is((await problemOf(chooseBackup(cluster, undefined))).code, 'BACKUP_UNUSABLE')
})

test('a folder of backups that is a link is not written to', async () => {
  const cluster = fresh()
  await mkdir(cluster.generated, { recursive: true })
  const elsewhere = temporaryFolder('elsewhere')
  symlinkSync(elsewhere, pathOf(cluster, '.').replace(/\/$/, ''))
  const { backup } = await take(cluster)
  assert.is((await problemOf(backup)).code, 'GENERATED_IS_A_LINK')
  assert.equal(await readdir(elsewhere), [])
})

test('a backup is chosen by name, with or without its folder', async () => {
  const cluster = fresh()
  await (
    await take(cluster, { at: '2026-11-23T00:00:00.000Z' })
  ).backup
  await (
    await take(cluster)
  ).backup
  const name = 'etcd-2026-11-23T00-00-00.000Z.db'
  assert.is((await chooseBackup(cluster, secrets, name)).file, name)
  assert.is((await chooseBackup(cluster, secrets, `/somewhere/${name}`)).file, name)
  assert.is((await chooseBackup(cluster, secrets)).file, 'etcd-2026-11-24T01-00-00.000Z.db')
})

const refusals: [string, (cluster: Cluster, path: string) => Promise<unknown>, RegExp][] = [
  [
    'does not exist',
    (cluster) => chooseBackup(cluster, secrets, 'other.db'),
    /no verified backup of that name/,
  ],
  [
    'is of other secrets',
    (cluster) => chooseBackup(cluster, { digest: 'new' }),
    /had other secrets/,
  ],
  [
    'has no secrets at all',
    (cluster) => chooseBackup(cluster, undefined),
    /there is no secrets\.yaml/,
  ],
  [
    'was changed since',
    async (cluster, path) => {
      writeFileSync(path, changed)
      return chooseBackup(cluster, secrets)
    },
    /checksum does not match/,
  ],
  [
    'was replaced by another',
    async (cluster, path) => {
      writeFileSync(path, backupBytes(4))
      return chooseBackup(cluster, secrets)
    },
    /checksum differs/,
  ],
  [
    'is of another cluster',
    async (cluster, path) => {
      const json = path.replace('.db', '.json')
      writeFileSync(json, readFileSync(json, 'utf8').replace('"home"', '"work"'))
      return chooseBackup(cluster, secrets)
    },
    /belongs to cluster work/,
  ],
  [
    'was written by a newer Kubernetes',
    (cluster) =>
      chooseBackup(
        { ...cluster, settings: { ...cluster.settings, KUBERNETES_VERSION: 'v1.35.0' } },
        secrets,
      ),
    /written by Kubernetes v1\.36\.3/,
  ],
]
for (const [title, choose, reason] of refusals)
  test(`a backup that ${title} is not restored`, async () => {
    const cluster = fresh()
    const { file } = await (await take(cluster)).backup
    const problem = await problemOf(choose(cluster, pathOf(cluster, file)))
    assert.is(problem.code, 'BACKUP_UNUSABLE')
    assert.match(problem.because ?? '', reason)
    assert.is(problem.now, 'nothing was changed')
  })

test('a snapshot larger than one read is verified completely', async () => {
  const path = join(temporaryFolder('large'), 'etcd.db')
  writeFileSync(path, backupBytes(2000))
  assert.is((await checkBackupFile(path)).bytes, 2000 * 512 + 32)
})

test.run()
