import { testCluster } from '@talosmith/core/testing'
import {
  addressesQuestion,
  answersOf,
  askTalos,
  extensionsQuestion,
  machineStatusQuestion,
  observeTalos,
  varUseQuestion,
  versionQuestion,
  type Probes,
} from '@talosmith/clients/talos'
import { fakeTalosctl, resource, versions, type Reply } from '@talosmith/clients/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const cluster = testCluster({ CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '2' })
const [cp1, , , w1] = cluster.nodes
assert.ok(cp1 && w1)
const questions = { version: versionQuestion, machine: machineStatusQuestion }
const ready = { stage: 'running', status: { ready: true, unmetConditions: null } }

const probed = (...ours: readonly string[]): Probes =>
  new Map(
    cluster.nodes.map(({ name, address }) => [
      name,
      ours.includes(name) ? { kind: 'ours' } : { kind: 'silent', reason: `${address} is off` },
    ]),
  )
const answering = (words: string, nodes: readonly string[]): Reply =>
  words === 'version'
    ? versions(Object.fromEntries(nodes.map((node) => [node, 'v1.13.9'])))
    : nodes.map((node) => resource(node, ready)).join('')

/** Looks at a cluster; the calls with their endpoints. */
async function look(probes: Probes, more: object = {}, reply = answering) {
  const fake = fakeTalosctl(reply)
  const calls: string[] = []
  const talosctl: typeof fake = {
    ...fake,
    ask: (nodes, args, options) => {
      const endpoints = options?.endpoints?.join() ?? ''
      calls.push(`${args.join(' ')} @ ${nodes.join()} through ${endpoints}`)
      return fake.ask(nodes, args, options)
    },
  }
  const options = { talosctl, talosCa: undefined, probes, questions, ...more }
  return { ...(await observeTalos(cluster, options)), calls }
}

test('each question takes one process for all that let us in, through the control planes', async () => {
  const { answers, calls } = await look(probed('home-cp2', 'home-w1', 'home-w2'))
  assert.equal(calls, [
    'version @ 10.0.0.71,10.0.0.80,10.0.0.81 through 10.0.0.71',
    'get machinestatus --output json @ 10.0.0.71,10.0.0.80,10.0.0.81 through 10.0.0.71',
  ])
  assert.equal([...answers.keys()], ['home-cp2', 'home-w1', 'home-w2'])
  assert.equal(answers.get('home-w1')?.version, { ok: true, value: 'v1.13.9' })
  assert.equal(answers.get('home-w1')?.machine, { ok: true, value: ready })
})

test('without a control plane each worker is queried by itself, unless the caller does without', async () => {
  const workers = probed('home-w1', 'home-w2')
  const { calls } = await look(workers)
  assert.is(calls.length, 4)
  assert.ok(calls.includes('version @ 10.0.0.80 through 10.0.0.80'))
  const none = await look(workers, { asksWorkersAlone: false })
  assert.equal(none.calls, [])
  assert.equal(none.answers.get('home-w1')?.version, {
    ok: false,
    reason: 'no control plane answers',
  })
})

test('a machine that is left out has the reason of the call; one that is off, that of its handshake', async () => {
  const observed = await look(probed('home-cp1', 'home-w1'), {}, (words, nodes) =>
    words === 'version'
      ? answering(words, nodes)
      : {
          stdout: resource('10.0.0.70', ready),
          stderr: 'rpc error: code = Unavailable desc = dial timeout',
        },
  )
  const statuses = answersOf(cluster.nodes, observed, 'machine')
  assert.equal(
    [...statuses].map(([name, answer]) => [name, answer.ok ? 'answers' : answer.reason]),
    [
      ['home-cp1', 'answers'],
      ['home-cp2', '10.0.0.71 is off'],
      ['home-cp3', '10.0.0.72 is off'],
      ['home-w1', 'dial timeout'],
      ['home-w2', '10.0.0.81 is off'],
    ],
  )
})

test('a question for control planes is not put to workers', async () => {
  const addresses = { ...addressesQuestion, role: 'controlplane' } as const
  const { calls, answers } = await look(
    probed('home-cp1', 'home-w1'),
    { questions: { addresses } },
    (_, nodes) => nodes.map((node) => resource(node, { address: `${node}/24` })).join(''),
  )
  assert.equal(calls, ['get addresses --output json @ 10.0.0.70 through 10.0.0.70'])
  const of = (name: string) => (answers.get(name) as { addresses: unknown } | undefined)?.addresses
  assert.equal(of('home-cp1'), { ok: true, value: ['10.0.0.70'] })
  assert.equal(of('home-w1'), { ok: false, reason: 'it was not asked' })
})

test('a machine without extensions has none only where the call succeeds', async () => {
  const ask = async (reply: Reply) => {
    const talosctl = fakeTalosctl(() => reply)
    const answers = await askTalos([w1], { extensions: extensionsQuestion }, talosctl)
    return answers.get('home-w1')?.extensions
  }
  assert.equal(await ask(''), { ok: true, value: { schematic: undefined, extensions: [] } })
  assert.equal(await ask({ stderr: 'rpc error: code = Unknown desc = not yet' }), {
    ok: false,
    reason: 'not yet',
  })
  const schematic = { metadata: { name: 'schematic', version: 'ab12' } }
  const agent = { metadata: { name: 'qemu-guest-agent', version: '10' } }
  assert.equal(await ask(resource(w1.address, schematic) + resource(w1.address, agent)), {
    ok: true,
    value: { schematic: 'ab12', extensions: ['qemu-guest-agent'] },
  })
})

test('a machine whose table has no /var does not report how full it is', async () => {
  const mounts = `NODE        FILESYSTEM   SIZE(GB)   USED(GB)   MOUNTED ON
10.0.0.70   devtmpfs     0.99       0.00       /dev
`
  const talosctl = fakeTalosctl(() => mounts)
  const answers = await askTalos([cp1], { disk: varUseQuestion }, talosctl)
  assert.is(answers.get('home-cp1')?.disk.ok, false)
})

test.run()
