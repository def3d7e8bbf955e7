import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { generatedFiles, silentLog, withLock, type Cluster } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  archiveSecrets,
  describeLosses,
  describeRegeneration,
  endAfterHealth,
  endRegeneration,
  findRegeneration,
  isStale,
  newRegeneration,
  noteNewMachines,
  noteNewSecrets,
  planArchive,
  type Regeneration,
} from '../../src/generated/regeneration.ts'
import { observeRemovableFiles, planRemoveConfig } from '../../src/generated/removal.ts'
import { identifySecrets, sha256 } from '../../src/secrets/secrets.ts'
import { withWorkFolder } from '../../src/generated/work-folder.ts'

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

test('what a killed run left in its work folder is not archived: the next one removes it', async ({
  cluster,
}) => {
  const files = generatedFiles(cluster)
  await files.write('work/4194305-0/etcd.db', 'a snapshot that was not finished')
  const regeneration = newRegeneration(now)
  const changes = await planArchive(cluster, regeneration)
  await withWorkFolder(cluster, async () => undefined)
  await archiveSecrets(cluster, regeneration, changes, silentLog)
  assert.is((await archived(cluster)).length, old.length)
  assert.equal(await files.list('work'), [])
})

for (const kept of [0, 1, 3, old.length])
  test(`a run that was killed after ${kept} files goes on with the same archive`, async ({
    cluster,
  }) => {
    const first = newRegeneration(now)
    const changes = await planArchive(cluster, first)
    await archiveSecrets(cluster, first, changes.slice(0, kept), silentLog)
    const { underWay, stale } = await findRegeneration(cluster)
    assert.equal(underWay, first)
    assert.is(stale, undefined)
    const rest = await planArchive(cluster, underWay ?? first)
    assert.is(rest.length, old.length - kept)
    await archiveSecrets(cluster, underWay ?? first, rest, silentLog)
    assert.is((await archived(cluster)).length, old.length)
  })

test('once the machines are new, the new secrets are left where they are', async ({ cluster }) => {
  const regeneration = newRegeneration(now)
  await archiveSecrets(cluster, regeneration, await planArchive(cluster, regeneration), silentLog)
  const next = await noteNewMachines(cluster, regeneration)
  assert.equal(await findRegeneration(cluster), { underWay: next })
  await noteNewSecrets(cluster, identifySecrets('new'))
  assert.equal(await findRegeneration(cluster), { underWay: { ...next, secrets: sha256('new') } })
  await generatedFiles(cluster).write('secrets.yaml', 'new')
  assert.equal(await findRegeneration(cluster), { underWay: { ...next, secrets: sha256('new') } })
  assert.equal(await planArchive(cluster, next), [])
})

const record = { archive, machinesAreNew: true }
const staleness: [string, Regeneration, string | undefined, boolean, boolean][] = [
  ['secrets that it created', { ...record, secrets: 'a' }, 'a', true, false],
  ['other secrets than it created', { ...record, secrets: 'a' }, 'b', true, true],
  ['secrets, of which it knows nothing', record, 'a', true, true],
  ['no secrets yet', record, undefined, false, false],
  ['secrets that were about to be written', { ...record, secrets: 'a' }, undefined, false, false],
  ['secrets that were lost', { ...record, secrets: 'a' }, undefined, true, true],
  ['old secrets, put back', { archive, machinesAreNew: false }, 'a', true, false],
]
for (const [what, regeneration, digest, exists, expected] of staleness)
  test(`a record is ${expected ? 'stale' : 'continued'} with ${what}`, () => {
    const secrets = digest === undefined ? undefined : { digest }
    assert.is(isStale(regeneration, { secrets, exists }), expected)
  })

test('a record is continued with recovered secrets, whose file has another text', () => {
  const regeneration = { ...record, secrets: 'a', caDigest: 'ca' }
  const secrets = { digest: 'recovered', caDigest: 'ca' }
  assert.is(isStale(regeneration, { secrets, exists: true }), false)
  const other = { ...secrets, caDigest: 'another' }
  assert.is(isStale(regeneration, { secrets: other, exists: true }), true)
})

test('a record of other secrets is no regeneration to continue: it would regenerate nothing', async ({
  cluster,
}) => {
  await archiveSecrets(cluster, newRegeneration(now), [], silentLog)
  const stale = await noteNewMachines(cluster, newRegeneration(now))
  assert.equal(await findRegeneration(cluster), { stale })
})

test('a temporary file of a killed write makes no record stale', async ({ cluster }) => {
  const regeneration = newRegeneration(now)
  await archiveSecrets(cluster, regeneration, await planArchive(cluster, regeneration), silentLog)
  const next = await noteNewMachines(cluster, regeneration)
  await generatedFiles(cluster).write('secrets.yaml.1-2-3.tmp', 'half')
  assert.equal(await findRegeneration(cluster), { underWay: next })
})

for (const text of [
  '',
  '{',
  'null',
  '{"archive":"../../etc","machinesAreNew":true}',
  '{"archive":7}',
])
  test(`a record that reads ${text || 'empty'} is none`, async ({ cluster }) => {
    await generatedFiles(cluster).write('regenerating.json', text)
    assert.equal(await findRegeneration(cluster), {})
  })

test('secrets of a cluster without a regeneration are recorded nowhere', async ({ cluster }) => {
  await noteNewSecrets(cluster, { digest: 'a' })
  assert.not.ok(await generatedFiles(cluster).has('regenerating.json'))
})

test('once the cluster was healthy, the next regeneration is a new one', async ({ cluster }) => {
  const lines: string[] = []
  const log = { ...silentLog, info: (text: string) => void lines.push(text) }
  await endAfterHealth(cluster, log)
  assert.equal(lines, [])
  await archiveSecrets(cluster, newRegeneration(now), [], silentLog)
  await noteNewMachines(cluster, newRegeneration(now))
  await endAfterHealth(cluster, log)
  assert.equal(await findRegeneration(cluster), {})
  assert.match(lines[0] ?? '', `the old secrets are in ${archive}`)
})

test('a health check beside a regeneration leaves the record to that run', async ({ cluster }) => {
  await archiveSecrets(cluster, newRegeneration(now), [], silentLog)
  await withLock(cluster, 'cluster:regenerate-secrets', () => endAfterHealth(cluster, silentLog))
  assert.ok(await generatedFiles(cluster).has('regenerating.json'))
})

test('what a run continues is described by what is left to do', () => {
  assert.match(describeRegeneration({ archive, machinesAreNew: false }), 'still to be recreated')
  assert.match(describeRegeneration(record), 'no further secrets are generated')
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
    `Continue with the new secrets of home (the old ones are in ${archive})`,
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
  assert.equal(await findRegeneration(cluster), {})
  assert.is((await archived(cluster)).length, old.length)
})

test.run()
