import { spawn } from 'node:child_process'
import { appendFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runStages, stagesOf, type Stage } from '../checks/stages.ts'
import { copyWorkspace } from '@talosmith/core/testing'

const namesOf = (stages: readonly Stage[]): string[] => stages.map(({ name }) => name)
const lines = (stages: readonly Stage[]): string =>
  stages.map(({ args }) => `${args.join(' ')}\n`).join('')

test('fast checks come first, then types, and clusters last', () => {
  const all = ['sources', 'types', 'lab', 'unit tests', "the lab's guests", 'clusters in the lab']
  assert.equal(namesOf(stagesOf({ lab: true, ha: false })), all)
})

test('without the lab no stage refers to it', () => {
  const stages = stagesOf({ lab: false, ha: false })
  assert.equal(namesOf(stages), ['sources', 'types', 'unit tests'])
  assert.not.match(lines(stages), 'lab')
})

test('only --ha runs e2e-ha', () => {
  assert.not.match(lines(stagesOf({ lab: true, ha: false })), 'e2e-ha')
  assert.match(lines(stagesOf({ lab: true, ha: true })), 'lab/e2e lab/e2e-ha')
})

const three: readonly Stage[] = ['a', 'b', 'c'].map((name) => ({ name, command: name, args: [] }))

/** Runs the three stages; a stage without a given result passes with one test. */
async function tryWith(
  results: Readonly<Record<string, { passed: number; failed: number; code: number | null }>>,
): Promise<{ ran: string[]; passed: number; failed: number; at: string | undefined }> {
  const ran: string[] = []
  const { total, failed, left } = await runStages(three, async ({ name }) => {
    ran.push(name)
    return results[name] ?? { passed: 1, failed: 0, code: 0 }
  })
  assert.equal([...ran, ...namesOf(left)], namesOf(three))
  return { ran, ...total, at: failed?.name }
}

test('all stages run when none fails, and their counts add up', async () => {
  assert.equal(await tryWith({}), { ran: ['a', 'b', 'c'], passed: 3, failed: 0, at: undefined })
})

test('a stage with failed tests ends the run', async () => {
  const outcome = await tryWith({ b: { passed: 4, failed: 2, code: 1 } })
  assert.equal(outcome, { ran: ['a', 'b'], passed: 5, failed: 2, at: 'b' })
})

test('a stage that fails without a failed test ends the run, and counts as one failure', async () => {
  const outcome = await tryWith({ a: { passed: 0, failed: 0, code: 1 } })
  assert.equal(outcome, { ran: ['a'], passed: 0, failed: 1, at: 'a' })
})

test('a stage that is killed ends the run, even if its tests passed', async () => {
  const outcome = await tryWith({ b: { passed: 2, failed: 0, code: null } })
  assert.equal(outcome, { ran: ['a', 'b'], passed: 3, failed: 1, at: 'b' })
})

test('npm test ends at a file that is not formatted, before types and tests', async () => {
  const copy = copyWorkspace(['lab/tools'])
  try {
    appendFileSync(join(copy, 'packages/core/src/wait.ts'), 'export const  spaced = 1;\n')
    const child = spawn(process.execPath, ['--import', 'tsx', 'tools/checks/test.ts', '--no-lab'], {
      cwd: copy,
      env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const code = await new Promise((resolve) => child.on('close', resolve))
    assert.match(output, 'packages/core/src/wait.ts')
    const tail = ['failed at: sources; not run: types, unit tests', '0 passed, 1 failed']
    assert.equal(output.trimEnd().split('\n').slice(-2), tail)
    assert.is(code, 1)
    assert.not.match(output, 'tsc -p')
    assert.not.match(output, /^tests:/m)
  } finally {
    rmSync(dirname(copy), { recursive: true })
  }
})

test.run()
