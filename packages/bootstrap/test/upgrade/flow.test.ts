// limit: 300 s
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { generatedFiles, Problem, silentLog, type Change, type Cluster } from '@talosmith/core'
import { quicken, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import { listBackups } from '../../src/generated/backups.ts'
import { cordon } from '../../src/restart/cordon.ts'
import { upgradeKubernetes, upgradeTalos } from '../../src/upgrade/flows.ts'
import type { PodObject } from '@talosmith/clients/kubernetes'
import { showMachine, createCa } from '@talosmith/clients/testing'
import { configText, rollBack, installerIn, Simulation, type Kill } from '../support/simulated.ts'
import * as assert from 'uvu/assert'

const test = suite('upgrade')
quicken()
const ca = createCa()
const shown: { stop(): Promise<void> }[] = []
let factory: Server
let address = ''
const requested: string[] = []
/** Called when an installer is requested: after the first observation of machines, before the second. */
let warmed: (() => void) | undefined
/** What the factory answers then: a redirect to the registry that it has pushed to. */
let installerStatus = 307

test.before(async () => {
  for (const last of [70, 71, 72, 80, 81, 82])
    shown.push(await showMachine(`127.13.9.${last}`, { has: ca.issue('/CN=machine'), ca: ca.cert }))
  factory = createServer((request, response) => {
    requested.push(request.url ?? '')
    if (request.url === '/versions')
      response.end(JSON.stringify(['v1.12.11', 'v1.13.8', 'v1.13.9']))
    else if (request.url?.startsWith('/v2/') === true) {
      warmed?.()
      response.writeHead(installerStatus, { location: 'http://127.0.0.1:1/v2/' }).end()
    } else if (request.url === '/version/v1.13.9/extensions/official')
      response.end(JSON.stringify([{ name: 'siderolabs/qemu-guest-agent' }, { name: 'a/new' }]))
    else if (request.url === '/version/v1.12.11/extensions/official')
      response.end(JSON.stringify([{ name: 'siderolabs/qemu-guest-agent' }]))
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
    temporaryFolder('upgrade'),
  )
}

interface Ended {
  readonly problem: Problem | undefined
  readonly shown: readonly Change[]
  /** The log of the run. */
  readonly output: string
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
  const output: string[] = []
  const tell = (text: string): number => output.push(text)
  const log = { ...silentLog, info: tell, warn: tell }
  const script = { cluster, log, dryRun, showPlan, hosts: context.hosts }
  const problem = await flow(script, { ...context, log }).then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : Promise.reject(error)),
  )
  return { problem, shown, output: output.join('\n') }
}

const restarts = ({ changes }: Simulation): string[] =>
  changes.flatMap((change) => /^reboot (\S+)$/.exec(change)?.[1] ?? [])

function assertDone(simulation: Simulation, version = 'v1.13.9'): void {
  for (const machine of simulation.machines) {
    assert.is(machine.version, version)
    assert.is(machine.schematic, simulation.cluster.schematic.id)
    assert.not(machine.cordoned, `${machine.node.name} is cordoned`)
    assert.is(machine.annotation, undefined)
    assert.is(installerIn(machine), simulation.cluster.image.installer)
  }
  assert.equal(simulation.violations, [])
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
  assert.equal(simulation.coldStarts, ['home-cp2'])
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
    requested.includes(
      `/v2/nocloud-installer/${simulation.cluster.schematic.id}/manifests/v1.13.9`,
    ),
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
      'Back up etcd',
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
  assert.equal(simulation.coldStarts, ['home-cp1'])
  assert.equal(simulation.changes.slice(1, 5), [
    'cordon home-cp1',
    'mark home-cp1',
    'upgrade home-cp1',
    'uncordon home-cp1',
  ])
})

const withArguments = (overrides: Record<string, string> = {}): Cluster =>
  described({
    TALOS_KERNEL_ARGS: 'amd_iommu=on mitigations=off',
    CONTROL_PLANE_COUNT: '1',
    ...overrides,
  })

for (const [from, grub, writes] of [
  ['v1.12.11', true, 1],
  ['v1.13.8', true, 1],
  ['v1.13.8', false, 0],
] as const)
  test(`kernel arguments survive an upgrade from ${from} ${grub ? 'with GRUB' : 'with systemd-boot'}`, async () => {
    const simulation = new Simulation(withArguments({ KUBERNETES_VERSION: 'v1.35.0' }), from)
    const machine = simulation.named('home-cp1')
    machine.grub = grub
    const { problem } = await run(simulation)
    assert.is(problem, undefined)
    assertDone(simulation)
    assert.equal(machine.kernelArguments, ['amd_iommu=on', 'mitigations=off'])
    const upgraded = simulation.changes.indexOf('upgrade home-cp1')
    const before = simulation.changes.slice(0, upgraded)
    assert.is(before.filter((change) => change === 'apply-config home-cp1').length, writes)
  })

test('a machine that has lost its kernel arguments ends the upgrade, without their values', async () => {
  const simulation = new Simulation(withArguments(), 'v1.13.8')
  simulation.onChange = () => {
    simulation.named('home-cp1').kernelArguments = ['mitigations=off']
  }
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'UPGRADE_UNPROVEN')
  assert.match(problem?.because ?? '', 'home-cp1 runs without the kernel arguments amd_iommu')
  assert.not.match(problem?.because ?? '', 'amd_iommu=')
})

for (const args of ['amd_iommu=on', ''])
  test(`kernel arguments of a patch that GRUB would lose are named before the machine is upgraded, with "${args}" of ours`, async () => {
    const simulation = new Simulation(withArguments({ TALOS_KERNEL_ARGS: args }), 'v1.13.8')
    const machine = simulation.named('home-cp1')
    machine.grub = true
    machine.config = machine.config.replace('install:', 'install:\n    extraKernelArgs: [secret=1]')
    const { problem } = await run(simulation)
    assert.is(problem?.code, 'KERNEL_ARGS_LOST')
    assert.match(problem?.because ?? '', /secret$/)
    assert.equal(restarts(simulation), [])
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

test('a version that does not boot ends the upgrade after that machine, with its console', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.broken.add('v1.13.9')
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'UPGRADE_ROLLED_BACK')
  assert.match(problem?.message ?? '', 'home-cp2 rolled back from Talos v1.13.9')
  assert.match(problem?.because ?? '', /booting\nkernel panic - not syncing$/)
  assert.equal(restarts(simulation), ['home-cp2'])
  assert.ok(
    simulation.machines.every(({ cordoned, version }) => !cordoned && version === 'v1.13.8'),
  )
  // With a version that boots, the same command continues.
  simulation.broken.clear()
  assert.is((await run(simulation)).problem, undefined)
  assertDone(simulation)
})

test('a version that does not boot is recognized by the run after the one that restarted the machine, too', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.broken.add('v1.13.9')
  const died = new Promise<'killed'>((resolve) => {
    simulation.kill = { at: /^reboot/, when: 'after', died: () => resolve('killed') }
  })
  assert.is(await Promise.race([run(simulation), died]), 'killed')
  assert.equal(restarts(simulation), ['home-cp2'])
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'UPGRADE_ROLLED_BACK')
  assert.equal(restarts(simulation), ['home-cp2'])
  assert.ok(simulation.machines.every(({ cordoned }) => !cordoned))
})

test('a machine that cannot fetch its new version reports the reason, and is neither drained nor restarted', async () => {
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

test('an installation that fails without a code, with the drain before it, leaves the machine uncordoned', async () => {
  const cluster = described({ KUBERNETES_VERSION: 'v1.35.0', CONTROL_PLANE_COUNT: '1' })
  const simulation = new Simulation(cluster, 'v1.12.11')
  simulation.refusal = 'error pulling image'
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'INSTALL_FAILED')
  assert.is(problem?.because, 'error pulling image')
  assert.match(problem?.now ?? '', 'home-cp1 was uncordoned')
  assert.not(simulation.named('home-cp1').cordoned)
  assert.equal(restarts(simulation), [])
})

test('a machine that a killed run has cordoned is uncordoned when the gate is closed', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  Object.assign(simulation.named('home-cp2'), { cordoned: true, annotation: 'v1.13.9' })
  simulation.named('home-w1').cordoned = true
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.match(problem?.now ?? '', 'home-cp2 was uncordoned')
  assert.not(simulation.named('home-cp2').cordoned)
  assert.ok(simulation.named('home-w1').cordoned)
})

test('a stopped member of etcd closes the gate, by name, before anything is changed on a machine', async () => {
  const simulation = new Simulation(described({ HEALTH_TIMEOUT: '5s' }), 'v1.13.8')
  simulation.named('home-cp3').etcdError = 'service etcd is not running'
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

test('a machine that another user cordoned closes the gate at once, and stays cordoned', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  simulation.named('home-w1').cordoned = true
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.match(problem?.because ?? '', 'home-w1: was cordoned by another user or tool')
  assert.ok(simulation.named('home-w1').cordoned)
  assert.equal(restarts(simulation), [])
})

/** A worker with one pod, which its budget wants to stay. */
function keptPod(owner: string): Simulation {
  const simulation = new Simulation(described({ UPGRADE_DRAIN_TIMEOUT: '4s' }), 'v1.13.8')
  simulation.pods.push(pod('db', 'home-w1', owner))
  simulation.budgets.push({
    metadata: { name: 'keep', namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'db' } } },
    status: { disruptionsAllowed: 0, desiredHealthy: 1, expectedPods: 1 },
  })
  return simulation
}

test('a budget that can never be met is named beforehand, and stops the upgrade at its machine', async () => {
  const simulation = keptPod('StatefulSet')
  const { problem, output } = await run(simulation)
  assert.match(output.split('Back up etcd')[0] ?? '', 'default/db blocks the drain of its machine')
  assert.is(problem?.code, 'DRAIN_INCOMPLETE')
  assert.match(problem?.because ?? '', 'default/db: Cannot evict')
  assert.equal(restarts(simulation), ['home-cp2', 'home-cp3', 'home-cp1'])
  assert.not(simulation.named('home-w1').cordoned)
})

test('a budget that an operator lifts after the cordon does not stop an upgrade', async () => {
  const simulation = keptPod('Cluster')
  simulation.lifted.add('keep')
  const { problem, output } = await run(simulation)
  assert.is(problem, undefined)
  assert.not.match(output, 'blocks the drain')
  assertDone(simulation)
})

test('as many workers restart together as the settings allow', async () => {
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

/** A command that succeeds so many times. */
const agreeing = (times: number): string => {
  const path = join(temporaryFolder('gate'), 'asked')
  return `echo >> ${path}; test $(wc -l < ${path}) -le ${times} || { echo 'storage rebuilds' >&2; exit 3; }`
}

test('UPGRADE_GATE_COMMAND runs before every machine; refused, run again, refused again', async () => {
  const simulation = new Simulation(described({ UPGRADE_GATE_COMMAND: agreeing(1) }), 'v1.13.8')
  for (let runs = 0; runs < 3; runs++) {
    const { problem } = await run(simulation)
    assert.is(problem?.code, 'GATE_COMMAND_FAILED')
    assert.is(problem?.because, 'storage rebuilds')
    assert.equal(restarts(simulation), ['home-cp2'])
  }
})

test('UPGRADE_GATE_COMMAND runs between two versions of the path, too', async () => {
  const simulation = new Simulation(
    described({
      UPGRADE_GATE_COMMAND: agreeing(1),
      KUBERNETES_VERSION: 'v1.35.0',
      CONTROL_PLANE_COUNT: '1',
      WORKER_COUNT: '0',
    }),
    'v1.12.9',
  )
  for (let runs = 0; runs < 2; runs++) {
    assert.is((await run(simulation)).problem?.code, 'GATE_COMMAND_FAILED')
    assert.is(simulation.named('home-cp1').version, 'v1.12.11')
  }
})

test('a machine that a killed run has cordoned is uncordoned when UPGRADE_GATE_COMMAND fails', async () => {
  const simulation = new Simulation(described({ UPGRADE_GATE_COMMAND: 'exit 1' }), 'v1.13.8')
  const machine = simulation.named('home-cp2')
  Object.assign(machine, { cordoned: true, annotation: 'v1.13.9' })
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_COMMAND_FAILED')
  assert.match(problem?.now ?? '', 'home-cp2 was uncordoned')
  assert.not(machine.cordoned)
})

test('a machine that rolled back between two runs is recognized, and its version is not installed again', async () => {
  const simulation = new Simulation(described({ HEALTH_TIMEOUT: '5s' }), 'v1.13.8')
  simulation.broken.add('v1.13.9')
  simulation.trialLooks = 1_000_000
  const first = await run(simulation)
  assert.is(first.problem?.code, 'UPGRADE_UNFINISHED')
  assert.match(first.problem?.because ?? '', 'kernel panic')
  const machine = simulation.named('home-cp2')
  rollBack(machine)
  machine.away = 0
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'UPGRADE_ROLLED_BACK')
  assert.match(problem?.now ?? '', 'home-cp2 was uncordoned')
  assert.equal(restarts(simulation), ['home-cp2'])
  assert.not(machine.cordoned)
})

test('after a version that rolled back, another one is installed', async () => {
  const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
  const { id } = simulation.cluster.schematic
  const annotation = `v1.13.7 ${id} boot-before`
  Object.assign(simulation.named('home-cp1'), { cordoned: true, annotation })
  assert.is((await run(simulation)).problem, undefined)
  assertDone(simulation)
})

test('a machine that another user cordons during its installation stays cordoned', async () => {
  const simulation = new Simulation(described(), 'v1.13.8')
  const machine = simulation.named('home-cp2')
  simulation.onChange = (change) => {
    if (change !== 'upgrade home-cp2') return
    machine.cordoned = true
    machine.resourceVersion++
  }
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.match(problem?.because ?? '', 'home-cp2: was cordoned by another user or tool')
  assert.match(problem?.now ?? '', 'its next restart, for any reason, boots Talos v1.13.9')
  assert.ok(machine.cordoned)
  assert.equal(restarts(simulation), [])
})

test('a node that changes while it is cordoned is read again', async () => {
  const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
  const tools = { ...simulation.context({ talosCa: ca.cert }) }
  let lists = 0
  const machine = simulation.named('home-w1')
  const kubernetes = {
    ...tools.kubernetes,
    async list<T>(path: string) {
      const nodes = await tools.kubernetes.list<T>(path)
      if (lists++ === 0) machine.resourceVersion++
      return nodes
    },
  }
  await cordon({ ...tools, kubernetes }, machine.node, { version: 'v1', schematic: 's' }, '')
  assert.equal([lists, machine.cordoned, machine.annotation], [2, true, 'v1 s'])
})

test('a machine that runs its target at the second check still gets its config', async () => {
  const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
  const worker = simulation.named('home-w1')
  Object.assign(worker, { cordoned: true, annotation: 'v1.13.9' })
  warmed = () => {
    worker.version = 'v1.13.9'
  }
  const { problem } = await run(simulation)
  warmed = undefined
  assert.is(problem, undefined)
  assert.equal(restarts(simulation), ['home-cp1'])
  assertDone(simulation)
})

test('a machine config that needs a reboot goes through the same stages: command, gate, drain, verification', async () => {
  const requested = join(temporaryFolder('gate'), 'requested')
  const simulation = new Simulation(
    described({ UPGRADE_GATE_COMMAND: `echo >> ${requested}`, KUBERNETES_VERSION: 'v1.36.3' }),
    'v1.13.9',
  )
  simulation.configReboots = true
  const { problem } = await run(simulation)
  assert.is(problem, undefined)
  assertDone(simulation)
  assert.equal(
    simulation.changes.filter((change) => change.endsWith('home-cp1')),
    [
      'cordon home-cp1',
      'etcd forfeit-leadership home-cp1',
      'apply-config home-cp1',
      'uncordon home-cp1',
    ],
  )
  assert.is(readFileSync(requested, 'utf8').length, 4)
})

test('a machine config that needs a reboot waits for the gate', async () => {
  const simulation = new Simulation(described({ HEALTH_TIMEOUT: '5s' }), 'v1.13.9')
  simulation.configReboots = true
  Object.assign(simulation.named('home-w1'), { cordoned: true })
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'GATE_CLOSED')
  assert.match(problem?.because ?? '', 'home-w1: was cordoned by another user or tool')
  assert.equal(simulation.changes, [])
})

test('of several workers at once, every one is reported as upgraded, failed, or not touched', async () => {
  const simulation = new Simulation(
    described({ CONTROL_PLANE_COUNT: '1', WORKER_COUNT: '3', UPGRADE_WORKERS_AT_ONCE: '2' }),
    'v1.13.8',
  )
  simulation.refusal = 'rpc error: code = NotFound desc = not found'
  simulation.refusing.add('home-w1')
  const { problem, output } = await run(simulation)
  assert.is(problem?.code, 'INSTALL_FAILED')
  assert.match(output, 'upgraded: home-cp1, home-w2; failed: home-w1; not touched: home-w3')
  simulation.refusing.add('home-w3')
  const both = await run(simulation)
  assert.match(both.output, 'failed: home-w1, home-w3; not touched: none')
  assert.match(both.output, 'home-w3: INSTALL_FAILED')
})

test('the whole upgrade path is reported before any change', async () => {
  const simulation = new Simulation(
    described({ KUBERNETES_VERSION: 'v1.35.0', CONTROL_PLANE_COUNT: '1', WORKER_COUNT: '0' }),
    'v1.12.9',
  )
  const { output } = await run(simulation)
  assert.match(output, 'upgrade path: Talos v1.12.11, Talos v1.13.9')
})

for (const [title, hasChannel, code] of [
  ['has no channel', false, 'GUEST_AGENT_CHANNEL_MISSING'],
  ['does not report whether it has a channel', undefined, 'NODE_SILENT'],
] as const)
  test(`a machine that ${title} for the guest agent is not given the agent`, async () => {
    const cluster = described({ TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent' })
    const simulation = new Simulation(cluster, 'v1.13.8')
    simulation.hasChannel = hasChannel
    const { problem } = await run(simulation)
    assert.is(problem?.code, code)
    assert.equal(simulation.changes, [])
  })

test('an extension that a version of the path lacks is refused before anything is changed', async () => {
  const cluster = described({ TALOS_EXTENSIONS: 'a/new', KUBERNETES_VERSION: 'v1.35.0' })
  const simulation = new Simulation(cluster, 'v1.12.9')
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'EXTENSION_NOT_OFFERED')
  assert.match(problem?.message ?? '', 'Talos v1.12.11 has no extension a/new')
  assert.equal(simulation.changes, [])
})

test('a version that the factory lacks is refused for a change of extensions alone, too', async () => {
  const cluster = described({ TALOS_VERSION: 'v1.13.10' })
  const simulation = new Simulation(cluster, 'v1.13.10', 'f'.repeat(64))
  const { problem } = await run(simulation)
  assert.is(problem?.code, 'TALOS_VERSION_NOT_OFFERED')
  assert.match(problem?.hint ?? '', 'set TALOS_VERSION=v1.13.9;')
  assert.equal(simulation.changes, [])
})

test('the installer of every version of the path is built once, before anything is changed', async () => {
  const cluster = described({ KUBERNETES_VERSION: 'v1.35.0', CONTROL_PLANE_COUNT: '1' })
  const simulation = new Simulation(cluster, 'v1.12.9')
  const changes: number[] = []
  const first = requested.length
  warmed = () => void changes.push(simulation.changes.length)
  const { problem } = await run(simulation)
  warmed = undefined
  assert.is(problem, undefined)
  assertDone(simulation)
  assert.equal(changes, [0, 0])
  const { id } = cluster.schematic
  assert.equal(
    requested.slice(first).filter((url) => url.startsWith('/v2/')),
    ['v1.12.11', 'v1.13.9'].map((version) => `/v2/nocloud-installer/${id}/manifests/${version}`),
  )
})

test('an installer that could not be built in advance is a warning, and the upgrade continues', async () => {
  const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
  installerStatus = 404
  const { problem, output } = await run(simulation)
  installerStatus = 307
  assert.is(problem, undefined)
  assertDone(simulation)
  assert.match(output, /installer of Talos v1\.13\.9 was not built in advance: .* answered 404/)
})

test('machines of IMAGE_PATH keep their image: Kubernetes alone is upgraded, without a factory', async () => {
  const cluster = described({
    IMAGE_PATH: '/srv/talos/own.raw',
    KUBERNETES_VERSION: 'v1.36.3',
    TALOS_FACTORY_URL: 'http://127.0.0.1:1',
  })
  const simulation = new Simulation(cluster, 'v1.13.9', 'b'.repeat(64))
  for (const machine of simulation.machines) machine.kubernetes = 'v1.36.0'
  requested.length = 0
  assert.is((await run(simulation)).problem, undefined)
  assert.is((await run(simulation, { flow: upgradeKubernetes })).problem, undefined)
  assert.equal(restarts(simulation), [])
  assert.equal(requested, [])
  assert.ok(simulation.machines.every(({ kubernetes }) => kubernetes === 'v1.36.3'))
})

test('Kubernetes waits for Talos, then goes through a node, and every component is checked', async () => {
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

test('what an upgrade of Kubernetes deletes is reported before it, and forgotten after it', async () => {
  const simulation = behind()
  const files = generatedFiles(simulation.cluster)
  await files.write('configs/made-of.json', '{"inputs":"x","removed":{"cilium.yaml":"y"}}')
  const { problem, output } = await run(simulation, { flow: upgradeKubernetes })
  assert.is(problem, undefined)
  assert.match(output, /cilium\.yaml is gone: .* the next Kubernetes upgrade deletes them/)
  assert.equal(await files.readJson('configs/made-of.json'), { inputs: 'x' })
})

/** A cluster of which only Kubernetes is older. */
function behind(overrides: Record<string, string> = {}): Simulation {
  const simulation = new Simulation(
    described({ CONTROL_PLANE_COUNT: '1', ...overrides }),
    'v1.13.9',
  )
  const { installer } = simulation.cluster.image
  for (const machine of simulation.machines) {
    machine.kubernetes = 'v1.35.0'
    machine.config = configText(simulation.cluster, installer)
  }
  return simulation
}

test("Kubernetes is upgraded through a control plane's own address", async () => {
  const simulation = behind({ CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '127.13.9.60' })
  assert.is((await run(simulation, { flow: upgradeKubernetes })).problem, undefined)
  assert.is(simulation.endpoint, 'https://127.13.9.70:6443')
})

test('the output of talosctl is reported when Kubernetes was not upgraded', async () => {
  const simulation = behind()
  simulation.kubernetesRefusal = 'removed resources: flowschemas'
  const { problem } = await run(simulation, { flow: upgradeKubernetes })
  assert.is(problem?.code, 'KUBERNETES_UPGRADE_FAILED')
})

test('a component that keeps its version is named', async () => {
  const simulation = behind({ HEALTH_TIMEOUT: '2s' })
  simulation.kubernetesStays = true
  const { problem } = await run(simulation, { flow: upgradeKubernetes })
  assert.is(problem?.code, 'KUBERNETES_UNPROVEN')
  assert.match(problem?.because ?? '', 'kubelet on home-cp1 is v1.35.0')
})

test('an API that is in use and removed is in the plan, and Kubernetes is not upgraded', async () => {
  const simulation = behind()
  simulation.metrics =
    'apiserver_requested_deprecated_apis{group="g.io",removed_release="1.36",resource="things",subresource="",version="v1beta1"} 1\n'
  const planned = await run(simulation, { flow: upgradeKubernetes, dryRun: true })
  assert.equal(
    planned.shown.map(({ summary }) => summary),
    ['Back up etcd', 'Upgrade Kubernetes once things.v1beta1.g.io is no longer in use'],
  )
  const { problem } = await run(simulation, { flow: upgradeKubernetes })
  assert.is(problem?.code, 'APIS_REMOVED')
  assert.is(problem?.because, 'things.v1beta1.g.io was removed in 1.36')
  assert.is(simulation.endpoint, undefined)
})

test('a machine that a killed run has annotation does not stop a path that begins with Kubernetes', async () => {
  const cluster = described({ CONTROL_PLANE_COUNT: '1', KUBERNETES_VERSION: 'v1.31.0' })
  const simulation = new Simulation(cluster, 'v1.12.11')
  for (const machine of simulation.machines) machine.kubernetes = 'v1.30.0'
  Object.assign(simulation.named('home-w1'), { cordoned: true, annotation: 'v1.13.9' })
  const { problem } = await run(simulation)
  assert.is(problem, undefined)
  assertDone(simulation)
  assert.ok(simulation.endpoint !== undefined)
})

/** Runs until it is killed; false: it ended by itself. */
async function killed(
  simulation: Simulation,
  kill: Omit<Kill, 'died'>,
  flow = upgradeTalos,
): Promise<boolean> {
  const died = new Promise<'killed'>((resolve) => {
    simulation.kill = { ...kill, died: () => resolve('killed') }
  })
  return (await Promise.race([run(simulation, { flow }), died])) === 'killed'
}

// One control plane and a worker make about a dozen changes: each is a boundary, on both sides.
for (const when of ['before', 'after'] as const)
  test(`a run that is killed right ${when} any of its changes is finished by the next`, async () => {
    let points = 0
    for (let at = 0; ; at++) {
      const simulation = new Simulation(described({ CONTROL_PLANE_COUNT: '1' }), 'v1.13.8')
      if (!(await killed(simulation, { at, when }))) break
      points++
      const { problem } = await run(simulation)
      assert.is(problem, undefined, `killed at ${at}: ${problem?.message} ${problem?.because}`)
      assertDone(simulation)
      assert.is(restarts(simulation).length, 2, `killed at ${at}: ${simulation.changes.join(', ')}`)
    }
    assert.ok(points >= 10, `${points} points`)
  })

for (const questions of [0, 1, 2, 3, 5, 8, 12])
  test(`a run that is killed ${questions} calls after a restart was requested is finished by the next`, async () => {
    const simulation = new Simulation(described(), 'v1.13.8')
    assert.ok(await killed(simulation, { at: /^reboot home-cp3/, when: questions }))
    assert.is((await run(simulation)).problem, undefined)
    assertDone(simulation)
    assert.is(restarts(simulation).length, 4)
  })

for (const when of ['before', 'after'] as const) {
  test(`a run that is killed right ${when} another control plane leads is finished by the next`, async () => {
    const simulation = new Simulation(described(), 'v1.13.8')
    assert.ok(await killed(simulation, { at: /forfeit-leadership/, when }))
    assert.is((await run(simulation)).problem, undefined)
    assertDone(simulation)
    assert.is(restarts(simulation).length, 4)
  })

  test(`a run that is killed right ${when} Kubernetes is upgraded is finished by the next`, async () => {
    const simulation = behind()
    assert.ok(await killed(simulation, { at: /upgrade-k8s/, when }, upgradeKubernetes))
    assert.is((await run(simulation, { flow: upgradeKubernetes })).problem, undefined)
    assert.ok(simulation.machines.every(({ kubernetes }) => kubernetes === 'v1.36.3'))
  })
}

test.run()
