import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Problem } from '../../src/problem.ts'
import { readSettings } from '../../src/settings/read.ts'

/** Each fixture is an env file with one mistake; its first line is the error that must be reported. */
const folder = join(import.meta.dirname, 'fixtures')

for (const name of readdirSync(folder).sort()) {
  const text = readFileSync(join(folder, name), 'utf8')
  const expected = /^# reported: (.+)$/m.exec(text)?.[1] ?? ''
  test(`${name} is rejected: ${expected}`, () => {
    try {
      readSettings(text, {}, name)
    } catch (error) {
      assert.instance(error, Problem)
      const problem = error as Problem
      assert.is(problem.code, 'SETTINGS_INVALID')
      assert.is(problem.exitCode, 78)
      const errors = problem.because?.trim().split('\n') ?? []
      assert.is(errors.length, 1, `one mistake, one line:\n${errors.join('\n')}`)
      assert.ok(errors[0]?.includes(expected), `${errors[0]}\ndoes not contain\n${expected}`)
      return
    }
    assert.unreachable(`${name} was accepted`)
  })
}

test('there are at least forty kinds of bad settings', () => {
  assert.ok(readdirSync(folder).length >= 40)
})

test.run()
