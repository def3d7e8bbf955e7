import { rmSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planStoragePart } from '../plan/storage.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const plan = suite<{ made: Made; path: string | undefined; cache: string | undefined }>(
  'storage of a cluster without NFS_SERVER',
)
plan.before.each((context) => {
  context.made = makeCluster()
  context.path = process.env['PATH']
  context.cache = process.env['XDG_CACHE_HOME']
  process.env['XDG_CACHE_HOME'] = context.made.path('cache')
})
plan.after.each(({ made, path, cache }) => {
  process.env['PATH'] = path
  if (cache === undefined) delete process.env['XDG_CACHE_HOME']
  else process.env['XDG_CACHE_HOME'] = cache
  made.close()
})

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
  'without kubectl, storage that is no longer configured is not looked for: a note, not a problem',
  async ({ made }) => {
    rmSync(made.path('cache'), { recursive: true })
    process.env['PATH'] = made.path('pool')
    const { changes, problems, notes } = await planStoragePart(made.cluster, dependencies)
    assert.equal([changes, problems], [[], []])
    assert.match(
      notes.join(),
      /^did not look for storage that is no longer configured: kubectl was not found/,
    )
  },
)

plan('with an API server that does not answer, storage is unknown', async ({ made }) => {
  const down = { ok: false, reason: 'connection refused' } as const
  const access = Promise.resolve({ kubeconfig: undefined, api: down })
  const { unknown } = await planStoragePart(made.cluster, { ...dependencies, access })
  assert.equal(unknown, ['driver and StorageClass: connection refused'])
})

plan('without a kubeconfig there is no cluster to query', async ({ made }) => {
  rmSync(`${made.generated}/kubeconfig`)
  const { changes, unknown } = await planStoragePart(made.cluster, dependencies)
  assert.equal([changes, unknown], [[], []])
})

plan.run()
