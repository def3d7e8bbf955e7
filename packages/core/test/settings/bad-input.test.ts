import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Problem } from '../../src/problem.ts'
import { readSettings } from '../../src/settings/read.ts'

/** Each fixture is an env file with one fault; its first line says which fault must be reported. */
const folder = join(import.meta.dirname, 'fixtures')

for (const name of readdirSync(folder).sort()) {
  const text = readFileSync(join(folder, name), 'utf8')
  const expected = /^# reported: (.+)$/m.exec(text)?.[1] ?? ''
  test(`${name} is refused: ${expected}`, () => {
    try {
      readSettings(text, {}, name)
    } catch (error) {
      assert.instance(error, Problem)
      const problem = error as Problem
      assert.is(problem.code, 'SETTINGS_INVALID')
      assert.is(problem.exitCode, 78)
      const faults = problem.because?.trim().split('\n') ?? []
      assert.is(faults.length, 1, `one fault, one line:\n${faults.join('\n')}`)
      assert.ok(faults[0]?.includes(expected), `${faults[0]}\ndoes not say\n${expected}`)
      return
    }
    assert.unreachable(`${name} was accepted`)
  })
}

test('there are at least forty kinds of bad settings', () => {
  assert.ok(readdirSync(folder).length >= 40)
})

test.run()
