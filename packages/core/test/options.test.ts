import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readOptions } from '../src/options.ts'
import type { Problem } from '../src/problem.ts'

const options = {
  cluster: { type: 'string', about: '' },
  'dry-run': { type: 'boolean', about: '' },
} as const

test('texts and flags are parsed', () => {
  const values = readOptions(options, ['--cluster', 'home', '--dry-run'])
  assert.is(values.cluster, 'home')
  assert.is(values['dry-run'], true)
})

const wrong: [string, string[], string][] = [
  [
    'a misspelt option is reported with the closest one',
    ['--clustre', 'home'],
    'did you mean --cluster',
  ],
  ['a positional argument is refused', ['home'], 'options are'],
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

const fromShell = {
  confirm: { type: 'string', about: '', env: 'CONFIRM' },
  'final-snapshot': { type: 'boolean', about: '', env: 'FINAL_SNAPSHOT' },
} as const

test('an environment variable is the fallback of the command line; an empty one is ignored', () => {
  assert.equal(readOptions(fromShell, [], { CONFIRM: 'home', FINAL_SNAPSHOT: 'true' }), {
    confirm: 'home',
    'final-snapshot': true,
  })
  assert.is(readOptions(fromShell, ['--confirm', 'site'], { CONFIRM: 'home' }).confirm, 'site')
  assert.equal(readOptions(fromShell, [], { CONFIRM: '', FINAL_SNAPSHOT: '' }), {})
  assert.is(readOptions(fromShell, [], { FINAL_SNAPSHOT: 'false' })['final-snapshot'], false)
})

test('an environment variable of a flag must be true or false', () => {
  assert.throws(
    () => readOptions(fromShell, [], { FINAL_SNAPSHOT: 'yes' }),
    /FINAL_SNAPSHOT=yes is neither true nor false/,
  )
})

test('an option that Nx consumes is a bug of the script', () => {
  assert.throws(
    () => readOptions({ parallel: { type: 'string', about: '' } }, []),
    /consumed by Nx/,
  )
})

test.run()
