import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openTalosctl } from '@talosmith/clients/talos'
import { createCa, fakeTalosctl, hasTalosctl, showMachine } from '@talosmith/clients/testing'
import { findTool } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { chooseBackup } from '../../src/backup/backup.ts'
import { planUnsaved } from '../../src/backup/newer.ts'
import {
  prepareRestore,
  refuseEtcdOnOtherHosts,
  saveReplacedEtcd,
} from '../../src/backup/prepare-restore.ts'
import { takeBackup } from '../../src/backup/take-backup.ts'
import { listBackups } from '../../src/generated/backups.ts'
import { createSecrets } from '../../src/generated/create-secrets.ts'
import { beginHistory } from '../../src/generated/history.ts'
import { parseSecrets, writeSecrets } from '../../src/secrets/secrets.ts'
import { backupBytes } from '../support/simulated.ts'

const settings = { NETWORK_CIDR: '127.13.42.0/24', WORKER_COUNT: '0', TALOS_VERSION: 'v1.13.9' }
const template = testCluster(settings, temporaryFolder('newer'))
const isThere = await hasTalosctl(template)
const test = suite('an etcd that a restore would replace')
const it = isThere ? test : test.skip
let secrets = ''
let machine: { stop(): Promise<void> } | undefined
const cache = process.env['XDG_CACHE_HOME']

test.before(async () => {
  if (!isThere) return
  await createSecrets(template, await openTalosctl(template))
  secrets = readFileSync(join(template.generated, 'secrets.yaml'), 'utf8')
  const { os } = (parse(secrets) as { certs: { os: { crt: string; key: string } } }).certs
  const decode = (text: string): string => Buffer.from(text, 'base64').toString()
  // Talos writes `BEGIN ED25519 PRIVATE KEY` where other programs write PRIVATE KEY.
  const key = decode(os.key).replaceAll('ED25519 PRIVATE', 'PRIVATE')
  const ca = createCa('/O=talos', { cert: decode(os.crt), key })
  const shown = { has: ca.issue('/CN=machine'), ca: ca.cert }
  machine = await showMachine(template.controlPlanes[0]?.address ?? '', shown)
  putTalosctl((await findTool('talosctl', template)).path)
})
test.after(async () => {
  await machine?.stop()
  if (cache === undefined) delete process.env['XDG_CACHE_HOME']
  else process.env['XDG_CACHE_HOME'] = cache
})

/** The real talosctl, apart from what it asks machines: there, etcd runs at revision 80. */
function putTalosctl(real: string): void {
  const root = temporaryFolder('talosctl')
  const folder = join(root, 'talosmith/tools/talosctl/v1.13.9')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(root, 'snapshot'), backupBytes())
  const address = template.controlPlanes[0]?.address
  writeFileSync(
    join(folder, 'talosctl'),
    `#!/bin/sh
case "$*" in
  *'etcd status'*)
    echo 'NODE           MEMBER   LEADER   RAFT INDEX   RAFT TERM   LEARNER   ERRORS'
    echo '${address}   id-1     id-1     100          2           false' ;;
  *'etcd snapshot'*)
    for last; do :; done
    cp '${root}/snapshot' "$last"
    echo 'snapshot info: hash 1, revision 80, total keys 5' ;;
  *--nodes*) echo 'rpc error: code = Unavailable desc = not here' >&2; exit 1 ;;
  *) exec '${real}' "$@" ;;
esac
`,
    { mode: 0o755 },
  )
  process.env['XDG_CACHE_HOME'] = root
}

/** A backup of the revision, with its secrets where it is final. */
async function backUp(cluster: typeof template, revision: number, keptSecrets?: string) {
  const talosctl = fakeTalosctl((words) => {
    if (words === 'etcd status') return ''
    writeFileSync(words.split(' ')[2] ?? '', backupBytes())
    return `snapshot info: hash 1, revision ${revision}, total keys 5`
  })
  const final = keptSecrets !== undefined && { final: { keptSecrets } }
  const own = { secrets: parseSecrets(secrets) }
  return takeBackup({ cluster, talosctl, kubernetes: undefined, ...own, ...final })
}
const fresh = () => testCluster(settings, temporaryFolder('newer'))

it('is saved also where the secrets are only with the final backup, and leaves no access behind', async () => {
  const cluster = fresh()
  const { file } = await backUp(cluster, 77, secrets)
  const backup = await chooseBackup(cluster, undefined)
  assert.is(backup.bringsSecrets, true)
  const changes = await prepareRestore(cluster, backup)
  assert.equal(
    changes.map(({ kind }) => kind),
    ['backup-etcd'],
  )
  const saved = await saveReplacedEtcd(cluster, backup)
  const all = await listBackups(cluster)
  assert.equal(
    all.map((one) => [one.revision, one.beforeRestore, one.caDigest]),
    [
      [80, true, parseSecrets(secrets).caDigest],
      [77, undefined, parseSecrets(secrets).caDigest],
    ],
  )
  assert.ok(saved.endsWith(all[0]?.file ?? 'none'))
  assert.is((await chooseBackup(cluster, undefined)).file, file)
  for (const name of ['talosconfig', 'secrets.yaml'])
    assert.not.ok(existsSync(join(cluster.generated, name)))
  assert.equal(readdirSync(join(cluster.generated, 'work')), [])
})

it('on a host that is not in LIBVIRT_URI stops a restore, which would give its addresses to others', async () => {
  const cluster = fresh()
  await backUp(cluster, 80, secrets)
  const backup = await chooseBackup(cluster, undefined)
  const { code, because, hint } = await problemOf(refuseEtcdOnOtherHosts(cluster, backup))
  assert.is(code, 'RESTORE_REFUSED')
  assert.match(because ?? '', `etcd answers at ${cluster.controlPlanes[0]?.address}`)
  assert.match(hint ?? '', 'cluster:stop')
  await refuseEtcdOnOtherHosts(cluster, backup, async () => undefined)
})

it('is not compared by revision with a backup of a former history', async () => {
  const cluster = fresh()
  await writeSecrets(cluster, secrets)
  const first = await backUp(cluster, 70)
  const second = await backUp(cluster, 200)
  await beginHistory(cluster, first)
  const former = await chooseBackup(cluster, parseSecrets(secrets), second.file)
  const [saving] = await prepareRestore(cluster, former)
  assert.match(saving?.summary ?? '', 'continues from another backup')
  assert.match((await planUnsaved(cluster))[0]?.summary ?? '', 'may be newer than')
})

it('is not replaced when the secrets of the backup are none', async () => {
  const cluster = fresh()
  await backUp(cluster, 77, 'certs: {')
  const backup = await chooseBackup(cluster, undefined)
  const { code, now } = await problemOf(prepareRestore(cluster, backup))
  assert.equal([code, now], ['SECRETS_UNREADABLE', 'nothing was changed'])
})

test.run()
