/** Nx' targets as they are resolved, from the scripts, the file of chains, nx.json and every project.json. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { targetsOf, type Target } from './support/nx-graph.ts'

const targets = targetsOf(projectRoot)

function targetOf(task: string): Target {
  const found = targets.get(task)
  if (found === undefined) throw new Error(`no target ${task}`)
  return found
}

/** The tasks that have to end before one begins. */
function tasksBefore(task: string): string[] {
  const [project] = task.split(':')
  return (targetOf(task).dependsOn ?? []).map((name) =>
    name.includes(':') ? name : `${project}:${name}`,
  )
}

/** A chain as an arrow diagram: each task that it reaches, with what comes before it. */
function chainTo(task: string, found: Record<string, string[]> = {}): Record<string, string[]> {
  if (found[task] !== undefined) return found
  found[task] = tasksBefore(task)
  for (const before of found[task]) chainTo(before, found)
  return found
}

const image = {
  'image:download': ['cluster:preflight', 'image:build'],
  // The hook of this workspace, in nx.json.
  'cluster:preflight': ['lab:start'],
  'image:build': ['lab:start'],
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
    'bootstrap:upgrade-kubernetes': ['cluster:upgrade-talos'],
    'cluster:upgrade-talos': ['image:download'],
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
  'image:warm-installer': { 'image:warm-installer': ['image:download'], ...image },
  'cluster:restore': { 'cluster:restore': ['image:download'], ...image },
  'cluster:regenerate-secrets': { 'cluster:regenerate-secrets': ['image:download'], ...image },
}
for (const [task, chain] of Object.entries(chains))
  test(`${task} comes after ${Object.keys(chain).slice(1).join(', ')}`, () => {
    assert.equal(chainTo(task), chain)
  })

test('a target outside of the chains runs alone', () => {
  const inChains = new Set(Object.values(chains).flatMap((chain) => Object.keys(chain)))
  for (const [task, { dependsOn = [], metadata }] of targets)
    if (!inChains.has(task) && !touchesNoHost.test(task))
      if (metadata?.description?.includes('former name') !== true) assert.equal(dependsOn, [], task)
  for (const task of ['cluster:plan', 'cluster:start', 'storage:uninstall', 'bootstrap:restore'])
    assert.equal(tasksBefore(task), [], task)
})

for (const [former, now] of [
  ['bootstrap:diagnose', 'cluster:diagnose'],
  ['bootstrap:regenerate-secrets', 'cluster:regenerate-secrets'],
  ['bootstrap:upgrade-talos', 'cluster:upgrade-talos'],
  ['vm:start', 'cluster:start'],
  ['vm:stop', 'cluster:stop'],
] as const)
  test(`${former} does what ${now} does, and is described as its former name`, () => {
    assert.equal(targetOf(former), {
      ...targetOf(now),
      metadata: { description: `the former name of ${now}` },
    })
  })

/** They read files of this workspace and nothing else. */
const touchesNoHost =
  /:(?:check|typecheck|test|test-guest|render|format|layers|imports|lint|spell|words)$/

test('a target that touches a host runs compiled', () => {
  for (const [task, { options }] of targets)
    if (!touchesNoHost.test(task) && task !== 'lab:up') {
      const { command = '', cwd } = options
      const source = /^node tools\/build\/run\.js (\S+\.ts)(?: --quick)?$/.exec(command)?.[1]
      assert.ok(existsSync(join(projectRoot, `${source}`)), `${task}: ${command}`)
      assert.is(cwd, '', task)
    }
})

test('every script is a target of the project that it is in', () => {
  const scripts = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts'], {
    cwd: projectRoot,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((file) => /^(?:[^/]+\/)*scripts\/[^/]+$/.test(file))
    .filter((file) => existsSync(join(projectRoot, file)))
  assert.ok(scripts.length > 30)
  for (const file of scripts) {
    const [, project = 'cluster', name = ''] =
      /^(?:(?:packages\/)?([^/]+)\/)?scripts\/(.+)\.ts$/.exec(file) ?? []
    assert.match(targetOf(`${project}:${name}`).options.command ?? '', file)
  }
})

test('a target that touches a host is never cached', () => {
  const touching = [...targets].filter(([task]) => !touchesNoHost.test(task))
  assert.ok(touching.length > 30)
  for (const [task, { cache }] of touching) assert.is(cache, false, task)
})

test('a target that only reads files of this workspace is cached, even with its own command', () => {
  for (const [task, { cache, executor }] of targets)
    if (touchesNoHost.test(task) && executor !== 'nx:noop') assert.is(cache, true, task)
})

test('every stage has a description', () => {
  for (const task of new Set(Object.values(chains).flatMap((chain) => Object.keys(chain))))
    if (task !== 'lab:start') assert.ok(targetOf(task).metadata?.description, task)
})

test('no library is imported dynamically: compiled, CommonJS libraries would have no named exports', () => {
  const sources = execFileSync('git', ['ls-files', '-z', 'packages/*.ts', 'scripts/*.ts'], {
    cwd: projectRoot,
    encoding: 'utf8',
  })
  const late = sources
    .split('\0')
    .filter((file) => existsSync(join(projectRoot, file)))
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

test(".env holds Nx's own three settings and nothing of a cluster", () => {
  assert.equal(
    { ...parseEnv(readFileSync(join(projectRoot, '.env'), 'utf8')) },
    {
      NX_DEFAULT_OUTPUT_STYLE: 'stream-without-prefixes',
      NX_LOAD_DOT_ENV_FILES: 'false',
      NX_ISOLATE_PLUGINS: 'false',
    },
  )
})

test('Nx never connects to its cloud', () => {
  const nx = JSON.parse(readFileSync(join(projectRoot, 'nx.json'), 'utf8')) as Record<
    string,
    unknown
  >
  assert.is(nx['neverConnectToCloud'], true)
})

test.run()
