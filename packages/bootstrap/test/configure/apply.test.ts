import { Problem, silentLog } from '@talosmith/core'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyChange } from '../../src/configure/apply.ts'
import type { BootstrapChange } from '../../src/configure/plan.ts'
import { fakeTalosctl, type Reply } from '@talosmith/clients/testing'

const cluster = testCluster({}, temporaryFolder('apply'))
const change = (kind: BootstrapChange['kind'], target = 'home-cp1'): BootstrapChange => ({
  kind,
  target,
  summary: kind,
  risk: 'none',
})
const refused = (code: string, desc: string): Reply => ({
  stderr: `error: rpc error: code = ${code} desc = ${desc}`,
})

/** Applies with a talosctl that gives these replies, the last one for ever; returns its calls and the Problem. */
async function apply(one: BootstrapChange, ...replies: Reply[]) {
  let turn = 0
  const talosctl = fakeTalosctl(() => replies[Math.min(turn++, replies.length - 1)] ?? '')
  const problem = await applyChange(one, { cluster, talosctl, log: silentLog }).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  return { calls: talosctl.calls, problem }
}

// As talosctl v1.13.9 prints it.
const service = (state: string, event: string): string => `NODE     10.0.0.70
ID       etcd
STATE    ${state}
HEALTH   ?
EVENTS   [${state}]: ${event} (8m28s ago)
         [Finished]: Service finished successfully (8m28s ago)
`
const runs = service('Running', 'Started task etcd (PID 2085) for container etcd')

test('etcd is bootstrapped with one call, to that machine alone, and waited for', async () => {
  const { calls, problem } = await apply(change('bootstrap-etcd'), '', runs)
  assert.is(problem, undefined)
  assert.equal(calls, ['bootstrap @ 10.0.0.70', 'service etcd @ 10.0.0.70'])
})

test('waiting for etcd shows the last event of its service', async () => {
  const lines: string[] = []
  const replies = ['', service('Preparing', 'Failed to pull image "etcd:v1": 404'), runs]
  const talosctl = fakeTalosctl(() => replies.shift() ?? runs)
  const log = { ...silentLog, info: (text: string) => void lines.push(text) }
  await applyChange(change('bootstrap-etcd'), { cluster, talosctl, log })
  assert.match(lines[0] ?? '', 'etcd on home-cp1 is Preparing: Failed to pull image "etcd:v1": 404')
  assert.not.match(lines[0] ?? '', 'ago')
})

test('an etcd that was bootstrapped before is bootstrapped', async () => {
  const { problem } = await apply(
    change('bootstrap-etcd'),
    refused('AlreadyExists', 'etcd data directory is not empty'),
    runs,
  )
  assert.is(problem, undefined)
})

test('a machine that is not ready to bootstrap is asked again', async () => {
  const { calls, problem } = await apply(
    change('bootstrap-etcd'),
    refused('FailedPrecondition', 'time is not in sync yet'),
    '',
    runs,
  )
  assert.is(problem, undefined)
  assert.is(calls.length, 3)
})

test('a refusal that can never get better ends the bootstrap at once', async () => {
  const { calls, problem } = await apply(
    change('bootstrap-etcd'),
    refused('PermissionDenied', 'not authorized'),
  )
  assert.is(problem?.code, 'BOOTSTRAP_FAILED')
  assert.is(problem?.because, 'not authorized')
  assert.is(calls.length, 1)
})

test('a config that a fresh machine rejects ends the run at once, with its words', async () => {
  const { calls, problem } = await apply(
    change('apply-config', 'home-w1'),
    refused('InvalidArgument', 'kubernetes version is too new'),
  )
  assert.is(problem?.code, 'CONFIG_REJECTED')
  assert.is(problem?.because, 'kubernetes version is too new')
  assert.match(
    calls[0] ?? '',
    /^apply-config --file=.*\/configs\/home-w1\.yaml --insecure @ 10\.0\.0\.80$/,
  )
})

test('a change for a machine that is not of the cluster is a bug', async () => {
  const none = await apply(change('bootstrap-etcd', 'other')).catch((error: Error) => error)
  assert.match(none instanceof Error ? none.message : '', 'other is no machine of cluster home')
})

test.run()
