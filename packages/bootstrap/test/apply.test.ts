import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem, silentLog } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyChange } from '../src/apply.ts'
import type { BootstrapChange } from '../src/plan.ts'
import { fakeTalosctl, type Reply } from './fakes.ts'

const cluster = testCluster({}, mkdtempSync(join(tmpdir(), 'talosmith-apply-')))
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

test('etcd is bootstrapped with one call, to that machine alone', async () => {
  const { calls, problem } = await apply(change('bootstrap-etcd'), '')
  assert.is(problem, undefined)
  assert.equal(calls, ['bootstrap @ 10.0.0.70'])
})

test('an etcd that was bootstrapped before is bootstrapped', async () => {
  const { problem } = await apply(
    change('bootstrap-etcd'),
    refused('AlreadyExists', 'etcd data directory is not empty'),
  )
  assert.is(problem, undefined)
})

test('a machine that is not ready to bootstrap is asked again', async () => {
  const { calls, problem } = await apply(
    change('bootstrap-etcd'),
    refused('FailedPrecondition', 'time is not in sync yet'),
    '',
  )
  assert.is(problem, undefined)
  assert.is(calls.length, 2)
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

test('a change for a machine that is not of the cluster is a fault of ours', async () => {
  const none = await apply(change('bootstrap-etcd', 'other')).catch((error: Error) => error)
  assert.match(none instanceof Error ? none.message : '', 'other is no machine of cluster home')
})

test.run()
