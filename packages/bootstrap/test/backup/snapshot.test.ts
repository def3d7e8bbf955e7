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
import type { Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findFinalSnapshot, takeFinalSnapshot } from '../../src/backup/snapshot.ts'
import { fakeTalosctl, type Reply } from '@talosmith/clients/testing'

const snapshot = suite<{ cluster: Cluster }>('the last snapshot')
snapshot.before.each((context) => {
  const root = temporaryFolder('snapshot')
  context.cluster = testCluster({ CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }, root)
  put(context.cluster, 'talosconfig', 'way in')
  put(context.cluster, 'secrets.yaml', 'of this life')
})

function put({ generated }: Cluster, name: string, text: string): void {
  mkdirSync(join(generated, name, '..'), { recursive: true })
  writeFileSync(join(generated, name), text)
}

/** Takes it with a talosctl whose machines in `down` don't answer; remembers which talosconfig it was given. */
async function take(
  cluster: Cluster,
  down: readonly string[] = [],
  configs: string[] = [],
): Promise<string> {
  const talosctl = fakeTalosctl((words, nodes): Reply => {
    if (nodes.some((node) => down.includes(node)))
      return { stderr: 'rpc error: connection refused' }
    const [, path] = /^etcd snapshot (.*)$/.exec(words) ?? []
    if (path !== undefined) writeFileSync(path, 'etcd data', { mode: 0o644 })
    return ''
  })
  return takeFinalSnapshot(cluster, async (_, config = '') => (configs.push(config), talosctl))
}

snapshot('lies in snapshots/, for its owner alone, and is found again', async ({ cluster }) => {
  assert.is(await findFinalSnapshot(cluster), undefined)
  const path = await take(cluster)
  assert.is(readFileSync(path, 'utf8'), 'etcd data')
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.is(join(path, '..'), join(cluster.generated, 'snapshots'))
  assert.is(await findFinalSnapshot(cluster), path)
})

snapshot('comes from the first control plane that gives one', async ({ cluster }) => {
  await take(cluster, ['10.0.0.70', '10.0.0.71'])
  assert.ok(await findFinalSnapshot(cluster))
})

snapshot('that nobody gives says why of each, and leaves nothing', async ({ cluster }) => {
  const problem = await problemOf(take(cluster, ['10.0.0.70', '10.0.0.71', '10.0.0.72']))
  assert.is(problem.code, 'SNAPSHOT_FAILED')
  for (const name of ['home-cp1', 'home-cp2', 'home-cp3'])
    assert.match(problem.because ?? '', `${name}: `)
  assert.not.ok(readdirSync(cluster.generated).includes('snapshots'))
})

snapshot(
  'can be taken with the talosconfig that a stopped destroy set aside',
  async ({ cluster }) => {
    rmSync(join(cluster.generated, 'talosconfig'))
    put(cluster, 'removed/talosconfig', 'way in')
    const configs: string[] = []
    await take(cluster, [], configs)
    assert.equal(configs, ['removed/talosconfig'])
  },
)

snapshot('of an earlier cluster of the same name is none of this one', async ({ cluster }) => {
  await take(cluster)
  put(cluster, 'secrets.yaml', 'of the next life')
  assert.is(await findFinalSnapshot(cluster), undefined)
  const path = await take(cluster)
  assert.is(await findFinalSnapshot(cluster), path)
})

snapshot('is found again once the secrets are set aside', async ({ cluster }) => {
  const path = await take(cluster)
  mkdirSync(join(cluster.generated, 'removed'))
  renameSync(
    join(cluster.generated, 'secrets.yaml'),
    join(cluster.generated, 'removed/secrets.yaml'),
  )
  assert.is(await findFinalSnapshot(cluster), path)
})

snapshot('of a cluster without secrets is taken anew', async ({ cluster }) => {
  rmSync(join(cluster.generated, 'secrets.yaml'))
  assert.match(await take(cluster), /final-[-.\dTZ]+\.db$/)
  assert.is(await findFinalSnapshot(cluster), undefined)
})

snapshot.run()
