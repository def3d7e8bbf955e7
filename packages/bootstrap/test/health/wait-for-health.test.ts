import { silentLog, type Log, type Problem } from '@talosmith/core'
import { problemOf, quicken, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HealthFacts } from '../../src/health/health.ts'
import { wellFacts } from '../support/facts.ts'
import { waitForHealth, waitUntilHealthy } from '../../src/health/wait-for-health.ts'

quicken()

const cluster = testCluster({
  TALOS_VERSION: 'v1.13.9',
  KUBERNETES_VERSION: 'v1.36.3',
  WORKER_COUNT: '0',
})
const answered = { ok: true, value: 'ok' } as const
const silent = (reason: string) => ({ ok: false, reason }) as const
const healthy: HealthFacts = {
  probes: new Map([['home-cp1', { kind: 'ours' }]]),
  versions: new Map([['home-cp1', 'v1.13.9']]),
  machines: wellFacts(cluster).machines,
  withoutChannel: new Set(),
  etcd: wellFacts(cluster).etcd,
  apiServers: new Map([['home-cp1', answered]]),
  endpoint: answered,
  vip: undefined,
  nodes: {
    ok: true,
    value: [
      {
        metadata: { name: 'home-cp1' },
        status: {
          conditions: [{ type: 'Ready', status: 'True' }],
          addresses: [{ type: 'InternalIP', address: '10.0.0.70' }],
          nodeInfo: { kubeletVersion: 'v1.36.3' },
        },
      },
    ],
  },
  workloads: { ok: true, value: [] },
  leftBehind: [],
  expectedWorkloads: [],
}
const foreign: Partial<HealthFacts> = {
  probes: new Map([['home-cp1', { kind: 'foreign', reason: 'it has another CA' }]]),
}
const noEtcd: Partial<HealthFacts> = {
  etcd: { ...healthy.etcd, members: [], memberSilence: 'no quorum' },
}

/** Waits on a row of looks, each `secondsApart` after the other; the last one stays. */
async function wait(
  looks: readonly Partial<HealthFacts>[],
  {
    of = cluster,
    secondsApart = 4,
    confirm = async () => undefined,
  }: {
    readonly of?: typeof cluster
    readonly secondsApart?: number
    readonly confirm?: () => Promise<string | undefined>
  } = {},
) {
  const lines: string[] = []
  const note = (text: string): void => void lines.push(text)
  const log: Log = { ...silentLog, info: note, already: note }
  let at = -1
  const end = waitUntilHealthy(
    of,
    async () => ({ ...healthy, ...looks[Math.min(++at, looks.length - 1)] }),
    log,
    { now: () => at * secondsApart * 1000, confirm },
  )
  const settled: { problem?: Problem } = await end.then(
    () => ({}),
    (problem: Problem) => ({ problem }),
  )
  return { ...settled, lines, looks: at + 1 }
}

test('each condition is logged once, when it first holds; each reason when it changes', async () => {
  const { lines, problem } = await wait([noEtcd, noEtcd, { endpoint: silent('refused') }, {}])
  assert.is(problem, undefined)
  const waiting = lines.filter((line) => line.includes('waiting for'))
  assert.equal(waiting, [
    '   waiting for cluster home to be healthy: etcd to have all control planes as members: etcd: does not list its members: no quorum',
    '   waiting for cluster home to be healthy: https://10.0.0.70:6443 to answer: refused',
  ])
  const logged = lines.filter((line) => !/wait(?:ing|ed) for/.test(line))
  assert.equal(logged, [...new Set(logged)])
  assert.is(logged.length, 14)
  assert.ok(logged.indexOf('etcd: 1 voting member, one leader, no alarm') > 0)
})

test('only final problems: the wait ends at once', async () => {
  const { problem, looks } = await wait([foreign])
  assert.is(looks, 1)
  assert.is(problem?.code, 'UNHEALTHY')
  assert.match(problem?.message ?? '', 'gave up waiting')
  assert.match(problem?.because ?? '', 'home-cp1: it has another CA')
})

test('a final problem besides others ends the wait once it has lasted 20 s', async () => {
  const { problem, looks } = await wait([{ ...foreign, ...noEtcd }])
  assert.is(looks, 6)
  assert.match(problem?.because ?? '', 'it has another CA')
})

test('a problem that was final only for a moment is timed again', async () => {
  const both = { ...foreign, ...noEtcd }
  const { looks } = await wait([both, both, both, both, noEtcd, both])
  assert.is(looks, 5 + 6)
})

test('when the time is up, what is missing first is why', async () => {
  const of = testCluster({
    TALOS_VERSION: 'v1.13.9',
    KUBERNETES_VERSION: 'v1.36.3',
    WORKER_COUNT: '0',
    HEALTH_TIMEOUT: '1s',
  })
  const { problem } = await wait([noEtcd], { of })
  assert.is(problem?.code, 'UNHEALTHY')
  assert.match(problem?.message ?? '', /^gave up after \d+ s waiting for/)
  assert.match(
    problem?.because ?? '',
    /^etcd to have all control planes as members: etcd: does not list its members: no quorum$/,
  )
})

test('after something did not hold, what Kubernetes shows of a former boot is not taken for health', async () => {
  const answers = ['home-cp1 is shown in Kubernetes as it was before its last boot', undefined]
  let confirmed = 0
  const confirm = async () => answers[confirmed++]
  const { lines, looks, problem } = await wait([noEtcd, {}], { confirm })
  assert.is(problem, undefined)
  assert.equal([looks, confirmed], [3, 2])
  assert.match(lines.join('\n'), 'as it was before its last boot')
  confirmed = 0
  assert.is((await wait([{}], { confirm })).looks, 1)
  assert.is(confirmed, 0)
})

test('a cluster without secrets has not been started', async () => {
  const fresh = testCluster({}, temporaryFolder('health'))
  const context = { cluster: fresh, log: silentLog, json: false, answer: () => undefined }
  const { code, hint } = await problemOf(waitForHealth(context))
  assert.is(code, 'NOT_STARTED')
  assert.match(hint ?? '', 'npx nx run cluster:up')
})

test.run()
