import {
  applyAll,
  generatedFiles,
  Problem,
  waitFor,
  type Cluster,
  type Log,
  type ScriptContext,
} from '@talosmith/core'
import { checkKubeconfig, checkTalosconfig } from './access.ts'
import { applyChange } from './apply.ts'
import { judge } from './health.ts'
import { openKubectl } from './kubectl.ts'
import { areConfigsCurrent, readInputs } from './machine-config.ts'
import { desiredConfig, observeEtcd, observeNode, observeNodes } from './observe.ts'
import { observeHealth } from './observe-health.ts'
import { planConfigs, planConfigure, planStart, type BootstrapChange } from './plan.ts'
import { readSecrets } from './secrets.ts'
import { openTalosctl, type Talosctl } from './talosctl.ts'

type Context = Pick<ScriptContext<Record<never, never>>, 'cluster' | 'log' | 'dryRun' | 'showPlan'>

/** Machines that were just started answer within seconds on KVM; under emulation several at once take minutes. */
const bootMs = 900_000

/** Secrets and configs here, then every machine its config. */
export async function configure({
  cluster,
  log,
  dryRun,
  showPlan,
}: Context): Promise<0 | 1 | 2 | 64 | 78> {
  const talosctl = await openTalosctl(cluster)
  const apply = (change: BootstrapChange): Promise<void> =>
    applyChange(change, { cluster, talosctl, log })
  const atHome = await planAtHome(cluster, talosctl)
  if (dryRun) return showPlan([...atHome, ...planConfigure(await withDesired(cluster, talosctl))])
  await applyAll(atHome, apply, { log })
  await waitForMachines(cluster, talosctl, log)
  const changes = planConfigure(await withDesired(cluster, talosctl))
  await applyAll(changes, apply, {
    log,
    parallelBy: ({ kind, target }) => (kind === 'apply-config' ? target : ''),
  })
  if (atHome.length + changes.length === 0)
    log.already(`${cluster.nodes.length} machines have their config`)
  return 0
}

async function planAtHome(cluster: Cluster, talosctl: Talosctl): Promise<BootstrapChange[]> {
  const secrets = await readSecrets(cluster)
  if (secrets === undefined) return planConfigs(cluster, { secrets: false, configs: false })
  const inputs = await readInputs(cluster, secrets.digest, talosctl.version)
  const isCurrent =
    (await areConfigsCurrent(cluster, inputs)) &&
    (await checkTalosconfig(cluster, secrets)) === undefined
  return planConfigs(cluster, { secrets: true, configs: isCurrent })
}

async function withDesired(cluster: Cluster, talosctl: Talosctl) {
  const nodes = await observeNodes(cluster, talosctl)
  return Promise.all(
    nodes.map(async (one) => ({ ...one, desired: await desiredConfig(cluster, one.node) })),
  )
}

/** Waits until every machine says in which state it is; fresh ones answer in maintenance mode. */
async function waitForMachines(cluster: Cluster, talosctl: Talosctl, log: Log): Promise<void> {
  const isKnown = await generatedFiles(cluster).has('talosconfig')
  const silent = (await observeNodes(cluster, talosctl)).filter(
    ({ state }) => state.kind === 'silent',
  )
  await Promise.all(
    silent.map(({ node }) =>
      waitFor(
        `${node.name} to answer`,
        async () => {
          const state = await observeNode(node, talosctl, isKnown)
          if (state.kind === 'silent') throw new Error(state.reason)
        },
        {
          log,
          withinMs: bootMs,
          everyMs: 3000,
          code: 'NODE_SILENT',
          hint: `npx nx run vm:status; virsh console ${node.name} shows what it does`,
        },
      ),
    ),
  )
}

/** etcd once, then the kubeconfig. */
export async function startCluster({
  cluster,
  log,
  dryRun,
  showPlan,
}: Context): Promise<0 | 1 | 2 | 64 | 78> {
  const talosctl = await openTalosctl(cluster)
  const secrets = await readSecrets(cluster)
  if (secrets === undefined)
    throw new Problem('NOT_CONFIGURED', `cluster ${cluster.name} has no secrets yet`, {
      now: 'nothing was changed',
      hint: 'npx nx run bootstrap:configure',
    })
  const [etcd, kubeconfig] = await Promise.all([
    observeEtcd(cluster, talosctl),
    checkKubeconfig(cluster, secrets),
  ])
  const changes = planStart(cluster, { etcd, kubeconfig })
  if (dryRun) return showPlan(changes)
  await applyAll(changes, (change) => applyChange(change, { cluster, talosctl, log }), { log })
  if (changes.length === 0) log.already('etcd runs, the kubeconfig is good')
  return 0
}

/** Waits until every condition of a healthy cluster holds. */
export async function waitForHealth({
  cluster,
  log,
}: Pick<Context, 'cluster' | 'log'>): Promise<void> {
  const [talosctl, kubectl] = await Promise.all([openTalosctl(cluster), openKubectl(cluster)])
  const held = new Set<string>()
  await waitFor(
    `cluster ${cluster.name} to be healthy`,
    async () => {
      const conditions = judge(cluster, await observeHealth(cluster, talosctl, kubectl))
      for (const { fact, reason } of conditions)
        if (reason === undefined && !held.has(fact)) {
          held.add(fact)
          log.already(
            fact
              .replace(/ to be /, ' is ')
              .replace(/ to have /, ' has ')
              .replace(/ to answer$/, ' answers'),
          )
        } else if (reason !== undefined) held.delete(fact)
      const unmet = conditions.find(({ reason }) => reason !== undefined)
      if (unmet !== undefined) throw new Error(`${unmet.fact}: ${unmet.reason}`)
    },
    {
      log,
      withinMs: cluster.settings.HEALTH_TIMEOUT * 1000,
      everyMs: 3000,
      code: 'UNHEALTHY',
      hint: 'HEALTH_TIMEOUT sets how long to wait; the last reason says where to look',
    },
  )
}
