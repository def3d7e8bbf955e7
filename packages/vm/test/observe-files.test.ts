import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostFiles, local, type Host } from '@talosmith/core'
import { temporaryFolder, testCluster, volumeHost } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { observeFiles } from '../src/observe-files.ts'
import type { DiskSource } from '../src/parse-domain.ts'
import { domainFor, firstOf } from './observed-hosts.ts'

const cluster = testCluster({ CONTROL_PLANE_COUNT: '1', WORKER_COUNT: '0' })
const node = firstOf(cluster)

interface Context {
  pool: string
  image: string
  disk: string
}
const files = suite<Context>('files in a pool')
files.before.each((context) => {
  context.pool = temporaryFolder('pool with a space')
  context.image = join(context.pool, 'talos.raw')
  writeFileSync(context.image, Buffer.alloc(2 ** 20))
  context.disk = addOverlay(join(context.pool, 'home-cp1.qcow2'), context.image, 'raw')
})

function addOverlay(path: string, base: string, format = 'qcow2'): string {
  const options = ['-q', '-f', 'qcow2', '-F', format, '-b', base, path, '2M']
  execFileSync('qemu-img', ['create', ...options])
  return path
}
const source = (path: string): DiskSource => ({ target: 'vda', type: 'file', source: path })

/** Observes the pool with home-cp1, which uses `path` as its disk, and a machine `clone` that uses `theirs`. */
function observe(
  { pool, disk }: Context,
  path = disk,
  theirs: readonly (string | DiskSource)[] = [],
  host: Host = local,
  further: readonly string[] = [],
) {
  const own = { disk, seed: join(pool, 'home-cp1-seed.iso') }
  return observeFiles(host, cluster, {
    pool,
    files: hostFiles(cluster, pool),
    identity: { clusterId: undefined, hasEvidence: true, hasRun: true, wasBootstrapped: false },
    domains: [
      domainFor(cluster, node, { own, attached: [source(path)], disks: further.map(source) }),
      domainFor(cluster, node, {
        name: 'clone',
        owner: undefined,
        own: undefined,
        disks: theirs.map((one) => (typeof one === 'string' ? source(one) : one)),
        attached: [],
      }),
    ],
  })
}

if (existsSync('/usr/bin/qemu-img')) {
  files('a disk without snapshots, and a seed ISO beside it', async (context) => {
    writeFileSync(join(context.pool, 'home-cp1-seed.iso'), Buffer.alloc(65_536))
    addOverlay(join(context.pool, 'theirs.qcow2'), context.image, 'raw')
    const observed = await observe(context)
    assert.equal([...observed.disks.keys()], [context.disk])
    assert.equal(observed.overlays, [])
    assert.equal([...observed.seeds.keys()], [join(context.pool, 'home-cp1-seed.iso')])
    assert.equal([...observed.brokenChains], [])
  })

  files('a snapshot of a snapshot that the machine uses, the upper one first', async (context) => {
    const first = addOverlay(join(context.pool, 'home-cp1.before'), context.disk)
    const second = addOverlay(join(temporaryFolder('elsewhere'), 'home-cp1.after'), first)
    const { overlays, disks } = await observe(context, second)
    assert.equal(
      overlays,
      [second, first].map((path) => ({ path, disk: context.disk, isInUse: true })),
    )
    assert.is(disks.get(second)?.qcow2?.virtualBytes, 2 * 2 ** 20)
  })

  files(
    'overlays that the machine does not use: in the pool, and of another machine',
    async (context) => {
      const old = addOverlay(join(context.pool, 'home-cp1.old'), 'home-cp1.qcow2')
      const clone = addOverlay(join(temporaryFolder('clones'), 'clone.qcow2'), context.disk)
      const { overlays } = await observe(context, context.disk, [clone])
      assert.equal(
        overlays,
        [clone, old].map((path) => ({ path, disk: context.disk, isInUse: false })),
      )
    },
  )

  files('a disk of another machine that this user may not read', async ({ image }) => {
    const pool = temporaryFolder('pool')
    const host = volumeHost(pool)
    const disk = addOverlay(join(pool, 'home-cp1.qcow2'), image, 'raw')
    const context = { pool, image, disk }
    const clone = addOverlay(join(temporaryFolder('clones'), 'secret.qcow2'), disk)
    const unknown = await observe(context, disk, [clone], host)
    assert.equal([unknown.overlays, unknown.unknownChains], [[], [clone]])
    const running = { ...source(clone), backing: [disk, image] }
    const known = await observe(context, disk, [running], host)
    assert.equal(known.overlays, [{ path: clone, disk, isInUse: false }])
    assert.equal(known.unknownChains, [])
    const raw = await observe(context, disk, [{ ...source(clone), backing: [] }], host)
    assert.equal([raw.overlays, raw.unknownChains], [[], []])
  })

  files('a pool whose files this user may not list is unreadable', async ({ image }) => {
    const pool = join(temporaryFolder('pool'), 'secret')
    mkdirSync(pool)
    const context = { pool, image, disk: join(pool, 'home-cp1.qcow2') }
    const elsewhere = volumeHost(temporaryFolder('elsewhere'))
    const { poolError } = await observe(context, context.disk, [], elsewhere)
    assert.is(poolError, 'this user may not list its files')
    const listed = await observe(context, context.disk, [], volumeHost(pool))
    assert.is(listed.poolError, undefined)
  })

  files(
    'a seed ISO that was uploaded in part is not there, and is removed with its marker',
    async (context) => {
      const seed = join(context.pool, 'home-cp1-seed.iso')
      writeFileSync(seed, Buffer.alloc(65_536))
      writeFileSync(`${seed}.talosmith-upload`, '')
      writeFileSync(`${context.disk}.talosmith-upload`, '')
      const { seeds, leftovers } = await observe(context)
      assert.equal([...seeds.keys()], [])
      assert.equal(leftovers, [
        { path: `${seed}.talosmith-upload`, node: 'home-cp1', file: 'seed' },
      ])
    },
  )

  files('an image that was uploaded in part is not there', async (context) => {
    const { image } = hostFiles(cluster, context.pool)
    writeFileSync(image, '')
    assert.ok((await observe(context)).hasImage)
    writeFileSync(`${image}.talosmith-upload`, '')
    assert.not((await observe(context)).hasImage)
  })

  files('a disk that was added by hand and is missing is gone', async (context) => {
    const there = join(context.pool, 'there.qcow2')
    const [missing, hidden] = [join(context.pool, 'missing.qcow2'), '/no/such/folder/x.qcow2']
    writeFileSync(there, '')
    const observed = await observe(context, context.disk, [], local, [there, missing, hidden])
    assert.equal([...observed.gone], [missing])
  })

  files('a snapshot without its disk is a broken chain', async (context) => {
    const above = addOverlay(join(context.pool, 'home-cp1.before'), context.disk)
    rmSync(context.disk)
    const observed = await observe(context, above)
    assert.equal([...observed.brokenChains], [above])
    assert.equal(observed.overlays, [])
  })
} else files.skip('no qemu-img on this machine')

files.run()
