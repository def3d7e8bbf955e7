import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Problem, renderProblem } from '../src/problem.ts'

test('a list of reasons begins on a line of its own, and no line ends with a space', () => {
  const problem = new Problem('SETTINGS_INVALID', '2 settings are invalid', {
    because: '\nWORKER_COUNT: missing\nCLUSTER_NAME: missing',
    hint: 'set both',
  })
  assert.is(
    renderProblem(problem),
    [
      'SETTINGS_INVALID: 2 settings are invalid',
      '  because:',
      '    WORKER_COUNT: missing',
      '    CLUSTER_NAME: missing',
      '  try: set both',
    ].join('\n'),
  )
})

test.run()
