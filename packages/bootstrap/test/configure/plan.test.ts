import { Problem } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AccessProblem } from '../../src/secrets/access.ts'
import type { NodeState, ObservedNode } from '../../src/configure/observe.ts'
import {
  planGeneratedFiles,
  planNode,
  planPreviewed,
  planStart,
  refuseForeign,
} from '../../src/configure/plan.ts'
import type { EtcdState } from '@talosmith/clients/etcd'

const cluster = testCluster({ TALOS_VERSION: 'v1.13.9', KUBERNETES_VERSION: 'v1.36.3' })
const [node] = cluster.nodes
if (node === undefined) throw new Error('the test cluster has no machines')
const secrets = { talosCa: '', kubernetesCa: '', digest: '' }
const observed = (state: NodeState): ObservedNode => ({ node, state })
const running = (config: string, talosVersion = 'v1.13.9'): ObservedNode =>
  observed({ kind: 'running', config, talosVersion })
const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof Problem) return error.code
  }
  return 'none'
}

const fileRows: [string, Parameters<typeof planGeneratedFiles>[1], string[]][] = [
  [
    'everything for a new cluster',
    { secrets: undefined, stale: ['home-cp1'], talosconfig: 'missing' },
    ['create-secrets', 'write-configs', 'write-talosconfig'],
  ],
  ['nothing when all is there', { secrets, stale: [], talosconfig: undefined }, []],
  [
    'configs that differ',
    { secrets, stale: ['home-w1'], talosconfig: undefined },
    ['write-configs'],
  ],
  [
    'a talosconfig that expires',
    { secrets, stale: [], talosconfig: 'expiring' },
    ['write-talosconfig'],
  ],
]
for (const [title, generated, kinds] of fileRows)
  test(`of the generated files, it plans ${title}`, () => {
    assert.equal(
      planGeneratedFiles(cluster, generated).map(({ kind }) => kind),
      kinds,
    )
  })

test('a machine in maintenance mode gets its config', () => {
  const { change, text } = planNode(cluster, observed({ kind: 'maintenance' }), 'a: 1\n')
  assert.is(change?.kind, 'apply-config')
  assert.is(change?.target, 'home-cp1')
  assert.is(change?.risk, 'none')
  assert.is(text, 'a: 1\n')
})

test('a machine that does not answer yet is planned with its reason', () => {
  const { change } = planNode(cluster, observed({ kind: 'silent', reason: 'it boots' }), undefined)
  assert.is(change?.from, 'not known: it boots')
})

test('a machine with its config is left alone', () => {
  const plan = planNode(cluster, running('a: 1\n'), 'a: 1\n')
  assert.equal(plan, { change: undefined, text: undefined, held: [] })
})

test('a machine whose config differs is updated', () => {
  const plan = planNode(cluster, running('a: 1\n'), 'a: 2\n')
  assert.is(plan.change?.kind, 'update-config')
  assert.is(plan.text, 'a: 2\n')
})

test('a machine of another patch version is updated, and its version named', () => {
  const plan = planNode(cluster, running('a: 1\n', 'v1.13.8'), 'a: 2\n')
  assert.is(plan.change?.kind, 'update-config')
  assert.equal(plan.held, [{ what: 'Talos', running: 'v1.13.8', desired: 'v1.13.9' }])
})

test('a machine of another minor keeps its whole config: it may not know the new form', () => {
  for (const version of ['v1.12.11', 'v1.14.0']) {
    const plan = planNode(cluster, running('a: 1\n', version), 'a: 2\n')
    assert.is(plan.change, undefined)
    assert.equal(plan.held, [{ what: 'Talos', running: version, desired: 'v1.13.9' }])
  }
})

const update = planNode(cluster, running('a: 1\n'), 'a: 2\n')

test('a machine that reports that it must reboot is planned as a restart', () => {
  const { change } = planPreviewed(update, node, { kind: 'reboot' })
  assert.is(change?.risk, 'restart')
  assert.match(change?.summary ?? '', 'and reboot it')
})

test('a machine that takes a config live is planned without risk', () => {
  assert.is(planPreviewed(update, node, { kind: 'live' }).change?.risk, 'none')
})

test('a machine that sees no difference is left alone', () => {
  assert.is(planPreviewed(update, node, { kind: 'nothing' }).change, undefined)
})

test('a config that the machine would reject stops the run', () => {
  const refuse = () => planPreviewed(update, node, { kind: 'rejected', reason: 'no such disk' })
  assert.is(codeOf(refuse), 'CONFIG_REJECTED')
})

test('machines of another cluster stop the run, all of them named', () => {
  const foreign: NodeState = { kind: 'foreign', reason: 'x' }
  const nodes = cluster.nodes.map((one) => ({ node: one, state: foreign }))
  assert.is(
    codeOf(() => refuseForeign(nodes, true)),
    'NODE_FOREIGN',
  )
  assert.is(
    codeOf(() => refuseForeign([observed({ kind: 'maintenance' })], false)),
    'none',
  )
  assert.throws(() => refuseForeign(nodes, false), /home-cp1 \(10\.0\.0\.70\), home-w1/)
})

const starts: [EtcdState, AccessProblem | undefined, string[]][] = [
  ['none', 'missing', ['bootstrap-etcd', 'write-kubeconfig']],
  ['none', undefined, ['bootstrap-etcd']],
  ['running', 'missing', ['write-kubeconfig']],
  ['running', 'expiring', ['write-kubeconfig']],
  ['running', 'of another CA', ['write-kubeconfig']],
  ['running', 'of another endpoint', ['write-kubeconfig']],
  ['running', undefined, []],
  ['stopped', undefined, []],
  ['stopped', 'missing', ['write-kubeconfig']],
]
for (const [etcd, kubeconfig, kinds] of starts)
  test(`etcd ${etcd}, kubeconfig ${kubeconfig ?? 'good'}: ${kinds.join(', ') || 'nothing'}`, () => {
    const changes = planStart(cluster, { etcd, kubeconfig })
    assert.equal(
      changes.map(({ kind }) => kind),
      kinds,
    )
  })

test('etcd is bootstrapped on the first control plane', () => {
  const three = testCluster({ CONTROL_PLANE_COUNT: '3' })
  assert.is(planStart(three, { etcd: 'none', kubeconfig: undefined })[0]?.target, 'home-cp1')
})

test.run()
