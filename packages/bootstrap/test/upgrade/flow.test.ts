import { mkdtempSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem, silentLog, type Change, type Cluster } from '@talosmith/core'
import { quicken, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listBackups } from '../../src/backup/backup.ts'
import { upgradeKubernetes, upgradeTalos } from '../../src/upgrade/flows.ts'
import type { PodObject } from '../../src/upgrade/kubernetes-objects.ts'
import { showMachine } from '../machines.ts'
import { createCa } from '../pki.ts'
import { installerIn, Simulation } from './simulated.ts'

const test = suite('upgrade')
quicken()
const ca = createCa()
const shown: { stop(): Promise<void> }[] = []
let factory: Server
let address = ''
const asked: string[] = []

test.before(async () => {
  for (const last of [70, 71, 72, 80, 81, 82])
    shown.push(await showMachine(`127.13.9.${last}`, { has: ca.issue('/CN=machine'), ca: ca.cert }))
  factory = createServer((request, response) => {
    asked.push(request.url ?? '')
    if (request.url === '/versions')
      response.end(JSON.stringify(['v1.12.11', 'v1.13.8', 'v1.13.9']))
    else if (request.url?.startsWith('/v2/') === true) response.end('{}')
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => factory.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${(factory.address() as AddressInfo).port}`
})
test.after(async () => {
  await Promise.all(shown.map((machine) => machine.stop()))
  factory.close()
})

function described(overrides: Record<string, string> = {}): Cluster {
  return testCluster(
    {
      NETWORK_CIDR: '127.13.9.0/24',
      CONTROL_PLANE_COUNT: '3',
      WORKER_COUNT: '1',
      TALOS_VERSION: 'v1.13.9',
      TALOS_FACTORY_URL: address,
      HEALTH_TIMEOUT: '20s',
      ...overrides,
    },
    mkdtempSync(join(tmpdir(), 'talosmith-upgrade-')),
  )
}

interface Ended {
  readonly problem: Problem | undefined
  readonly shown: readonly Change[]
}

async function run(
  simulation: Simulation,
  { dryRun = false, flow = upgradeTalos } = {},
): Promise<Ended> {
  const { cluster } = simulation
  let shown: readonly Change[] = []
  const showPlan = (changes: readonly Change[]) => {
    shown = changes
    return 2 as const
  }
  const context = simulation.context({ talosCa: ca.cert })
  const script = { cluster, log: silentLog, dryRun, showPlan, hosts: context.hosts }
  const problem = await flow(script, context).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  return { problem, shown }
}

const restarts = ({ changes }: Simulation): string[] =>
  changes.flatMap((change) => /^reboot (\S+)$/.exec(change)?.[1] ?? [])

function assertDone(simulation: Simulation, version = 'v1.13.9'): void {
  for (const machine of simulation.machines) {
    assert.is(machine.version, version)
    assert.is(machine.schematic, simulation.cluster.schematic.id)
    assert.not(machine.cordoned, `${machine.node.name} is cordoned`)
    assert.is(machine.marked, undefined)
    assert.is(installerIn(machine), simulation.cluster.image.installer)
  }
  assert.equal(simulation.faults, [])
}

const pod = (name: string, nodeName: string, owner?: string): PodObject => ({
  metadata: {
    name,
    namespace: 'default',
    labels: { app: name },
    ...(owner === undefined ? {} : { ownerReferences: [{ kind: owner, controller: true }] }),
  },
  spec: { nodeName, containers: [{ image: 'x' }] },
})

test('three control planes and a worker are upgraded one by one, the leader last, after a snapshot', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.pods.push(
    pod('web', 'home-w1', 'ReplicaSet'),
    pod('agent', 'home-w1', 'DaemonSet'),
    pod('alone', 'home-w1'),
  )
  const { problem } = await run(simulation)
  assert.is(problem, undefined)
  assert.equal(restarts(simulation), ['home-cp2', 'home-cp3', 'home-cp1', 'home-w1'])
  assertDone(simulation)
  assert.is(
    simulation.changes[0],
    simulation.changes.find((change) => /snapshot/.test(change)),
  )
  assert.is((await listBackups(simulation.cluster)).length, 1)
  const worker = simulation.changes.filter((change) => /home-w1|evict/.test(change))
  assert.equal(worker, [
    'upgrade home-w1',
    'cordon home-w1',
    'evict web',
    'mark home-w1',
    'reboot home-w1',
    'uncordon home-w1',
    'apply-config home-w1',
  ])
  assert.ok(simulation.changes.indexOf('etcd forfeit-leadership home-cp1') > 0)
  assert.ok(
    asked.includes(`/v2/nocloud-installer/${simulation.cluster.schematic.id}/manifests/v1.13.9`),
  )
  // A second run has nothing to do.
  const before = simulation.changes.length
  assert.is((await run(simulation)).problem, undefined)
  assert.is(simulation.changes.length, before)
})

test('the plan names every restart of every version, in order, and changes nothing', async () => {
  const simulation = new Simulation(
    described({ KUBERNETES_VERSION: 'v1.35.0', CONTROL_PLANE_COUNT: '1' }),
    'v1.12.9',
  )
  const { shown } = await run(simulation, { dryRun: true })
  assert.equal(
    shown.map(({ summary, to }) =>
      `${summary}${to === undefined ? '' : ` ${to.slice(0, 8)}`}`.trim(),
    ),
    [
      'Take a snapshot of etcd',
      'Upgrade Talos on home-cp1 v1.12.11',
      'Upgrade Talos on home-w1 v1.12.11',
      'Upgrade Talos on home-cp1 v1.13.9',
      'Upgrade Talos on home-w1 v1.13.9',
    ].map((line) => line.replace(/( v1\.1[23]\.\d+)$/, (version) => version.slice(0, 9))),
  )
  assert.equal(simulation.changes, [])
})

test('a Talos that cannot install live is upgraded in one call, after its drain', async () => {
  const cluster = described({
    KUBERNETES_VERSION: 'v1.35.0',
    CONTROL_PLANE_COUNT: '1',
    WORKER_COUNT: '0',
  })
  const simulation = new Simulation(cluster, 'v1.12.11')
  assert.is((await run(simulation)).problem, undefined)
  assertDone(simulation)
  assert.equal(simulation.changes.slice(1, 5), [
    'cordon home-cp1',
    'mark home-cp1',
    'upgrade home-cp1',
    'uncordon home-cp1',
  ])
})

test('other extensions alone restart every machine, too', async () => {
  const simulation = new Simulation(
    described({ CONTROL_PLANE_COUNT: '1' }),
    'v1.13.9',
    'f'.repeat(64),
  )
  assert.is((await run(simulation)).problem, undefined)
  assert.equal(restarts(simulation), ['home-cp1', 'home-w1'])
  assertDone(simulation)
})

test('a version that does not come up ends the upgrade after that machine, with its console', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.broken.add('v1.13.9')
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'UPGRADE_ROLLED_BACK')
  assert.match(problem?.message ?? '', 'home-cp2 went back from Talos v1.13.9')
  assert.match(problem?.because ?? '', /booting\nkernel panic - not syncing$/)
  assert.equal(restarts(simulation), ['home-cp2'])
  assert.ok(
    simulation.machines.every(({ cordoned, version }) => !cordoned && version === 'v1.13.8'),
  )
  // With a version that comes up, the same command goes on.
  simulation.broken.clear()
  assert.is((await run(simulation)).problem, undefined)
  assertDone(simulation)
})

test('a version that does not come up is recognised by the run after the one that restarted the machine, too', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.broken.add('v1.13.9')
  const died = new Promise<'killed'>((resolve) => {
    // The snapshot, the installation, the cordon, the note, the restart.
    simulation.kill = { left: 4, after: true, died: () => resolve('killed') }
  })
  assert.is(await Promise.race([run(simulation), died]), 'killed')
  assert.equal(restarts(simulation), ['home-cp2'])
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'UPGRADE_ROLLED_BACK')
  assert.equal(restarts(simulation), ['home-cp2'])
  assert.ok(simulation.machines.every(({ cordoned }) => !cordoned))
})

test('a machine that cannot fetch its new version says why, and is neither drained nor restarted', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.refusal = 'rpc error: code = NotFound desc = nocloud-installer: not found'
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'INSTALL_FAILED')
  assert.match(problem?.because ?? '', 'nocloud-installer: not found')
  assert.equal(
    simulation.changes.filter((change) => !change.startsWith('etcd snapshot')),
    [],
  )
})

test('a stopped member of etcd closes the gate, by name, before anything is changed on a machine', async () => {
  const simulation = new Simulation(described({ HEALTH_TIMEOUT: '5s' }), 'v1.13.8')
  simulation.named('home-cp3').etcdFault = 'service etcd is not running'
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.match(
    problem?.because ?? '',
    'home-cp3: its etcd does not answer: service etcd is not running',
  )
  assert.equal(
    simulation.changes.filter((change) => !change.startsWith('etcd snapshot')),
    [],
  )
})

test('a machine that somebody else cordoned closes the gate at once, and stays cordoned', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.named('home-w1').cordoned = true
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.match(problem?.because ?? '', 'home-w1: was cordoned by somebody else')
  assert.ok(simulation.named('home-w1').cordoned)
  assert.equal(restarts(simulation), [])
})

test('a budget that can never be met is named before anything is changed', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.pods.push(pod('db', 'home-w1', 'StatefulSet'))
  simulation.budgets.push({
    metadata: { name: 'keep', namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'db' } } },
    status: { disruptionsAllowed: 0, desiredHealthy: 1, expectedPods: 1 },
  })
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'DRAIN_IMPOSSIBLE')
  assert.match(problem?.because ?? '', 'default/db: PodDisruptionBudget keep')
  assert.equal(simulation.changes, [])
})

test('workers go together as many as the settings allow', async () => {
  const cluster = described({
    CONTROL_PLANE_COUNT: '1',
    WORKER_COUNT: '3',
    UPGRADE_WORKERS_AT_ONCE: '3',
  })
  const simulation = new Simulation(cluster, 'v1.13.8')
  assert.is((await run(simulation)).problem, undefined)
  assertDone(simulation)
  const first = simulation.changes.findIndex((change) => /^uncordon home-w/.test(change))
  assert.is(
    simulation.changes.slice(0, first).filter((change) => /^reboot home-w/.test(change)).length,
    3,
  )
})

test("the user's own command is asked between machines, and its refusal ends the run there", async () => {
  const simulation = new Simulation(
    described({ UPGRADE_GATE_COMMAND: "echo 'storage rebuilds' >&2; exit 3" }),
    'v1.13.8',
  )
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_COMMAND_FAILED')
  assert.is(problem?.because, 'storage rebuilds')
  assert.equal(restarts(simulation), ['home-cp2'])
})

test('Kubernetes waits for Talos, then goes through a node, and every component is looked at', async () => {
  const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
  for (const machine of simulation.machines) machine.kubernetes = 'v1.35.0'
  const early = await run(simulation, { flow: upgradeKubernetes })
  assert.is(early.problem?.code, 'TALOS_COMES_FIRST')
  assert.equal(simulation.changes, [])
  assert.is((await run(simulation)).problem, undefined)
  assert.is(simulation.named('home-w1').kubernetes, 'v1.35.0')
  assert.is((await run(simulation, { flow: upgradeKubernetes })).problem, undefined)
  assert.ok(simulation.machines.every(({ kubernetes }) => kubernetes === 'v1.36.3'))
  const before = simulation.changes.length
  assert.is((await run(simulation, { flow: upgradeKubernetes })).problem, undefined)
  assert.is(simulation.changes.length, before)
})

// One control plane and a worker make about a dozen changes: each is a boundary, on both sides.
for (const after of [false, true])
  test(`a run that is killed ${after ? 'right after' : 'right before'} any of its changes is finished by the next`, async () => {
    let points = 0
    for (let left = 0; ; left++) {
      const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
      const died = new Promise<'killed'>((resolve) => {
        simulation.kill = { left, after, died: () => resolve('killed') }
      })
      const ended = await Promise.race([run(simulation), died])
      if (ended !== 'killed') break
      points++
      const { problem } = await run(simulation)
      assert.is(problem, undefined, `killed at ${left}: ${problem?.message} ${problem?.because}`)
      assertDone(simulation)
      assert.is(
        restarts(simulation).length,
        2,
        `killed at ${left}: ${simulation.changes.join(', ')}`,
      )
    }
    assert.ok(points >= 10, `${points} points`)
  })

test.run()
