import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { stages } from './support/chain.ts'
import { targetOf, tasksBefore } from './support/targets.ts'

/** The tasks before one, first to last; a destroy may never have two side by side. */
function chainTo(task: string): string[] {
  const before = tasksBefore(task)
  assert.ok(before.length <= 1, `${task} has several before it, which Nx runs side by side`)
  return [...before.flatMap(chainTo), task]
}

test('cluster:destroy asks first, then goes from storage to the seed ISOs, one after the other', () => {
  assert.equal(chainTo('cluster:destroy'), Object.keys(stages))
})

test('storage:uninstall alone asks for no cluster to be destroyed', () => {
  assert.equal(chainTo('storage:uninstall'), ['storage:uninstall'])
})

test('no stage of a destroy comes from the cache', () => {
  for (const task of Object.keys(stages)) assert.is(targetOf(task).cache, false, task)
})

test.run()
