import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { generatedFiles } from '../src/generated.ts'
import { problemOf } from '../src/testing/failure.ts'

const files = suite<{ root: string }>('generated files')
files.before.each((context) => {
  context.root = mkdtempSync(join(tmpdir(), 'talosmith-'))
})
files.after.each(({ root }) => rmSync(root, { recursive: true }))

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

files.run()
