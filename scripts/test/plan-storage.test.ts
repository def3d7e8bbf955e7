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

plan('without kubectl nobody looks, which is worth a note and no problem', async ({ made }) => {
  rmSync(made.path('cache'), { recursive: true })
  process.env['PATH'] = made.path('pool')
  const { changes, problems, notes } = await planStoragePart(made.cluster, look)
  assert.equal([changes, problems], [[], []])
  assert.match(notes.join(), /^older storage was not looked for: kubectl was not found/)
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
