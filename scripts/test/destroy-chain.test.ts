import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { stages } from './support/chain.ts'

interface Target {
  readonly dependsOn?: readonly string[]
  readonly cache?: boolean
}
const folders: Readonly<Record<string, string>> = { cluster: 'scripts' }

function targetOf(task: string): Target {
  const [project = '', target = ''] = task.split(':')
  const file = join(projectRoot, folders[project] ?? `packages/${project}`, 'project.json')
  const { targets } = JSON.parse(readFileSync(file, 'utf8')) as { targets: Record<string, Target> }
  const found = targets[target]
  if (found === undefined) throw new Error(`no target ${task}`)
  return found
}

/** The tasks before one, first to last; a destroy may never have two side by side. */
function chainTo(task: string): string[] {
  const { dependsOn = [] } = targetOf(task)
  assert.ok(dependsOn.length <= 1, `${task} has several before it, which Nx runs side by side`)
  const [project] = task.split(':')
  const before = dependsOn.map((name) => (name.includes(':') ? name : `${project}:${name}`))
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
