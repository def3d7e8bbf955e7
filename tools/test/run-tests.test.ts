import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

/** The runner of the tests, on test files that are made here. */
const runner = suite<{ folder: string }>('the runner of tests')
const head = `import { suite, test } from '${import.meta.resolve('uvu')}'\n`

runner.before.each((context) => {
  context.folder = temporaryFolder('tests')
  writeFileSync(join(context.folder, 'package.json'), '{"type":"module"}')
})

interface Ran {
  readonly code: number | null
  readonly said: string
  /** The line from which the counts are taken. */
  readonly last: string | undefined
}

function run(folder: string, files: Readonly<Record<string, string>>): Promise<Ran> {
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(folder, `${name}.test.ts`), head + text)
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', 'tools/checks/run-tests.ts', folder],
      { cwd: projectRoot, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    child.on('close', (code) => resolve({ code, said, last: said.trimEnd().split('\n').at(-1) }))
  })
}

const cases: readonly {
  readonly title: string
  readonly text: string
  readonly counts: string
  readonly says?: string
}[] = [
  {
    title: 'a test that passes',
    text: "test('one', () => {})\ntest.run()",
    counts: '1 passed, 0 failed, 0 skipped',
  },
  {
    title: 'one that passes, one that fails and one that is skipped',
    text: "test('one', () => {})\ntest('two', () => { throw new Error('broken') })\ntest.skip('three')\ntest.run()",
    counts: '1 passed, 1 failed, 1 skipped',
    says: 'broken',
  },
  {
    title: 'nothing but a skipped test, which is no failure',
    text: "test.skip('one')\ntest.run()",
    counts: '0 passed, 0 failed, 1 skipped',
  },
  {
    title: 'a hook that throws',
    text: "test.before(() => { throw new Error('hook') })\ntest('one', () => {})\ntest.run()",
    counts: '0 passed, 1 failed, 0 skipped',
    says: 'did a hook throw',
  },
  {
    title: 'a forgotten run()',
    text: "test('one', () => {})",
    counts: '0 passed, 1 failed, 0 skipped',
    says: 'is run() there',
  },
  {
    title: 'a file that throws',
    text: "throw new Error('at once')",
    counts: '0 passed, 1 failed, 0 skipped',
    says: 'at once',
  },
  {
    title: 'an .only on a suite with a name of its own',
    text: "const disks = suite('disks')\ndisks.only('one', () => {})\ndisks('two', () => {})\ndisks.run()",
    counts: '0 passed, 1 failed, 0 skipped',
    says: 'left alone with .only',
  },
  {
    title: 'an .only that is part of a text or a comment',
    text: "// test.only('so')\ntest('has no test.only(', () => {})\ntest.run()",
    counts: '1 passed, 0 failed, 0 skipped',
  },
]

for (const { title, text, counts, says = '' } of cases)
  runner(`counts ${title} as ${counts}`, async ({ folder }) => {
    const { code, said, last } = await run(folder, { one: text })
    assert.is(last, `tests: ${counts}`)
    assert.is(code, counts.includes(' 0 failed') ? 0 : 1)
    assert.match(said, says)
  })

runner('counts a folder without a test file as a failure', async ({ folder }) => {
  const { code, said, last } = await run(folder, {})
  assert.is(last, 'tests: 0 passed, 1 failed, 0 skipped')
  assert.is(code, 1)
  assert.match(said, 'no test file')
})

runner('adds up several files', async ({ folder }) => {
  const { last } = await run(folder, {
    one: "test('one', () => {})\ntest.run()",
    two: "test('one', () => {})\ntest.skip('two')\ntest.run()",
  })
  assert.is(last, 'tests: 2 passed, 0 failed, 1 skipped')
})

runner.run()
