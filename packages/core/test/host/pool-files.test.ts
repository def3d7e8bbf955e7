import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host } from '../../src/host/host.ts'
import { local } from '../../src/host/local.ts'
import { poolFiles } from '../../src/host/pool-files.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { volumeHost } from '../../src/testing/volume-host.ts'

interface Context {
  pool: string
  from: string
  volumes: Host
}
const files = suite<Context>('files in a pool')
files.before.each((context) => {
  const root = temporaryFolder('files')
  context.pool = join(root, 'pool')
  mkdirSync(context.pool)
  context.from = join(root, 'from')
  writeFileSync(context.from, Buffer.alloc(20_000, 'x'))
  context.volumes = volumeHost(context.pool)
})

async function call(host: Host, ...words: readonly string[]): Promise<string> {
  return (
    await host.$(poolFiles('default'))`eval "$POOL_FILES"
${words}`
  ).stdout
}
const failure = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it succeeded',
    (error: unknown) => String(error),
  )

for (const way of ['in its folder', 'as volumes'])
  files(`are put, listed, replaced and removed ${way}`, async ({ pool, from, volumes }) => {
    const host = way === 'as volumes' ? volumes : local
    const seed = join(pool, 'home-w1-seed.iso')
    writeFileSync(seed, 'the former one')
    await call(host, 'pool_put', from, seed)
    assert.equal(readFileSync(seed), Buffer.alloc(20_000, 'x'))
    assert.is(await call(host, 'files_in', pool), `${seed}\n`)
    await call(host, 'pool_remove', seed, join(pool, 'gone'))
    assert.equal(readdirSync(pool), [])
  })

files('a volume that was uploaded in part does not count', async ({ pool, from, volumes }) => {
  const image = join(pool, 'talos.raw')
  writeFileSync(`${pool}.breaks`, '')
  assert.match(await failure(call(volumes, 'pool_put', from, image)), 'cannot close volume')
  assert.ok(existsSync(image))
  assert.match(await failure(call(volumes, 'is_complete', image)), 'exited with 1')
  rmSync(`${pool}.breaks`)
  await call(volumes, 'pool_put', from, image)
  await call(volumes, 'is_complete', image)
  assert.equal(readdirSync(pool), ['talos.raw'])
})

files('a file that another user has removed is created again', async ({ pool, from, volumes }) => {
  const seed = join(pool, 'seed.iso')
  await call(volumes, 'pool_put', from, seed)
  rmSync(seed)
  writeFileSync(from, 'new')
  await call(volumes, 'pool_put', from, seed)
  assert.is(readFileSync(seed, 'utf8'), 'new')
})

files('a user who may write completes what another user has uploaded in part', async (context) => {
  const { pool, from, volumes } = context
  writeFileSync(`${pool}.breaks`, '')
  await failure(call(volumes, 'pool_put', from, join(pool, 'seed.iso')))
  await call(local, 'pool_put', from, join(pool, 'seed.iso'))
  await call(local, 'is_complete', join(pool, 'seed.iso'))
  assert.equal(readdirSync(pool), ['seed.iso'])
})

files('a folder that is neither writable nor the pool’s is refused', async ({ from, pool }) => {
  const other = `${pool}-of-others`
  mkdirSync(other)
  const host = volumeHost(other)
  writeFileSync(from, 'x')
  const elsewhere = volumeHost(pool)
  await call(host, 'pool_put', from, join(other, 'a'))
  assert.ok(existsSync(join(other, 'a')))
  assert.match(
    await failure(call(elsewhere, 'pool_volume', join(other, 'b'), '1')),
    'not the folder of the pool default',
  )
})

files('an upload that another user has replaced is not finished', async (context) => {
  const { pool, from, volumes } = context
  const image = join(pool, 'talos.raw')
  await call(volumes, 'pool_upload', from, image)
  const identity = (await call(volumes, 'pool_identity', image)).trim()
  writeFileSync(image, Buffer.alloc(20_000))
  assert.match(await failure(call(volumes, 'pool_finish', image, identity)), 'another user')
  assert.match(await failure(call(volumes, 'is_complete', image)), 'exited with 1')
  const again = (await call(volumes, 'pool_identity', image)).trim()
  await call(volumes, 'pool_finish', image, again)
  await call(volumes, 'is_complete', image)
})

files('an upload has a marker, also if another one is finished meanwhile', async (context) => {
  const { pool, from, volumes } = context
  const image = join(pool, 'talos.raw')
  writeFileSync(`${image}.talosmith-upload`, '')
  await volumes.$(poolFiles('default'))`eval "$POOL_FILES"
pool_remove() { rm -f -- "$1" "$1$pool_marker"; }
pool_upload ${from} ${image}`
  assert.equal(readdirSync(pool), ['talos.raw', 'talos.raw.talosmith-upload'])
})

files('a folder that root has left is named with its remedy', async ({ pool, volumes }) => {
  const folder = join(pool, 'home-w1-seed.iso.talosmith-partial')
  mkdirSync(join(folder, 'files'), { recursive: true })
  assert.match(await failure(call(volumes, 'pool_remove', folder)), 'rm -rf it as root')
})

files('the path of a pool may have letters that XML escapes', async () => {
  await local.$(poolFiles('default'))`eval "$POOL_FILES"
pool_virsh() { echo ${'  <path>/srv/a&amp;b&apos;s &lt;1&gt;</path>'}; }
in_pool ${"/srv/a&b's <1>/disk"}`
})

if (existsSync('/usr/bin/qemu-img')) {
  const rebase = (disk: string, image: string): unknown =>
    execFileSync('qemu-img', ['rebase', '-u', '-F', 'raw', '-b', image, disk])

  files('the chain of a disk that only libvirt may read is read again', async (context) => {
    const { pool, volumes } = context
    const [former, image] = [join(pool, 'former & old.raw'), join(pool, 'talos.raw')]
    const disk = join(pool, 'secret.qcow2')
    for (const file of [former, image]) writeFileSync(file, Buffer.alloc(4096))
    execFileSync('qemu-img', ['create', '-qf', 'qcow2', '-F', 'raw', '-b', former, disk, '1M'])
    assert.is(await call(volumes, 'pool_chain', disk), `${disk}\n${former}\n`)
    rebase(disk, image)
    assert.is(await call(volumes, 'pool_chain', disk), `${disk}\n${image}\n`)
    writeFileSync(`${pool}.busy`, '')
    assert.match(await failure(call(volumes, 'pool_chain', disk)), 'exited with 2')
  })

  files(
    'the chain of an overlay elsewhere on a disk that only libvirt may read',
    async (context) => {
      const { pool, volumes } = context
      const disk = join(pool, 'secret.qcow2')
      const above = join(temporaryFolder('clones'), 'clone.qcow2')
      execFileSync('qemu-img', ['create', '-qf', 'qcow2', disk, '1M'])
      execFileSync('qemu-img', ['create', '-qf', 'qcow2', '-F', 'qcow2', '-b', disk, above])
      assert.is(await call(volumes, 'pool_chain', above), `${above}\n${disk}\n`)
    },
  )

  files('an overlay is a volume, and never replaces a file', async ({ pool, volumes }) => {
    const [image, disk] = [join(pool, 'talos.raw'), join(pool, 'home-cp1.qcow2')]
    writeFileSync(image, Buffer.alloc(4096))
    await call(volumes, 'pool_overlay', image, disk, `${disk}.talosmith-partial`, '2')
    assert.is(await call(volumes, 'pool_chain', disk), `${disk}\n${image}\n`)
    assert.match(
      await failure(call(volumes, 'pool_overlay', image, disk, `${disk}.talosmith-partial`, '2')),
      'exists already',
    )
    await call(volumes, 'pool_resize', disk, '3')
  })
}

files.run()
