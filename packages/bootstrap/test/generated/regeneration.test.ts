import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { generatedFiles, silentLog, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  archiveSecrets,
  describeLosses,
  endRegeneration,
  findRegeneration,
  newRegeneration,
  noteNewMachines,
  planArchive,
} from '../../src/generated/regeneration.ts'
import { observeRemovableFiles, planRemoveConfig } from '../../src/generated/removal.ts'

const test = suite<{ cluster: Cluster }>('regenerating secrets')
const old = [
  'configs/home-cp1.yaml',
  'kubeconfig',
  'secrets.owner.json',
  'secrets.yaml',
  'talosconfig',
]
const now = new Date('2026-11-24T01:02:03.004Z')
const archive = 'archive/2026-11-24T01-02-03.004Z'

test.before.each(async (context) => {
  const generated = join(temporaryFolder('regenerate'), 'home')
  context.cluster = { ...testCluster(), generated }
  const files = generatedFiles(context.cluster)
  for (const name of old) await files.write(name, `old ${name}`)
  await files.write('images.json', '{}')
})
test.after.each(({ cluster }) => rmSync(join(cluster.generated, '..'), { recursive: true }))

const archived = async (cluster: Cluster): Promise<string[]> =>
  (await generatedFiles(cluster).list('archive')).map(({ name }) => name).sort()

test('secrets, machine configs and access files go into a dated archive, for their owner alone', async ({
  cluster,
}) => {
  const regeneration = newRegeneration(now)
  const changes = await planArchive(cluster, regeneration)
  assert.equal(changes.map(({ target }) => target).sort(), old)
  assert.ok(changes.every(({ risk }) => risk === 'data-loss'))
  await archiveSecrets(cluster, regeneration, changes, silentLog)
  assert.equal(
    await archived(cluster),
    old.map((name) => `${archive}/${name}`),
  )
  const file = generatedFiles(cluster).path(archive, 'secrets.yaml')
  assert.is(statSync(file).mode & 0o777, 0o600)
  assert.is(await generatedFiles(cluster).read('images.json'), '{}')
})

for (const kept of [0, 1, 3, old.length])
  test(`a run that was killed after ${kept} files goes on with the same archive`, async ({
    cluster,
  }) => {
    const first = newRegeneration(now)
    const changes = await planArchive(cluster, first)
    await archiveSecrets(cluster, first, changes.slice(0, kept), silentLog)
    const found = await findRegeneration(cluster)
    assert.equal(found, first)
    const rest = await planArchive(cluster, found ?? first)
    assert.is(rest.length, old.length - kept)
    await archiveSecrets(cluster, found ?? first, rest, silentLog)
    assert.is((await archived(cluster)).length, old.length)
  })

test('once the machines are new, the new secrets are left where they are', async ({ cluster }) => {
  const regeneration = newRegeneration(now)
  await archiveSecrets(cluster, regeneration, await planArchive(cluster, regeneration), silentLog)
  const next = await noteNewMachines(cluster, regeneration)
  await generatedFiles(cluster).write('secrets.yaml', 'new')
  assert.equal(await findRegeneration(cluster), next)
  assert.equal(await planArchive(cluster, next), [])
})

test('what is lost permanently is listed: identity, access files, service account tokens', ({
  cluster,
}) => {
  const losses = describeLosses(cluster, newRegeneration(now))
  assert.ok(losses.every(({ risk }) => risk === 'data-loss'))
  const text = losses.map(({ summary }) => summary).join('\n')
  for (const thing of [
    'certificate authority',
    'kubeconfig',
    'talosconfig',
    'service account tokens',
    'etcd',
  ])
    assert.match(text, thing)
})

test('a run that goes on once the machines are new still shows what it will do', ({ cluster }) => {
  const [next, ...more] = describeLosses(cluster, { archive, machinesAreNew: true })
  assert.equal(more, [])
  assert.match(
    next?.summary ?? '',
    `Go on with the new secrets of home (the old ones are in ${archive})`,
  )
})

test('a destroy takes the note of a run that did not end away, and no archive takes it in', async ({
  cluster,
}) => {
  const regeneration = newRegeneration(now)
  await archiveSecrets(cluster, regeneration, [], silentLog)
  const files = await observeRemovableFiles(cluster)
  assert.ok(planRemoveConfig(cluster, files).some(({ target }) => target === 'regenerating.json'))
  const changes = await planArchive(cluster, regeneration)
  assert.not.ok(changes.some(({ target }) => target === 'regenerating.json'))
})

test('the end leaves the archive and no record', async ({ cluster }) => {
  const regeneration = newRegeneration(now)
  await archiveSecrets(cluster, regeneration, await planArchive(cluster, regeneration), silentLog)
  await endRegeneration(cluster)
  assert.is(await findRegeneration(cluster), undefined)
  assert.is((await archived(cluster)).length, old.length)
})

test.run()
