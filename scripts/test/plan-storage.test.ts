import { rmSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planStoragePart } from '../plan/storage.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const plan = suite<{ made: Made }>('storage of a cluster without NFS_SERVER')
plan.before.each(async (context) => {
  context.made = await makeCluster()
})
plan.after.each(({ made }) => made.close())

const dependencies = {
  access: Promise.resolve({ kubeconfig: undefined, api: { ok: true, value: {} } } as const),
  isFresh: Promise.resolve(false),
}

plan(
  'a StorageClass of Talosmith in the cluster is removed, without a record in a file',
  async ({ made }) => {
    const { changes } = await planStoragePart(made.cluster, dependencies)
    assert.equal(
      changes.map(({ kind }) => kind),
      ['remove-storage-class'],
    )
  },
)

plan('a cluster without one needs no change', async ({ made }) => {
  rmSync(made.path('storageclass'))
  const { changes, problems, unknown, notes } = await planStoragePart(made.cluster, dependencies)
  assert.equal([changes, problems, unknown, notes], [[], [], [], []])
})

plan(
  'an API server that stops answering is a problem, and no change is planned',
  async ({ made }) => {
    made.api.isDown = true
    const { changes, problems } = await planStoragePart(made.cluster, dependencies)
    assert.equal(changes, [])
    assert.equal(
      problems.map(({ code }) => code),
      ['KUBERNETES_UNREACHABLE'],
    )
  },
)

plan('with an API server that does not answer, storage is unknown', async ({ made }) => {
  const down = { ok: false, reason: 'connection refused' } as const
  const access = Promise.resolve({ kubeconfig: undefined, api: down })
  const settings = { ...made.cluster.settings, NFS_SERVER: '10.0.0.5' }
  const cluster = { ...made.cluster, settings }
  const { unknown } = await planStoragePart(cluster, { ...dependencies, access })
  assert.equal(unknown, ['driver and StorageClass: connection refused'])
})

plan('without NFS_SERVER, an API server that does not answer blocks nothing', async ({ made }) => {
  const down = { ok: false, reason: 'connection refused' } as const
  const access = Promise.resolve({ kubeconfig: undefined, api: down })
  const { unknown, notes } = await planStoragePart(made.cluster, { ...dependencies, access })
  assert.equal(unknown, [])
  assert.match(notes[0] ?? '', /NFS_SERVER is not set.*connection refused/)
})

plan('without a kubeconfig there is no cluster to query', async ({ made }) => {
  rmSync(`${made.generated}/kubeconfig`)
  const { changes, unknown } = await planStoragePart(made.cluster, dependencies)
  assert.equal([changes, unknown], [[], []])
})

plan.run()
