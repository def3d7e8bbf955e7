import { mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { keepClusterId, readClusterId } from '../src/cluster-id.ts'
import { generatedFiles } from '../src/generated.ts'
import { problemOf } from '../src/testing/failure.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

const files = suite<{ root: string }>('generated files')
files.before.each((context) => {
  context.root = temporaryFolder('generated')
})

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)

files('files are 0600 in folders that are 0700', async ({ root }) => {
  const generated = join(root, 'generated', 'home')
  await generatedFiles({ generated }).write('configs/home-cp1.yaml', 'secret')
  assert.is(mode(join(generated, 'configs', 'home-cp1.yaml')), '600')
  assert.is(mode(join(generated, 'configs')), '700')
  assert.is(mode(generated), '700')
})

files('a write leaves no temporary file behind', async ({ root }) => {
  const generated = generatedFiles({ generated: root })
  await generated.write('a', '1')
  await generated.write('a', '2')
  assert.is(await generated.read('a'), '2')
  assert.equal(readdirSync(root), ['a'])
})

files('a file that is not there reads as undefined', async ({ root }) => {
  assert.is(await generatedFiles({ generated: root }).read('nothing/here'), undefined)
})

files(
  'JSON that was cut short reads as undefined, as a file that is not there does',
  async ({ root }) => {
    const generated = generatedFiles({ generated: root })
    await generated.write('whole', '{"a":[1]}')
    await generated.write('cut', '{"a":[1')
    assert.equal(await generated.readJson('whole'), { a: [1] })
    assert.is(await generated.readJson('cut'), undefined)
    assert.is(await generated.readJson('nothing/here'), undefined)
  },
)

files('what cannot be read is not taken for what is not there', async ({ root }) => {
  const generated = generatedFiles({ generated: root })
  mkdirSync(join(root, 'record.json'))
  // One after the other: a promise that is rejected before anything waits for it ends the program.
  for (const how of ['read', 'readJson'] as const) {
    const { code, message, because } = await problemOf(generated[how]('record.json'))
    assert.equal([code, message], ['FILE_UNREADABLE', `could not read ${root}/record.json`])
    assert.match(because ?? '', 'EISDIR')
  }
  mkdirSync(join(root, 'cluster-id'))
  const cluster = { generated: root }
  assert.is((await problemOf(readClusterId(cluster))).code, 'FILE_UNREADABLE')
  assert.is((await problemOf(keepClusterId(cluster))).code, 'FILE_UNREADABLE')
})

files(
  'the ID of backups is that of the newest cluster, whatever histories an earlier one had',
  async ({ root }) => {
    const id = (digit: number): string => `${digit}1111111-1111-4222-8333-444444444444`
    const generated = generatedFiles({ generated: root })
    const put = (day: number, described: object): Promise<void> =>
      generated.write(`backups/etcd-2026-11-0${day}T00-00-00.000Z.json`, JSON.stringify(described))
    await put(1, { clusterId: id(1), history: 3, secrets: 'a' })
    await put(2, { clusterId: id(2), history: 1, secrets: 'b' })
    await put(3, { clusterId: id(3), secrets: 'b' })
    // Of the newest secrets, the latest history: the restored backup of day 2.
    assert.is(await readClusterId({ generated: root }), id(2))
  },
)

files('a planted symbolic link is refused', async ({ root }) => {
  symlinkSync('/tmp', join(root, 'configs'))
  const problem = await problemOf(
    generatedFiles({ generated: root }).write('configs/a.yaml', 'secret'),
  )
  assert.is(problem.code, 'GENERATED_IS_A_LINK')
})

files('a name that leads outside is refused', async ({ root }) => {
  const problem = await problemOf(
    generatedFiles({ generated: join(root, 'home') }).write('../other/secrets.yaml', 'secret'),
  )
  assert.is(problem.code, 'GENERATED_OUTSIDE')
})

files('a list names files in folders, and never goes through a link', async ({ root }) => {
  const generated = generatedFiles({ generated: root })
  await generated.write('configs/a.yaml', 'abc')
  symlinkSync('/etc', join(root, 'configs', 'link'))
  const listed = (await generated.list('configs')).sort((a, b) => a.name.localeCompare(b.name))
  assert.equal(listed[0], { name: 'configs/a.yaml', bytes: 3 })
  assert.is(listed[1]?.name, 'configs/link')
  assert.is(listed.length, 2)
  assert.equal(await generated.list('nothing'), [])
})

files('a move keeps the file private, and done again is done', async ({ root }) => {
  const generated = generatedFiles({ generated: root })
  await generated.write('secrets.yaml', 'secret')
  await generated.move('secrets.yaml', 'removed/secrets.yaml')
  await generated.move('secrets.yaml', 'removed/secrets.yaml')
  assert.is(await generated.read('removed/secrets.yaml'), 'secret')
  assert.is(mode(join(root, 'removed')), '700')
  const problem = await problemOf(generated.move('nothing', 'removed/nothing'))
  assert.is(problem.code, 'GENERATED_NOT_WRITABLE')
})

files.run()
