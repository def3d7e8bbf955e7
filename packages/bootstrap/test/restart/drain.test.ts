import { silentLog } from '@talosmith/core'
import { problemOf, quicken, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import {
  ApiRefusal,
  kubernetesOver,
  selects,
  type BudgetObject,
  type LabelSelector,
  type NodeObject,
  type PodObject,
} from '@talosmith/clients/kubernetes'
import { evictPods, findBlocked, podsToMove, warnOfBlocked } from '../../src/restart/drain.ts'
import type { UpgradeContext } from '../../src/restart/context.ts'
import * as assert from 'uvu/assert'

quicken()

const pod = (
  name: string,
  more: { owner?: string; phase?: string; leaving?: boolean } = {},
): PodObject => ({
  metadata: {
    name,
    namespace: 'apps',
    labels: { app: name, tier: 'web' },
    ...(more.owner === undefined
      ? {}
      : { ownerReferences: [{ kind: more.owner, controller: true }] }),
    ...(more.leaving === true ? { deletionTimestamp: 'now' } : {}),
  },
  spec: { nodeName: 'home-w1', containers: [] },
  status: { phase: more.phase ?? 'Running' },
})

const moved: [string, PodObject, boolean][] = [
  ['a Deployment', pod('a', { owner: 'ReplicaSet' }), true],
  ['a StatefulSet', pod('a', { owner: 'StatefulSet' }), true],
  ['a Job that runs', pod('a', { owner: 'Job' }), true],
  ['a Job that has ended', pod('a', { owner: 'Job', phase: 'Succeeded' }), false],
  ['a Job that has failed', pod('a', { owner: 'Job', phase: 'Failed' }), false],
  ['a DaemonSet', pod('a', { owner: 'DaemonSet' }), false],
  ['the node itself (a static pod)', pod('a', { owner: 'Node' }), false],
  ['no controller', pod('a'), false],
]
for (const [of, one, moves] of moved)
  test(`a pod of ${of} ${moves ? 'leaves' : 'stays on'} the machine`, () => {
    assert.is(podsToMove([one]).length, moves ? 1 : 0)
  })

const selectors: [string, LabelSelector | undefined, boolean][] = [
  ['no selector', undefined, false],
  ['an empty selector', {}, true],
  ['a label that fits', { matchLabels: { app: 'a' } }, true],
  ['a label of another value', { matchLabels: { app: 'b' } }, false],
  ['two labels, one of another value', { matchLabels: { app: 'a', tier: 'db' } }, false],
  ['In', { matchExpressions: [{ key: 'app', operator: 'In', values: ['a', 'b'] }] }, true],
  ['In without it', { matchExpressions: [{ key: 'app', operator: 'In', values: ['b'] }] }, false],
  ['NotIn', { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['b'] }] }, true],
  [
    'NotIn with it',
    { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] },
    false,
  ],
  [
    'NotIn of a missing label',
    { matchExpressions: [{ key: 'x', operator: 'NotIn', values: ['a'] }] },
    true,
  ],
  ['Exists', { matchExpressions: [{ key: 'app', operator: 'Exists' }] }, true],
  ['Exists of a missing label', { matchExpressions: [{ key: 'x', operator: 'Exists' }] }, false],
  ['DoesNotExist', { matchExpressions: [{ key: 'x', operator: 'DoesNotExist' }] }, true],
  [
    'DoesNotExist of a label that is there',
    { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] },
    false,
  ],
]
for (const [title, selector, expected] of selectors)
  test(`${title} ${expected ? 'takes' : 'leaves'} the pod`, () => {
    assert.is(selects(selector, { app: 'a', tier: 'web' }), expected)
  })

const budget = (
  allowed: number,
  desired: number,
  expected: number,
  change: Partial<BudgetObject> = {},
): BudgetObject => ({
  metadata: { name: 'keep', namespace: 'apps' },
  spec: { selector: { matchLabels: { tier: 'web' } } },
  status: { disruptionsAllowed: allowed, desiredHealthy: desired, expectedPods: expected },
  ...change,
})
const budgets: [string, BudgetObject, boolean][] = [
  ['requires the only pod', budget(0, 1, 1), true],
  ['requires three of three', budget(0, 3, 3), true],
  ['requires more than there are', budget(0, 4, 3), true],
  ['requires two of three, with one unhealthy now', budget(0, 2, 3), false],
  ['allows one disruption', budget(1, 2, 3), false],
  ['counts no pod', budget(0, 0, 0), false],
  [
    'is of another namespace',
    budget(0, 1, 1, { metadata: { name: 'keep', namespace: 'x' } }),
    false,
  ],
  [
    'is about other pods',
    budget(0, 1, 1, { spec: { selector: { matchLabels: { tier: 'db' } } } }),
    false,
  ],
]
for (const [title, one, blocks] of budgets)
  test(`a budget that ${title} ${blocks ? 'blocks permanently' : 'does not block permanently'}`, () => {
    const found = findBlocked([pod('a', { owner: 'ReplicaSet' })], [one])
    assert.equal(
      found.map(({ pod, budget }) => `${pod} ${budget}`),
      blocks ? ['apps/a keep'] : [],
    )
  })

test('a pod that two budgets select is blocked, whatever they allow; a pending one is not', () => {
  const both = [
    budget(1, 1, 2),
    budget(1, 1, 2, { metadata: { name: 'other', namespace: 'apps' } }),
  ]
  assert.equal(
    findBlocked([pod('a', { owner: 'ReplicaSet' })], both).map(
      ({ pod, budget }) => `${pod} ${budget}`,
    ),
    ['apps/a keep, other'],
  )
  assert.equal(findBlocked([pod('a', { owner: 'ReplicaSet', phase: 'Pending' })], both), [])
})

test('a pod that stays with its machine is not blocked by a budget', () => {
  assert.equal(findBlocked([pod('a', { owner: 'DaemonSet' })], [budget(0, 1, 1)]), [])
})

/** The node that a list of pods is limited to; else the pod's own. */
const nodeIn = (path: string, { spec }: PodObject): string =>
  /nodeName%3D(.+)$/.exec(path)?.[1] ?? spec?.nodeName ?? ''

type Refusals = Readonly<Record<string, number>>

/** An API whose pods terminate when evicted, after the given number of refusals. */
function api(pods: PodObject[], refusals: Refusals = {}, nodes: readonly NodeObject[] = []) {
  const left: Record<string, number> = { ...refusals }
  const evicted: string[] = []
  const context = {
    cluster: testCluster(),
    log: silentLog,
    kubernetes: kubernetesOver(async ({ method, path }) => {
      if (method === 'GET')
        return JSON.stringify({
          items: path.includes('budgets')
            ? [budget(0, 1, 1)]
            : path.includes('/pods')
              ? pods.filter((one) => one.spec?.nodeName === nodeIn(path, one))
              : nodes,
        })
      const name = path.split('/').at(-2) ?? ''
      evicted.push(name)
      const more = left[name] ?? 0
      left[name] = more - 1
      if (more > 0) throw new ApiRefusal(429, 'Cannot evict pod as it would violate the budget')
      pods.splice(
        pods.findIndex(({ metadata }) => metadata.name === name),
        1,
      )
      return '{}'
    }),
  } as unknown as UpgradeContext
  const [node] = context.cluster.workers
  assert.ok(node)
  return { context, evicted, node }
}

test('pods to move are evicted once each, and the others are left alone', async () => {
  const pods = [pod('a', { owner: 'ReplicaSet' }), pod('b', { owner: 'DaemonSet' }), pod('c')]
  const { context, evicted, node } = api(pods)
  await evictPods(context, node)
  assert.equal(evicted, ['a'])
  assert.is(pods.length, 2)
})

test('pods are evicted, which respects their budgets, and never deleted', async () => {
  const { context, node } = api([pod('a', { owner: 'ReplicaSet' })])
  const sent: unknown[] = []
  const { kubernetes } = context
  const recording = kubernetesOver((request, ...more) => {
    if (request.method !== 'GET') sent.push(request)
    return kubernetes.ask(request, ...more)
  })
  await evictPods({ ...context, kubernetes: recording }, node)
  assert.equal(sent, [
    {
      method: 'POST',
      path: '/api/v1/namespaces/apps/pods/a/eviction',
      body: {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: 'a', namespace: 'apps' },
      },
    },
  ])
})

test('a pod whose budget is met later is evicted then', async () => {
  const { context, evicted, node } = api([pod('a', { owner: 'ReplicaSet' })], { a: 2 })
  await evictPods(context, node)
  assert.equal(evicted, ['a', 'a', 'a'])
})

test('a pod that is never evicted is named with its reason', async () => {
  const { context, node } = api([pod('a', { owner: 'ReplicaSet' })], { a: 1000 })
  const problem = await problemOf(evictPods(context, node, { withinMs: 3100 }))
  assert.is(problem.code, 'DRAIN_INCOMPLETE')
  assert.is(problem.because, 'apps/a: Cannot evict pod as it would violate the budget')
})

test('a terminating pod is not evicted again', async () => {
  const { context, evicted, node } = api([pod('a', { owner: 'ReplicaSet', leaving: true })])
  const problem = await problemOf(evictPods(context, node, { withinMs: 3100 }))
  assert.is(problem.because, 'apps/a is terminating')
  assert.equal(evicted, [])
})

test('a blocked pod is warned of where its machine restarts, and nowhere else', async () => {
  const { context, node } = api([pod('a', { owner: 'ReplicaSet' })])
  const warnings: string[] = []
  const log = { ...silentLog, warn: (text: string) => void warnings.push(text) }
  await warnOfBlocked({ ...context, log }, context.cluster.controlPlanes)
  assert.equal(warnings, [])
  await warnOfBlocked({ ...context, log }, [node])
  assert.is(warnings.length, 1)
  assert.match(
    warnings[0] ?? '',
    'apps/a blocks the drain of its machine: PodDisruptionBudget keep',
  )
})

test('pods are found on a machine that has registered under another name', async () => {
  const on = { ...pod('a', { owner: 'ReplicaSet' }), spec: { nodeName: 'alpha', containers: [] } }
  const { context, evicted, node } = api([on], {}, [
    {
      metadata: { name: 'alpha' },
      status: { addresses: [{ type: 'InternalIP', address: '10.0.0.80' }] },
    },
  ])
  await evictPods(context, node)
  assert.equal(evicted, ['a'])
})

const operated: [string, PodObject, BudgetObject][] = [
  ['CloudNativePG', pod('pg-1', { owner: 'Cluster' }), budget(0, 1, 1)],
  ['Longhorn', pod('instance-manager', { owner: 'InstanceManager' }), budget(0, 1, 1)],
  ['KubeVirt', pod('virt-launcher', { owner: 'VirtualMachineInstance' }), budget(0, 1, 1)],
  [
    'Rook, which owns the budget',
    pod('osd', { owner: 'ReplicaSet' }),
    budget(0, 1, 1, {
      metadata: {
        ...{ name: 'keep', namespace: 'apps' },
        ownerReferences: [{ kind: 'CephCluster', controller: true }],
      },
    }),
  ],
]
for (const [operator, one, kept] of operated)
  test(`a budget that its operator lifts after the cordon does not block: ${operator}`, () => {
    assert.equal(findBlocked([one], [kept]), [])
  })

test('a drain goes on as long as a pod leaves within the limit, and ends when none does', async () => {
  const names = ['a', 'b', 'c', 'd']
  const pods = () => names.map((name) => pod(name, { owner: 'Cluster' }))
  const slow = api(pods(), { a: 2, b: 4, c: 6, d: 8 })
  await evictPods(slow.context, slow.node, { withinMs: 4000 })
  const stuck = api(pods(), { a: 2, b: 4, c: 1000, d: 1000 })
  const problem = await problemOf(evictPods(stuck.context, stuck.node, { withinMs: 4000 }))
  assert.is(problem.code, 'DRAIN_INCOMPLETE')
  assert.match(problem.because ?? '', 'apps/c: Cannot evict')
})

test('a pod that is recreated on the machine again and again does not keep a drain alive', async () => {
  let count = 0
  const { context, node } = api([])
  const kubernetes = kubernetesOver(async ({ method, path }) => {
    const items = path.includes('/pods') ? [pod(`a${count++}`, { owner: 'ReplicaSet' })] : []
    return JSON.stringify(method === 'GET' ? { items } : {})
  })
  const problem = await problemOf(evictPods({ ...context, kubernetes }, node, { withinMs: 3100 }))
  assert.is(problem.code, 'DRAIN_INCOMPLETE')
})

test.run()
