import { silentLog, type Change } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { byRole, inSteps, runFlow } from '../src/flow.ts'
import { planCreate } from '../src/plan-create.ts'
import { planMachineStart, planMachineStop } from '../src/plan-power.ts'
import type { VmChange } from '../src/vm-change.ts'
import type { ObservedHost } from '../src/observe.ts'
import { domainXml, fakeHost, ownCluster } from './fake-host.ts'
import { finishedHost, pool } from './observed-hosts.ts'

const cluster = testCluster({
  CONTROL_PLANE_COUNT: '3',
  CLUSTER_VIP: '10.0.0.60',
  LIBVIRT_URI: 'qemu:///system,qemu+ssh://root@b/system',
})
const hosts = (state = 'running'): ObservedHost[] =>
  [0, 1].map((index) => {
    const nodes = cluster.nodes.filter(({ host }) => host === index)
    const observed = finishedHost(cluster, { index }, nodes)
    const domains = observed.domains.map((domain) => ({
      ...domain,
      live: { ...domain.live, state },
    }))
    return { ...observed, domains }
  })
const steps = (changes: readonly VmChange[], observed: readonly ObservedHost[]): string[][] =>
  inSteps(changes, (change) => byRole(change, observed)).map((step) =>
    step.map(({ target }) => target).sort(),
  )
const controlPlanes = ['home-cp1', 'home-cp2', 'home-cp3']
const workers = ['home-w1', 'home-w2']

test('all workers are off before any control plane stops', () => {
  const observed = hosts()
  assert.equal(steps(planMachineStop(cluster, observed), observed), [workers, controlPlanes])
})

test('all control planes run before any worker starts', () => {
  const observed = hosts('shut off')
  assert.equal(steps(planMachineStart(cluster, observed), observed), [controlPlanes, workers])
})

test('a worker that is no longer in the settings stops with the workers', () => {
  const observed = hosts()
  const fewer = testCluster({
    CONTROL_PLANE_COUNT: '3',
    CLUSTER_VIP: '10.0.0.60',
    WORKER_COUNT: '0',
  })
  assert.equal(steps(planMachineStop(fewer, observed), observed), [workers, controlPlanes])
})

test('a new machine goes beside those that exist, which stay where they are', async () => {
  const described = ownCluster({
    LIBVIRT_URI: 'qemu+ssh://root@new/system,qemu:///system',
    WORKER_COUNT: '3',
  })
  const there = described.nodes.slice(0, 3).map(({ name }) => name)
  const domains = Object.fromEntries(there.map((name) => [name, domainXml(described, name)]))
  const files = there.map((name) => `disk 2048 - ${pool}/${name}.qcow2`)
  const planned: Change[] = []
  await runFlow(
    {
      cluster: described,
      log: silentLog,
      dryRun: true,
      hosts: async () => [fakeHost(), fakeHost({ domains, files })],
      confirm: () => undefined,
      showPlan: (changes) => (planned.push(...changes), 2),
    },
    { plan: planCreate, nothing: 'nothing' },
  )
  const defined = planned.filter(({ kind }) => kind === 'define-domain')
  assert.equal(
    defined.map((change) => [change.target, (change as VmChange).host]),
    [['home-w3', 0]],
  )
})

test.run()
