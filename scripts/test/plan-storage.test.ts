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

const look = {
  access: Promise.resolve({ kubeconfig: undefined, api: { ok: true, value: {} } } as const),
  isFresh: Promise.resolve(false),
}

plan(
  'a class of ours in the cluster is to be removed, and no file had to say so',
  async ({ made }) => {
    const { changes } = await planStoragePart(made.cluster, look)
    assert.equal(
      changes.map(({ kind }) => kind),
      ['remove-storage-class'],
    )
  },
)

plan('a cluster without any is left alone', async ({ made }) => {
  rmSync(made.path('storageclass'))
  const { changes, problems, unknown, notes } = await planStoragePart(made.cluster, look)
  assert.equal([changes, problems, unknown, notes], [[], [], [], []])
})

plan('an API that fails only then is a problem, and nothing is planned', async ({ made }) => {
  made.api.isDown = true
  const { changes, problems } = await planStoragePart(made.cluster, look)
  assert.equal(changes, [])
  assert.equal(
    problems.map(({ code }) => code),
    ['KUBERNETES_UNREACHABLE'],
  )
})

plan('an API that does not answer is not known', async ({ made }) => {
  const down = { ok: false, reason: 'connection refused' } as const
  const access = Promise.resolve({ kubeconfig: undefined, api: down })
  const { unknown } = await planStoragePart(made.cluster, { ...look, access })
  assert.equal(unknown, ['driver and StorageClass: connection refused'])
})

plan('without a kubeconfig there is nobody to ask', async ({ made }) => {
  rmSync(`${made.generated}/kubeconfig`)
  const { changes, unknown } = await planStoragePart(made.cluster, look)
  assert.equal([changes, unknown], [[], []])
})

plan.run()
