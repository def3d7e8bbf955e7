import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkConfirm, generatedFiles, silentLog, type Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  applyRemoval,
  hasRemoved,
  observeRemovableFiles,
  planRemoveAccess,
  planRemoveConfig,
  refuseReadOnly,
  removeFiles,
} from '../../src/generated/removal.ts'

const test = suite<{ cluster: Cluster }>('setting files aside')
const access = ['kubeconfig', 'talosconfig']
const config = ['configs/home-cp1.yaml', 'secrets.owner.json', 'secrets.yaml', 'work/x/config.yaml']
/** What an earlier destroy, which did not end, had set aside. */
const waiting = [...access, ...config].map((name) => `removed/${name}`)
const others = ['images.json', 'backups/1.db', 'runs/1.jsonl', 'snapshots/final-1.db', 'lock']

test.before.each((context) => {
  context.cluster = testCluster({}, temporaryFolder('removal'))
  for (const name of [...access, ...config, ...waiting, ...others])
    put(context.cluster, name, `text of ${name}`)
})

function put({ generated }: Cluster, name: string, text: string): void {
  mkdirSync(join(generated, name, '..'), { recursive: true })
  writeFileSync(join(generated, name), text)
}

const targets = (changes: readonly { readonly target: string }[]): string[] =>
  changes.map(({ target }) => target).sort()
const names = async (cluster: Cluster): Promise<string[]> =>
  (await generatedFiles(cluster).list()).map(({ name }) => name).sort()

/** Sets a stage's files aside, as its script does. */
function remove(
  cluster: Cluster,
  plan: typeof planRemoveAccess,
  { confirmed, dryRun = false }: { confirmed?: string; dryRun?: boolean } = {},
): Promise<number> {
  const context = { cluster, log: silentLog, dryRun, showPlan: () => 2 as const }
  const confirm = (changes: Parameters<typeof checkConfirm>[2]): void =>
    checkConfirm(cluster, confirmed, changes)
  return removeFiles({ ...context, confirm }, plan, 'nothing to do')
}

test('a file that waits in removed/ is in no plan, whatever it is called', async ({ cluster }) => {
  const observed = await observeRemovableFiles(cluster)
  assert.equal(targets(planRemoveAccess(cluster, observed)), access)
  assert.equal(targets(planRemoveConfig(cluster, observed)), config)
})

test('the record of a flow that was stopped goes with the secrets', async ({ cluster }) => {
  for (const name of ['restoring.json', 'regenerating.json']) put(cluster, name, '{}')
  const planned = targets(planRemoveConfig(cluster, await observeRemovableFiles(cluster)))
  assert.equal(planned, [...config, 'regenerating.json', 'restoring.json'].sort())
})

test('only files that wait in removed/ leave nothing to plan, and are known', async ({
  cluster,
}) => {
  const observed = (await observeRemovableFiles(cluster)).filter(({ name }) =>
    name.startsWith('removed/'),
  )
  assert.equal(observed.map(({ name }) => name).sort(), [...waiting].sort())
  assert.equal([...planRemoveAccess(cluster, observed), ...planRemoveConfig(cluster, observed)], [])
  assert.ok(hasRemoved(observed))
  assert.not(hasRemoved([{ name: 'kubeconfig', bytes: 1 }]))
})

test('files of other kinds are neither observed nor planned', async ({ cluster }) => {
  const observed = (await observeRemovableFiles(cluster)).map(({ name }) => name)
  for (const name of others) assert.not(observed.includes(name), name)
})

test('the temporary file of a write that was killed is planned like its file', async ({
  cluster,
}) => {
  for (const name of ['kubeconfig', 'secrets.yaml']) put(cluster, `${name}.1-2-3.tmp`, 'half')
  const observed = await observeRemovableFiles(cluster)
  assert.ok(targets(planRemoveAccess(cluster, observed)).includes('kubeconfig.1-2-3.tmp'))
  assert.ok(targets(planRemoveConfig(cluster, observed)).includes('secrets.yaml.1-2-3.tmp'))
})

test('every plan shows that data may be lost', async ({ cluster }) => {
  const observed = await observeRemovableFiles(cluster)
  const all = [...planRemoveAccess(cluster, observed), ...planRemoveConfig(cluster, observed)]
  for (const { risk, target } of all) assert.is(risk, 'data-loss', target)
})

for (const [stage, plan, moved] of [
  ['access', planRemoveAccess, access],
  ['config', planRemoveConfig, config],
] as const) {
  test(`${stage}: is not set aside before CONFIRM names the cluster`, async ({ cluster }) => {
    const before = await names(cluster)
    for (const confirmed of [undefined, 'other', 'true'])
      assert.is(
        (await problemOf(remove(cluster, plan, confirmed === undefined ? {} : { confirmed }))).code,
        'CONFIRM_MISSING',
      )
    assert.equal(await names(cluster), before)
  })

  test(`${stage}: its plan touches nothing, and needs no CONFIRM`, async ({ cluster }) => {
    const before = await names(cluster)
    assert.is(await remove(cluster, plan, { dryRun: true }), 2)
    assert.equal(await names(cluster), before)
  })

  test(`${stage}: goes beside what waits in removed/, never over it`, async ({ cluster }) => {
    await remove(cluster, plan, { confirmed: 'home' })
    const files = generatedFiles(cluster)
    for (const name of moved) {
      assert.is(await files.read(name), undefined)
      assert.is(await files.read(`removed/${name}`), `text of removed/${name}`)
      assert.is(await files.read(`removed/${name}.2`), `text of ${name}`)
    }
    for (const name of others) assert.is(await files.read(name), `text of ${name}`)
  })
}

test('a third one finds a place of its own, and one that waits already goes', async ({
  cluster,
}) => {
  const files = generatedFiles(cluster)
  const change = { kind: 'set-aside', target: 'kubeconfig', summary: '', risk: 'none' } as const
  await applyRemoval(cluster, change)
  put(cluster, 'kubeconfig', 'a third')
  await applyRemoval(cluster, change)
  assert.is(await files.read('removed/kubeconfig.3'), 'a third')
  put(cluster, 'kubeconfig', 'a third')
  await applyRemoval(cluster, change)
  assert.is(await files.read('kubeconfig'), undefined)
  assert.is(await files.read('removed/kubeconfig.4'), undefined)
})

for (const link of ['removed', 'configs', 'kubeconfig'])
  test(`a link in the place of ${link} is refused before anything moves`, async ({ cluster }) => {
    await generatedFiles(cluster).remove(link)
    symlinkSync(temporaryFolder('elsewhere'), join(cluster.generated, link))
    assert.is((await problemOf(observeRemovableFiles(cluster))).code, 'GENERATED_IS_A_LINK')
  })

test('a look whether the folders let their files go leaves nothing behind', async ({ cluster }) => {
  const before = await names(cluster)
  await refuseReadOnly(cluster, await observeRemovableFiles(cluster))
  assert.equal(await names(cluster), before)
})

test.run()
