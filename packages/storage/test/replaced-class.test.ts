import { silentLog } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { ApiRefusal, kubernetesOver, objectPath } from '@talosmith/clients/kubernetes'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyStorageChange } from '../src/apply.ts'
import { defaultAnnotation, wasDefaultAnnotation } from '../src/names.ts'
import { observeStorage } from '../src/observe.ts'
import { planInstall, planUninstall, type StorageChange } from '../src/plan.ts'
import { mountOptionsObject, storageClassObject, storageClassSpec } from '../src/storage-class.ts'

const nfs = { NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' }
const former = testCluster(nfs)
const changed = { ...nfs, NFS_MOUNT_OPTIONS: 'nfsvers=4.2' }
const classPath = objectPath('StorageClass', 'nfs-appdata')
const secretPath = objectPath('Secret', 'nfs-appdata-mount-options', 'kube-system')

interface Stored {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
}

/** An API that keeps objects, with the class of the former settings; a run is killed before its n-th change. */
function opened(isDefault: boolean) {
  const objects = new Map<string, Stored>([
    [classPath, storageClassObject(former, isDefault ? true : undefined)],
    [secretPath, mountOptionsObject(former)],
  ])
  let left = Infinity
  const kubernetes = kubernetesOver(async ({ method, path, body }) => {
    const [bare = ''] = path.split('?')
    if (method !== 'GET' && left-- <= 0) throw new Error('killed')
    // A server-side apply of one manager removes what it no longer names.
    if (method === 'PATCH') objects.set(bare, body as Stored)
    if (method === 'DELETE') objects.delete(bare)
    if (method !== 'GET') return '{}'
    if (bare.endsWith('/secrets')) return '{"items":[]}'
    const found = objects.get(bare)
    if (found === undefined) throw new ApiRefusal(404, `${bare} not found`, 'NotFound')
    return JSON.stringify(found)
  })
  /** Carries out what is planned for the class; whether it came to its end, and the plan. */
  async function run(
    settings: Readonly<Record<string, string>>,
    killAt = Infinity,
  ): Promise<{ readonly ended: boolean; readonly plan: readonly StorageChange[] }> {
    const cluster = testCluster(settings)
    const context = { cluster, kubernetes, helm: async () => '', log: silentLog }
    left = killAt
    const plan = planInstall(cluster, await observeStorage(kubernetes)).filter(
      ({ target }) => target === 'StorageClass/nfs-appdata',
    )
    try {
      for (const change of plan) await applyStorageChange(change, context)
    } catch {
      return { ended: false, plan }
    }
    return { ended: true, plan }
  }
  return {
    objects,
    kubernetes,
    run,
    /** No run is killed any more. */
    revive: () => void (left = Infinity),
    isDefault: () => objects.get(classPath)?.metadata.annotations?.[defaultAnnotation],
    note: () => objects.get(secretPath)?.metadata.annotations?.[wasDefaultAnnotation],
  }
}

const cases: [
  title: string,
  wasDefault: boolean,
  setting: string | undefined,
  expected: unknown,
][] = [
  ['the default class is the default class again', true, undefined, 'true'],
  ['another class is not', false, undefined, undefined],
  ['NFS_DEFAULT_CLASS=false decides', true, 'false', 'false'],
  ['NFS_DEFAULT_CLASS=true decides', false, 'true', 'true'],
]
for (const [title, wasDefault, setting, expected] of cases)
  test(`a replacement that is killed before any change, and the next run: ${title}`, async () => {
    const settings = {
      ...changed,
      ...(setting === undefined ? {} : { NFS_DEFAULT_CLASS: setting }),
    }
    let killAt = 0
    for (let ended = false; !ended; killAt += 1) {
      const world = opened(wasDefault)
      ended = (await world.run(settings, killAt)).ended
      await world.run(settings)
      assert.is(world.isDefault(), expected, `killed before change ${killAt}`)
      assert.is(world.note(), undefined)
      assert.equal((await world.run(settings)).plan, [])
    }
    assert.ok(killAt >= 4)
  })

test('the plan shows that the class becomes the default class again', async () => {
  const world = opened(true)
  await world.run(changed, 2)
  assert.not(world.objects.has(classPath))
  const { plan } = await world.run(changed, 0)
  assert.equal(
    plan.map(({ kind, to }) => [kind, to]),
    [['create-storage-class', 'default=true, as it was']],
  )
})

test('a default class that was demoted after a killed replacement stays demoted', async () => {
  const world = opened(true)
  await world.run(changed, 4)
  assert.is(world.note(), 'true')
  const found = world.objects.get(classPath) as Stored
  const annotations = { [defaultAnnotation]: 'false' }
  world.objects.set(classPath, { ...found, metadata: { ...found.metadata, annotations } })
  await world.run(changed)
  assert.is.not(world.isDefault(), 'true')
  assert.is(world.note(), undefined)
})

test('a default class that was deleted by hand is not made the default class', async () => {
  const world = opened(true)
  await world.run(changed)
  world.objects.delete(classPath)
  await world.run(changed)
  assert.is(world.isDefault(), undefined)
})

test('no note outlives a removal that was killed before its end', async () => {
  const world = opened(true)
  await world.run(changed, 2)
  assert.is(world.note(), 'true')
  // NFS_SERVER was cleared; helm has removed the release, and the run was killed before the Secret was deleted.
  const left = planUninstall(await observeStorage(world.kubernetes))
  assert.equal(
    left.map(({ target }) => target),
    ['Secret/nfs-appdata-mount-options'],
  )
  const context = { cluster: former, kubernetes: world.kubernetes, helm: async () => '' }
  world.revive()
  for (const change of left) await applyStorageChange(change, { ...context, log: silentLog })
  assert.equal(planUninstall(await observeStorage(world.kubernetes)), [])
  await world.run(changed)
  assert.is(world.isDefault(), undefined)
})

test('the Secret of a class that is not ours stays', () => {
  const storageClass = { ours: false, spec: storageClassSpec(former), isDefault: true }
  assert.equal(planUninstall({ hasMountOptions: true, storageClass }), [])
})

test.run()
