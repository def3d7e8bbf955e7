import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GoTests } from '../src/go-tests.ts'

function run(exitCode: number, ...events: (object | string)[]) {
  const tests = new GoTests()
  const printed = events
    .map((event) => tests.take(typeof event === 'string' ? event : JSON.stringify(event)))
    .filter((line) => line !== undefined)
  return { printed, ...tests.count(exitCode) }
}
const of = (Package: string, Test: string | undefined, Action: string, more = {}): object => ({
  Package,
  Action,
  ...(Test === undefined ? {} : { Test }),
  ...more,
})

test('counts tests, and prints each package with its time', () => {
  const found = run(
    0,
    of('a', 'TestOne', 'run'),
    of('a', 'TestOne/sub', 'pass'),
    of('a', 'TestOne', 'pass'),
    of('a', 'TestTwo', 'skip'),
    of('a', undefined, 'pass', { Elapsed: 1.25 }),
    of('b', undefined, 'skip'),
  )
  assert.equal(found, { printed: ['ok  a (1.3 s)'], passed: 1, failed: 0, skipped: 1 })
})

test('prints the output of a failed test, with its subtests, and counts it once', () => {
  const found = run(
    1,
    of('a', 'TestOne', 'output', { Output: 'first\n' }),
    of('a', 'TestOne/sub', 'output', { Output: 'second\n' }),
    of('a', 'TestOne/sub', 'fail'),
    of('a', 'TestOne', 'fail'),
    of('a', undefined, 'fail'),
  )
  assert.equal(found.printed, ['FAILED  a TestOne\nfirst\nsecond\n'])
  assert.is(found.failed, 1)
})

test('a package that does not compile is a failure, with the output of the compiler', () => {
  const found = run(
    1,
    { ImportPath: 'a', Action: 'build-output', Output: './a.go:1: no\n' },
    of('a', undefined, 'output', { Output: 'FAIL a [build failed]\n' }),
    of('a', undefined, 'fail'),
  )
  assert.equal(found.printed, ['./a.go:1: no', 'FAILED  a\nFAIL a [build failed]\n'])
  assert.is(found.failed, 1)
})

test('a run that fails without output is a failure', () => {
  assert.equal(run(127, 'go: no such module'), {
    printed: ['go: no such module'],
    passed: 0,
    failed: 1,
    skipped: 0,
  })
})

test.run()
