import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Problem } from '@talosmith/core'
import { problemOf, volumeHost } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { removePartial } from '../src/apply.ts'
import { observeImageIn } from '../src/observe.ts'
import { planDownload } from '../src/plan.ts'
import { applyPrune, planPrune } from '../src/prune.ts'
import { observeImagesIn, type StoredImages } from '../src/stored.ts'
import { startRig, type Rig } from './support.ts'

const volumes = suite<{ rig: Rig }>('an image of a user who may not write in the pool’s folder')
volumes.before.each(async (context) => void Object.assign(context, { rig: await startRig() }))
volumes.after.each(({ rig }) => rig.close())

volumes('is uploaded, recorded, and not downloaded again', async ({ rig }) => {
  const pool = dirname(rig.path)
  const host = volumeHost(pool)
  await rig.transfer(host)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.equal(
    readdirSync(pool),
    [rig.path, `${rig.path}.ledger.json`].map((path) => path.slice(pool.length + 1)),
  )
  assert.equal(planDownload(rig.cluster, await observeImageIn(pool, host, rig.cluster)), [])
  const { images, unreadable } = await observeImagesIn(pool, host)
  assert.equal(
    images.map(({ path }) => path),
    [rig.path],
  )
  assert.equal(unreadable, [])
})

volumes('that was uploaded in part counts for no one, and is uploaded again', async ({ rig }) => {
  const pool = dirname(rig.path)
  const host = volumeHost(pool)
  writeFileSync(`${pool}.breaks`, '')
  const problem = await problemOf(rig.transfer(host))
  assert.is(problem.code, 'IMAGE_TRANSFER_FAILED')
  assert.match(problem.because ?? '', 'cannot close volume')
  assert.match(problem.now ?? '', /cache\/talosmith\/images/)
  const observed = await observeImageIn(pool, host, rig.cluster)
  assert.is(observed.file, undefined)
  rmSync(`${pool}.breaks`)
  await rig.transfer(host)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.ok((await observeImageIn(pool, host, rig.cluster)).file)
})

volumes('that was uploaded in part can be removed', async ({ rig }) => {
  const pool = dirname(rig.path)
  const host = volumeHost(pool)
  writeFileSync(`${pool}.breaks`, '')
  await problemOf(rig.transfer(host))
  const { images } = await observeImagesIn(pool, host)
  assert.equal(
    images.map(({ bytes, hasPartial }) => [bytes, hasPartial]),
    [[undefined, true]],
  )
  await removePartial(rig.path, host, 'default')
  assert.equal(readdirSync(pool), [])
})

volumes('needs space where it is downloaded', async ({ rig }) => {
  const pool = dirname(rig.path)
  const observed = await observeImageIn(pool, volumeHost(pool), rig.cluster)
  const { transferFolder } = observed
  assert.match(transferFolder?.path ?? '', /cache\/talosmith\/images\/.*\.partial$/)
  assert.ok((transferFolder?.freeBytes ?? 0) > 0)
  const full = { path: '/home/a/.cache/x.partial', freeBytes: 2 ** 20 }
  const roomy = { ...observed, freeBytes: 2 ** 40 }
  assert.throws(
    () => planDownload(rig.cluster, { ...roomy, transferFolder: full }),
    (problem: Problem) => problem.code === 'POOL_FULL' && problem.hint?.includes(full.path),
  )
  const plan = planDownload(rig.cluster, {
    ...roomy,
    transferFolder: { ...full, freeBytes: 2 ** 40 },
  })
  assert.is(plan.length, 1)
})

volumes('is removed beside the unfinished transfer of another user', async ({ rig }) => {
  const pool = dirname(rig.path)
  const image = join(pool, 'secret.raw')
  for (const path of [image, `${image}.talosmith-upload`]) writeFileSync(path, '')
  mkdirSync(`${image}.partial`)
  await removePartial(image, volumeHost(pool), 'default')
  assert.equal(readdirSync(pool), ['secret.raw.partial'])
  assert.equal(readdirSync(`${image}.partial`), [])
})

if (existsSync('/usr/bin/qemu-img'))
  volumes('with a marker that is in use is not removed', async ({ rig }) => {
    const pool = dirname(rig.path)
    const host = volumeHost(pool)
    await rig.transfer(host)
    writeFileSync(`${rig.path}.talosmith-upload`, '')
    const observe = (): Promise<StoredImages> => observeImagesIn(pool, host)
    const before = await observe()
    const [change] = planPrune([before])
    assert.is(change?.kind, 'remove-partial')
    const disk = join(pool, 'home-w1.qcow2')
    execFileSync('qemu-img', ['create', '-qf', 'qcow2', '-F', 'raw', '-b', rig.path, disk, '9M'])
    assert.equal(planPrune([await observe()]), [])
    if (change === undefined) return
    const problem = await problemOf(applyPrune(change, { host, pool: 'default' }, observe))
    assert.is(problem.code, 'IMAGE_IN_USE')
    assert.ok(existsSync(rig.path))
    rmSync(disk)
    await applyPrune(change, { host, pool: 'default' }, observe)
    assert.not(existsSync(rig.path))
  })

volumes.run()
