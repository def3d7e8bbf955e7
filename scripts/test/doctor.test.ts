import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { testSettings } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findOrphans, knownClusters, renderOrphans, type Orphan } from '../doctor/orphans.ts'
import { makeCluster, type Made } from './support/made-cluster.ts'

const doctor = suite<{ made: Made; path: string | undefined }>('orphans')
doctor.before.each(async (context) => {
  context.made = await makeCluster()
  context.path = process.env['PATH']
  process.env['PATH'] = `${context.made.path('bin')}:${context.path}`
  mkdirSync(context.made.path('env'))
})
doctor.after.each(({ made, path }) => {
  process.env['PATH'] = path
  made.close()
})

const describe = (made: Made, name: string, settings: Record<string, string> | string): void =>
  writeFileSync(
    made.path(`env/${name}.env`),
    typeof settings === 'string'
      ? settings
      : Object.entries(settings)
          .map((pair) => pair.join('='))
          .join('\n'),
  )

async function find(made: Made, warnings: string[] = []): Promise<Orphan[]> {
  const known = await knownClusters(made.cluster, (text) => warnings.push(text))
  return findOrphans(made.cluster, [local], known)
}

/** The header of a disk with a backing file, as qemu-img writes it. */
function overlay(image: string): Buffer {
  const header = Buffer.alloc(4096)
  header.write('QFI\xfb', 'latin1')
  header.writeBigUInt64BE(512n, 8)
  header.writeUInt32BE(image.length, 16)
  header.write(image, 512)
  return header
}

doctor('there are none while every cluster has an env file', async ({ made }) => {
  describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
  const found = await find(made)
  assert.equal(found, [])
  assert.match(renderOrphans(found), 'No orphans')
})

doctor('machines and the folder of a cluster without an env file are orphans', async ({ made }) => {
  const found = await find(made)
  assert.equal(
    found.map(({ kind, name }) => `${kind} ${name}`),
    [
      'machine talosmith-test-b-cp1',
      'machine talosmith-test-b-w1',
      'machine talosmith-test-b-w2',
      'generated generated/talosmith-test-b',
    ],
  )
  assert.match(renderOrphans(found), 'virsh undefine talosmith-test-b-cp1 --nvram')
  assert.not.match(renderOrphans(found), 'bystander')
})

doctor(
  'a machine that is no longer in the settings of its cluster is an orphan',
  async ({ made }) => {
    describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b', WORKER_COUNT: '1' })
    const [orphan, ...others] = await find(made)
    assert.is(orphan?.name, 'talosmith-test-b-w2')
    assert.match(orphan?.why ?? '', 'no longer in the settings of talosmith-test-b')
    assert.equal(others, [])
  },
)

doctor('once its machines are gone, its ISOs and partial files are orphans', async ({ made }) => {
  for (const node of ['cp1', 'w1', 'w2'])
    rmSync(made.path(`domains/talosmith-test-b-${node}`), { recursive: true })
  writeFileSync(join(made.pool, 'talosmith-test-b-w3.qcow2.talosmith-partial'), '')
  writeFileSync(join(made.pool, 'talosmith-test-a-w3.qcow2.talosmith-partial'), '')
  assert.equal(
    (await find(made)).map(({ kind, name }) => `${kind} ${name.replace(`${made.pool}/`, '')}`),
    [
      'seed talosmith-test-b-cp1-seed.iso',
      'seed talosmith-test-b-w1-seed.iso',
      'seed talosmith-test-b-w2-seed.iso',
      'leftover talosmith-test-b-w3.qcow2.talosmith-partial',
      'generated generated/talosmith-test-b',
    ],
  )
})

doctor(
  'a disk that is backed by an image of Talosmith and has no machine is an orphan',
  async ({ made }) => {
    describe(made, 'b', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
    const disk = join(made.pool, 'talosmith-test-a-w9.qcow2')
    writeFileSync(disk, overlay(join(made.pool, made.cluster.image.fileName)))
    writeFileSync(join(made.pool, 'theirs.qcow2'), overlay('/srv/debian.raw'))
    const [orphan, ...others] = await find(made)
    assert.is(orphan?.name, disk)
    assert.is(orphan?.why, 'no machine uses it')
    assert.equal(others, [])
  },
)

doctor('an env file that cannot be read counts for the cluster of its name', async ({ made }) => {
  describe(made, 'talosmith-test-b', 'CLUSTER_NAME=!\n')
  const warnings: string[] = []
  assert.equal(await find(made, warnings), [])
  assert.match(warnings.join(), 'env/talosmith-test-b.env')
})

doctor('the example is not the env file of a cluster', async ({ made }) => {
  describe(made, 'example', { ...testSettings, CLUSTER_NAME: 'talosmith-test-b' })
  assert.is((await find(made)).length, 4)
})

doctor.run()
