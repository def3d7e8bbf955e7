import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readOptions } from '../src/options.ts'
import type { Problem } from '../src/problem.ts'

const options = {
  cluster: { type: 'string', about: '' },
  'dry-run': { type: 'boolean', about: '' },
} as const

test('texts and flags are read', () => {
  const values = readOptions(options, ['--cluster', 'home', '--dry-run'])
  assert.is(values.cluster, 'home')
  assert.is(values['dry-run'], true)
})

const wrong: [string, string[], string][] = [
  ['a misspelt option names the close one', ['--clustre', 'home'], 'did you mean --cluster'],
  ['a stray word is refused', ['home'], 'options are'],
  ['a text without a value is refused', ['--cluster'], 'options are'],
  ['a flag with a value is refused', ['--dry-run=yes'], 'options are'],
]
for (const [name, args, hint] of wrong)
  test(name, () => {
    try {
      readOptions(options, args)
      assert.unreachable()
    } catch (error) {
      assert.is((error as Problem).code, 'OPTION_UNKNOWN')
      assert.is((error as Problem).exitCode, 64)
      assert.match((error as Problem).hint ?? '', hint)
    }
  })

test('an option that Nx would swallow is a fault of the script', () => {
  assert.throws(
    () => readOptions({ parallel: { type: 'string', about: '' } }, []),
    /swallowed by Nx/,
  )
})

test.run()
