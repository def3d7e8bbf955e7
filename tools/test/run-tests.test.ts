import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

/** The test runner, on generated test files. */
const runner = suite<{ folder: string }>('the test runner')
const head = `import { suite, test } from '${import.meta.resolve('uvu')}'\n`

runner.before.each((context) => {
  context.folder = temporaryFolder('tests')
  writeFileSync(join(context.folder, 'package.json'), '{"type":"module"}')
})

interface Ran {
  readonly code: number | null
  readonly output: string
  /** The line with the counts. */
  readonly last: string | undefined
}

function run(
  folder: string,
  files: Readonly<Record<string, string>>,
  options: readonly string[] = [],
): Promise<Ran> {
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(folder, `${name}.test.ts`), head + text)
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', 'tools/checks/run-tests.ts', ...options, folder],
      { cwd: projectRoot, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('close', (code) =>
      resolve({ code, output, last: output.trimEnd().split('\n').at(-1) }),
    )
  })
}

const cases: readonly {
  readonly title: string
  readonly text: string
  readonly counts: string
  readonly prints?: string
}[] = [
  {
    title: 'a test that passes',
    text: "test('one', () => {})\ntest.run()",
    counts: '1 passed, 0 failed, 0 skipped',
  },
  {
    title: 'a test that passes, one that fails and one that is skipped',
    text: "test('one', () => {})\ntest('two', () => { throw new Error('broken') })\ntest.skip('three')\ntest.run()",
    counts: '1 passed, 1 failed, 1 skipped',
    prints: 'broken',
  },
  {
    title: 'only a skipped test, which is not a failure',
    text: "test.skip('one')\ntest.run()",
    counts: '0 passed, 0 failed, 1 skipped',
  },
  {
    title: 'a hook that throws',
    text: "test.before(() => { throw new Error('hook') })\ntest('one', () => {})\ntest.run()",
    counts: '0 passed, 1 failed, 0 skipped',
    prints: 'did a hook throw',
  },
  {
    title: 'a forgotten run()',
    text: "test('one', () => {})",
    counts: '0 passed, 1 failed, 0 skipped',
    prints: 'is run() missing',
  },
  {
    title: 'a file that throws',
    text: "throw new Error('at once')",
    counts: '0 passed, 1 failed, 0 skipped',
    prints: 'at once',
  },
  {
    title: 'an .only on a suite with a name of its own',
    text: "const disks = suite('disks')\ndisks.only('one', () => {})\ndisks('two', () => {})\ndisks.run()",
    counts: '0 passed, 1 failed, 0 skipped',
    prints: 'a test has .only',
  },
  {
    title: 'an .only that is part of a text or a comment',
    text: "// test.only('so')\ntest('has no test.only(', () => {})\ntest.run()",
    counts: '1 passed, 0 failed, 0 skipped',
  },
]

for (const { title, text, counts, prints = '' } of cases)
  runner(`counts ${title} as ${counts}`, async ({ folder }) => {
    const { code, output, last } = await run(folder, { one: text })
    assert.is(last, `tests: ${counts}`)
    assert.is(code, counts.includes(' 0 failed') ? 0 : 1)
    assert.match(output, prints)
  })

runner('counts a folder without a test file as a failure', async ({ folder }) => {
  const { code, output, last } = await run(folder, {})
  assert.is(last, 'tests: 0 passed, 1 failed, 0 skipped')
  assert.is(code, 1)
  assert.match(output, 'no test file')
})

runner('adds up several files', async ({ folder }) => {
  const { last } = await run(folder, {
    one: "test('one', () => {})\ntest.run()",
    two: "test('one', () => {})\ntest.skip('two')\ntest.run()",
  })
  assert.is(last, 'tests: 2 passed, 0 failed, 1 skipped')
})

const hanging: readonly { readonly title: string; readonly text: string }[] = [
  {
    title: 'waits for a promise that never settles',
    text: 'new Promise((end) => setTimeout(end, 2 ** 30))',
  },
  { title: 'never yields', text: '(() => { for (;;); })()' },
  {
    title: 'waits for a program that ignores SIGTERM',
    text: `new Promise((end) => {
      const child = spawn('sh', ['-c', 'trap "" TERM; while :; do sleep 1; done'], { stdio: 'inherit' })
      writeFileSync(import.meta.dirname + '/pid', String(child.pid))
      child.on('close', end)
    })`,
  },
]

for (const { title, text } of hanging)
  runner(`ends a test that ${title}, and names it and those before it`, async ({ folder }) => {
    const started = performance.now()
    const { code, output, last } = await run(
      folder,
      {
        stuck: `import { spawn } from 'node:child_process'
          import { writeFileSync } from 'node:fs'
          for (const name of ['first', 'second']) test(name, () => {})
          test('never ends', () => ${text})
          test('is not reached', () => {})
          test.run()`,
        whole: "test('one', () => {})\ntest.run()",
      },
      ['--one-by-one', '--limit-s', '6'],
    )
    // The limit, the grace and what the other file and the runner take; on a busy machine.
    assert.ok(performance.now() - started < 30_000)
    assert.is(last, 'tests: 1 passed, 1 failed, 0 skipped')
    assert.is(code, 1)
    assert.match(output, /stuck\.test\.ts: ended at its limit of 6 s/)
    assert.match(output, /had run: {2}first\n {2}had run: {2}second\n {2}running: {2}never ends\n/)
    assert.not.match(output, 'is not reached')
    const pid = join(folder, 'pid')
    if (existsSync(pid)) assert.not(isAlive(readFileSync(pid, 'utf8')))
  })

runner('applies the limit that a file sets for itself', async ({ folder }) => {
  const slow = (title: string) =>
    `test('${title}', () => new Promise((end) => setTimeout(end, 8000)))\ntest.run()`
  const { last, output } = await run(
    folder,
    { slow: `// limit: 60 s\n${slow('has time')}`, late: slow('has none') },
    ['--limit-s', '5'],
  )
  assert.is(last, 'tests: 1 passed, 1 failed, 0 skipped')
  assert.match(output, /late\.test\.ts: ended at its limit of 5 s/)
})

runner('ends the tests that it runs when it is ended itself', async ({ folder }) => {
  const alive = join(folder, 'pid')
  writeFileSync(
    join(folder, 'stuck.test.ts'),
    `${head}import { writeFileSync } from 'node:fs'
      test('never ends', () => {
        writeFileSync('${alive}', String(process.pid))
        return new Promise((end) => setTimeout(end, 2 ** 30))
      })
      test.run()`,
  )
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', 'tools/checks/run-tests.ts', '--limit-s', '60', folder],
    { cwd: projectRoot, stdio: 'ignore' },
  )
  const closed = new Promise<NodeJS.Signals | null>((end) =>
    child.on('close', (_, signal) => end(signal)),
  )
  await waitUntil(() => existsSync(alive) && readFileSync(alive, 'utf8') !== '')
  child.kill('SIGTERM')
  assert.is(await closed, 'SIGTERM')
  const pid = readFileSync(alive, 'utf8')
  await waitUntil(() => !isAlive(pid))
})

/** Whether a process runs; a zombie does not count. */
function isAlive(pid: string): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function waitUntil(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !condition(); await sleep(50))
    assert.ok(Date.now() < end, 'timed out')
}

runner.run()
