import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'dotenv'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { targetDefaults, targetOf, targets, tasksBefore } from './support/targets.ts'

/** A flow as an arrow diagram: each task that it reaches, with what comes before it. */
function chainTo(task: string, seen: Record<string, string[]> = {}): Record<string, string[]> {
  if (seen[task] !== undefined) return seen
  seen[task] = tasksBefore(task)
  for (const before of seen[task]) chainTo(before, seen)
  return seen
}

const image = {
  'image:download': ['image:build', 'cluster:preflight'],
  'image:build': ['lab:start'],
  'cluster:preflight': ['lab:start'],
  'lab:start': [],
}
const chains: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'cluster:up': {
    'cluster:up': ['storage:install'],
    'storage:install': ['bootstrap:health'],
    'bootstrap:health': ['bootstrap:start'],
    'bootstrap:start': ['bootstrap:configure'],
    'bootstrap:configure': ['vm:create'],
    'vm:create': ['image:download'],
    ...image,
  },
  'cluster:upgrade': {
    'cluster:upgrade': ['bootstrap:upgrade-kubernetes'],
    'bootstrap:upgrade-kubernetes': ['bootstrap:upgrade-talos'],
    'bootstrap:upgrade-talos': ['image:download'],
    ...image,
  },
  'cluster:destroy': {
    'cluster:destroy': ['vm:remove-seeds'],
    'vm:remove-seeds': ['vm:destroy'],
    'vm:destroy': ['bootstrap:remove-config'],
    'bootstrap:remove-config': ['bootstrap:remove-access'],
    'bootstrap:remove-access': ['storage:destroy'],
    'storage:destroy': ['cluster:confirm-destroy'],
    'cluster:confirm-destroy': [],
  },
  'cluster:restore': { 'cluster:restore': ['image:download'], ...image },
  'bootstrap:regenerate-secrets': { 'bootstrap:regenerate-secrets': ['image:download'], ...image },
}
for (const [task, chain] of Object.entries(chains))
  test(`${task} comes after ${Object.keys(chain).slice(1).join(', ')}`, () => {
    assert.equal(chainTo(task), chain)
  })

test('what reads and what starts or stops machines runs alone', () => {
  for (const task of ['plan', 'status', 'doctor', 'bundle'])
    assert.equal(tasksBefore(`cluster:${task}`), [], task)
  for (const task of ['status', 'start', 'stop', 'render'])
    assert.equal(tasksBefore(`vm:${task}`), [], task)
})

/** They read files of this workspace and nothing else. */
const askNoHost = /:(?:check|typecheck|test|test-guest|render|format|layers)$/

test('whatever touches a host runs compiled', () => {
  for (const [task, { command = '' }] of targets)
    if (!askNoHost.test(task)) {
      const source = /^node tools\/build\/run\.js (\S+\.ts)(?: --quick)?$/.exec(command)?.[1]
      assert.ok(existsSync(join(projectRoot, `${source}`)), `${task}: ${command}`)
    }
})

test('no library is loaded late: compiled, those of before ES modules would have no names', () => {
  const sources = execFileSync('git', ['ls-files', '-z', 'packages/*.ts', 'scripts/*.ts'], {
    cwd: projectRoot,
    encoding: 'utf8',
  })
  const late = sources
    .split('\0')
    .filter((file) => file !== '' && !file.includes('/test/'))
    .flatMap((file) =>
      Array.from(
        readFileSync(join(projectRoot, file), 'utf8').matchAll(/\bimport\('([^'.].*?)'\)/g),
        ([, name = '']) => `${file}: ${name}`,
      ),
    )
    .filter((found) => !/: (?:@talosmith\/|node:)/.test(found))
  assert.equal(late, [])
})

test('nothing that touches a host is ever taken from the cache', () => {
  const touching = [...targets.keys()].filter((task) => !askNoHost.test(task))
  assert.ok(touching.length > 30)
  for (const task of touching) assert.is(targetOf(task).cache, false, task)
  const cached = Object.keys(targetDefaults).filter((name) => targetDefaults[name]?.cache === true)
  assert.equal(cached, ['typecheck', 'test'])
})

test(".env holds Nx's own three settings and nothing of a cluster", () => {
  assert.equal(parse(readFileSync(join(projectRoot, '.env'))), {
    NX_DEFAULT_OUTPUT_STYLE: 'stream-without-prefixes',
    NX_LOAD_DOT_ENV_FILES: 'false',
    NX_ISOLATE_PLUGINS: 'false',
  })
})

test.run()
