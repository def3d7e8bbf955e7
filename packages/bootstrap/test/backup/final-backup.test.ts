import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fakeTalosctl, type Reply } from '@talosmith/clients/testing'
import { readClusterId, type Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseBackup } from '../../src/backup/backup.ts'
import { findFinalBackup, takeFinalBackup } from '../../src/backup/final-backup.ts'
import { beginHistory } from '../../src/generated/history.ts'
import { backupBytes } from '../support/simulated.ts'

const final = suite<{ cluster: Cluster }>('the final backup')
final.before.each((context) => {
  const root = temporaryFolder('final')
  context.cluster = testCluster({ CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }, root)
  put(context.cluster, 'talosconfig', 'access')
  put(context.cluster, 'secrets.yaml', 'of this cluster')
})

function put({ generated }: Cluster, name: string, text: string): void {
  mkdirSync(join(generated, name, '..'), { recursive: true })
  writeFileSync(join(generated, name), text)
}

interface Setting {
  readonly down?: readonly string[]
  readonly bytes?: Buffer
  /** Gets the talosconfig that was used. */
  readonly configs?: string[]
}

/** Takes it with a talosctl whose machines in `down` don't answer. */
async function take(
  cluster: Cluster,
  { down = [], bytes = backupBytes(), configs = [] }: Setting = {},
): Promise<string> {
  const talosctl = fakeTalosctl((words, nodes): Reply => {
    if (nodes.some((node) => down.includes(node)))
      return { stderr: 'rpc error: connection refused' }
    const [, path] = /^etcd snapshot (.*)$/.exec(words) ?? []
    if (path !== undefined) writeFileSync(path, bytes, { mode: 0o644 })
    return ''
  })
  return takeFinalBackup(cluster, async (_, config = '') => (configs.push(config), talosctl))
}

final('lies among the backups, for its owner alone, with the secrets', async ({ cluster }) => {
  assert.is(await findFinalBackup(cluster), undefined)
  const path = await take(cluster)
  assert.equal(readFileSync(path), backupBytes())
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.is(join(path, '..'), join(cluster.generated, 'backups'))
  assert.is(readFileSync(path.replace('.db', '.secrets.yaml'), 'utf8'), 'of this cluster')
  assert.ok(path.endsWith((await findFinalBackup(cluster))?.file ?? 'none'))
})

final('comes from the first control plane that gives one', async ({ cluster }) => {
  await take(cluster, { down: ['10.0.0.70', '10.0.0.71'] })
  assert.is((await findFinalBackup(cluster))?.machine, 'home-cp3')
})

final(
  'that every control plane refuses reports the reason of each, and leaves nothing',
  async ({ cluster }) => {
    const problem = await problemOf(
      take(cluster, { down: ['10.0.0.70', '10.0.0.71', '10.0.0.72'] }),
    )
    assert.is(problem.code, 'BACKUP_FAILED')
    assert.match(problem.hint ?? '', 'leave FINAL_SNAPSHOT out')
    for (const name of ['home-cp1', 'home-cp2', 'home-cp3'])
      assert.match(problem.because ?? '', `${name}: `)
    assert.not.ok(readdirSync(cluster.generated).includes('backups'))
  },
)

final('of bytes that etcd did not write is none', async ({ cluster }) => {
  const problem = await problemOf(take(cluster, { bytes: backupBytes().subarray(0, 900) }))
  assert.is(problem.code, 'BACKUP_FAILED')
  assert.not.ok(readdirSync(cluster.generated).includes('backups'))
})

final('uses the talosconfig that a stopped destroy has set aside', async ({ cluster }) => {
  rmSync(join(cluster.generated, 'talosconfig'))
  put(cluster, 'removed/talosconfig', 'access')
  const configs: string[] = []
  await take(cluster, { configs })
  assert.equal(configs, ['removed/talosconfig'])
})

final('of an earlier cluster of the same name is none of this one', async ({ cluster }) => {
  await take(cluster)
  put(cluster, 'secrets.yaml', 'of the next cluster')
  assert.is(await findFinalBackup(cluster), undefined)
  const path = await take(cluster)
  assert.ok(path.endsWith((await findFinalBackup(cluster))?.file ?? 'none'))
})

final(
  'of the cluster before it was destroyed and restored is none of this one',
  async ({ cluster }) => {
    const ids = ['11111111-1111-4222-8333-444444444444', '22222222-1111-4222-8333-444444444444']
    put(cluster, 'cluster-id', ids[0] ?? '')
    await take(cluster)
    assert.ok(await findFinalBackup(cluster))
    put(cluster, 'cluster-id', ids[1] ?? '')
    assert.is(await findFinalBackup(cluster), undefined)
  },
)

final('that was restored is none of what was written since', async ({ cluster }) => {
  // Machines were left when it was restored: the cluster keeps its ID.
  const id = '11111111-1111-4222-8333-444444444444'
  put(cluster, 'cluster-id', id)
  await take(cluster)
  const restored = await findFinalBackup(cluster)
  if (restored === undefined) throw new Error('it was not taken')
  await beginHistory(cluster, restored)
  assert.is(await findFinalBackup(cluster), undefined)
  const next = await take(cluster)
  assert.ok(next.endsWith((await findFinalBackup(cluster))?.file ?? 'none'))
})

final('that was restored is found also where its name was not recorded', async ({ cluster }) => {
  await take(cluster)
  const restored = await findFinalBackup(cluster)
  if (restored === undefined) throw new Error('it was not taken')
  await beginHistory(cluster, restored)
  // As an earlier version wrote it.
  put(cluster, 'backups/history.json', '{"history":1}')
  assert.is(await findFinalBackup(cluster), undefined)
  const next = await take(cluster)
  assert.ok(next.endsWith((await findFinalBackup(cluster))?.file ?? 'none'))
})

final(
  'of another checkout becomes one of the cluster that it is restored to',
  async ({ cluster }) => {
    const [theirs, ours] = [1, 2].map((digit) => `${digit}1111111-1111-4222-8333-444444444444`)
    put(cluster, 'cluster-id', theirs ?? '')
    await take(cluster)
    const backup = await findFinalBackup(cluster)
    if (backup === undefined) throw new Error('it was not taken')
    // A later one of theirs: the wrong answer to which cluster runs here.
    const later = { ...backup, file: 'etcd-2099-01-01T00-00-00.000Z.db' }
    put(cluster, 'backups/etcd-2099-01-01T00-00-00.000Z.json', JSON.stringify(later))
    rmSync(join(cluster.generated, 'cluster-id'))
    assert.is(await readClusterId(cluster), theirs)
    put(cluster, 'cluster-id', ours ?? '')
    await beginHistory(cluster, backup)
    // On a third computer, with a copy of the backups alone.
    rmSync(join(cluster.generated, 'cluster-id'))
    assert.is(await readClusterId(cluster), ours)
  },
)

final('is found again once the secrets are set aside', async ({ cluster }) => {
  const path = await take(cluster)
  mkdirSync(join(cluster.generated, 'removed'))
  renameSync(
    join(cluster.generated, 'secrets.yaml'),
    join(cluster.generated, 'removed/secrets.yaml'),
  )
  assert.ok(path.endsWith((await findFinalBackup(cluster))?.file ?? 'none'))
})

final('is what a restore takes when the cluster is gone, secrets and all', async ({ cluster }) => {
  const path = await take(cluster)
  for (const name of ['secrets.yaml', 'talosconfig']) rmSync(join(cluster.generated, name))
  const chosen = await chooseBackup(cluster, undefined)
  assert.equal([chosen.path, chosen.bringsSecrets], [path, true])
})

final.run()
