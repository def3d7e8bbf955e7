import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ObservedAccess, ObservedCluster } from '../../src/configure/observe-cluster.ts'
import type { NodeState } from '../../src/configure/observe.ts'
import { planCluster } from '../../src/configure/plan-cluster.ts'
import { planNode, type NodePlan } from '../../src/configure/plan.ts'

const cluster = testCluster({ TALOS_VERSION: 'v1.13.9', KUBERNETES_VERSION: 'v1.36.3' })
const secrets = { talosCa: '', kubernetesCa: '', digest: '' }
const names = cluster.nodes.map(({ name }) => name)
const config = 'machine: {}\n'
const running: NodeState = { kind: 'running', config, talosVersion: 'v1.13.9' }
const silent: NodeState = { kind: 'silent', reason: 'it does not answer' }

type Observed = ObservedCluster & Pick<ObservedAccess, 'kubeconfig'>

/** A finished cluster, with the states of some machines and other things different. */
function observedWith(
  states: Readonly<Record<string, NodeState>> = {},
  more: Partial<Observed> = {},
): Observed {
  const nodes = cluster.nodes.map((node) => ({ node, state: states[node.name] ?? running }))
  return {
    generated: { secrets, desired: new Map(), digest: '', stale: [], talosconfig: undefined },
    nodes,
    plans: new Map(
      nodes.map((one) => [one.node.name, { ok: true, value: planNode(cluster, one, config) }]),
    ),
    etcd: { ok: true, value: 'running' },
    kubeconfig: undefined,
    ...more,
  }
}
const kinds = (observed: Observed, fresh: readonly string[] = []): string[] =>
  planCluster(cluster, observed, new Set(fresh)).changes.map(
    ({ kind, target }) => `${kind} ${target}`,
  )
const unknown = (observed: Observed, fresh: readonly string[] = []): readonly string[] =>
  planCluster(cluster, observed, new Set(fresh)).unknown
const nothingYet = observedWith(Object.fromEntries(names.map((name) => [name, silent])), {
  generated: {
    secrets: undefined,
    desired: undefined,
    digest: '',
    stale: names,
    talosconfig: 'missing',
  },
  etcd: { ok: false, reason: 'there are no secrets yet' },
  kubeconfig: 'missing',
})

test('plans nothing for a finished cluster, and knows all of it', () => {
  const expected = { changes: [], needsUpgrade: false, unknown: [] }
  assert.equal(planCluster(cluster, observedWith(), new Set()), expected)
})

test('plans everything from the settings while there are no machines', () => {
  assert.equal(kinds(nothingYet, names), [
    'create-secrets secrets',
    'write-configs configs',
    'write-talosconfig talosconfig',
    'apply-config home-cp1',
    'apply-config home-w1',
    'apply-config home-w2',
    'bootstrap-etcd home-cp1',
    'write-kubeconfig kubeconfig',
  ])
  assert.equal(unknown(nothingYet, names), [])
})

test('without secrets, a control plane that exists and is silent leaves everything open', () => {
  for (const fresh of [[], ['home-w1', 'home-w2']]) {
    assert.equal(kinds(nothingYet, fresh), [])
    const [reason, ...more] = unknown(nothingYet, fresh)
    assert.match(reason ?? '', /^the secrets: it does not answer.* if home-cp1 is configured/)
    assert.equal(more, [])
  }
})

test('a control plane in maintenance mode gets new secrets, whether workers answer or not', () => {
  const nodes = nothingYet.nodes.map(({ node, state }) => ({
    node,
    state: node.role === 'controlplane' ? ({ kind: 'maintenance' } as const) : state,
  }))
  assert.equal(kinds({ ...nothingYet, nodes }), kinds(nothingYet, names))
})

test('a config patched by hand is shown by its paths, without values', () => {
  const patched: NodeState = { ...running, config: 'machine: { token: leaked }\n' }
  const [change, ...others] = planCluster(
    cluster,
    observedWith({ 'home-w1': patched }),
    new Set(),
  ).changes
  assert.equal(others, [])
  assert.is(change?.kind, 'update-config')
  assert.is(change?.target, 'home-w1')
  assert.is(change?.from, 'other values of machine.token')
  assert.not.match(JSON.stringify(change), 'leaked')
})

test('many differences are counted after the third', () => {
  const patched: NodeState = { ...running, config: 'a: 1\nb: 1\nc: 1\nd: 1\nmachine: {}\n' }
  const { changes } = planCluster(cluster, observedWith({ 'home-w1': patched }), new Set())
  assert.is(changes[0]?.from, 'other values of a, b, c and 1 more')
})

test('of a machine that exists and is silent nothing is claimed', () => {
  const observed = observedWith({ 'home-w1': silent })
  assert.equal(kinds(observed), [])
  assert.equal(unknown(observed), ['the machine config of home-w1: it does not answer'])
})

test('a machine that is still to be recreated gets its config', () => {
  const observed = observedWith({ 'home-w1': silent })
  assert.equal(kinds(observed, ['home-w1']), ['apply-config home-w1'])
  assert.equal(unknown(observed, ['home-w1']), [])
})

test('a machine that would not say what its config would do is not known', () => {
  const observed = observedWith()
  const plans = new Map(observed.plans).set('home-w2', {
    ok: false,
    reason: 'no answer within 20 s',
  })
  assert.equal(unknown({ ...observed, plans }), [
    'the machine config of home-w2: no answer within 20 s',
  ])
})

const lost = { ok: false, reason: 'home-cp1 does not answer' } as const
const etcdRows: [string, Observed, readonly string[], string[], readonly string[]][] = [
  [
    'etcd is bootstrapped where the only control plane waits for its config',
    observedWith({ 'home-cp1': { kind: 'maintenance' } }, { etcd: lost }),
    [],
    ['apply-config home-cp1', 'bootstrap-etcd home-cp1'],
    [],
  ],
  [
    'etcd is bootstrapped where the only control plane is recreated',
    observedWith({ 'home-cp1': silent }, { etcd: lost }),
    ['home-cp1'],
    ['apply-config home-cp1', 'bootstrap-etcd home-cp1'],
    [],
  ],
  [
    'etcd is never bootstrapped while a control plane that may have its data is silent',
    observedWith({ 'home-cp1': silent }, { etcd: lost }),
    [],
    [],
    [
      'the machine config of home-cp1: it does not answer',
      'whether etcd was bootstrapped: home-cp1 does not answer',
    ],
  ],
  [
    'etcd that is stopped is reported, and not bootstrapped',
    observedWith({}, { etcd: { ok: true, value: 'stopped' } }),
    [],
    [],
    ['etcd: it has data, but does not run'],
  ],
]
for (const [title, observed, fresh, expected, notKnown] of etcdRows)
  test(title, () => {
    assert.equal(kinds(observed, fresh), expected)
    assert.equal(unknown(observed, fresh), notKnown)
  })

test('versions that are held need an upgrade, and are no change of their own', () => {
  const kubernetes = { what: 'Kubernetes', running: 'v1.35.0', desired: 'v1.36.3' }
  const planned = (held: NodePlan['held']) =>
    planCluster(
      cluster,
      observedWith(
        {},
        {
          plans: new Map([
            ['home-cp1', { ok: true, value: { change: undefined, text: undefined, held } }],
          ]),
        },
      ),
      new Set(),
    )
  assert.equal(planned([kubernetes]).changes, [])
  assert.ok(planned([kubernetes]).needsUpgrade)
  assert.not(planned([]).needsUpgrade)
})

test.run()
