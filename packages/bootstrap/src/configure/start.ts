/** bootstrap:start: bootstraps etcd once, writes the access files, waits for the Kubernetes API. */
import {
  applyAll,
  commandFor,
  codes,
  Problem,
  reasonOf,
  waitFor,
  type Cluster,
  type ExitCode,
  type Log,
} from '@talosmith/core'
import { checkTalosconfig } from '../secrets/access.ts'
import { applyBootstrapChange } from './apply.ts'
import type { Context } from './configure.ts'
import { observeEtcdState, type EtcdState } from '@talosmith/clients/etcd'
import { NotOurApi, openKubernetes } from '@talosmith/clients/kubernetes'
import {
  machineProblem,
  readMachineStatus,
  openTalosctl,
  type Talosctl,
} from '@talosmith/clients/talos'
import { observeAccess } from './observe-cluster.ts'
import { planStart, planTalosconfig, type BootstrapChange } from './plan.ts'
import { refuseBootstrap } from './refuse-bootstrap.ts'
import { readSecretsUnlessLost } from '../generated/lost-secrets.ts'
import type { PublicSecrets } from '../secrets/secrets.ts'

const knowMs = 600_000
const apiMs = 900_000

/**
 * Bootstraps etcd once, writes the access files, and waits until the Kubernetes API accepts them. Where the
 * cluster has run before, an empty etcd has to be confirmed (ETCD_LOST).
 */
export async function startCluster(context: Context, tool?: Talosctl): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = context
  const talosctl = tool ?? (await openTalosctl(cluster))
  const secrets = await readSecretsUnlessLost(cluster)
  if (secrets === undefined)
    throw new Problem('NOT_CONFIGURED', `cluster ${cluster.name} has no secrets yet`, {
      now: 'nothing was changed',
      hint: commandFor(cluster, 'bootstrap:configure'),
    })
  const apply = (change: BootstrapChange): Promise<void> =>
    applyBootstrapChange(change, { cluster, talosctl, log, secrets })
  const problem = await checkTalosconfig(cluster, secrets)
  const access = problem === undefined ? [] : [planTalosconfig(problem)]
  if (!dryRun) await applyAll(access, apply, { log })
  // Without a talosconfig no machine answers.
  if (dryRun && problem !== undefined) return showPlan(access)
  const { kubeconfig, api } = await observeAccess(cluster)
  // The API is ready only when etcd is.
  const etcd = api.ok ? 'running' : await waitForEtcdState(cluster, talosctl, secrets, log, dryRun)
  const isLoss =
    etcd === 'none' && (await refuseBootstrap(cluster, kubeconfig, context, { talosctl, secrets }))
  const changes = planStart(cluster, { etcd, kubeconfig, isLoss })
  if (dryRun) return showPlan(changes)
  await applyAll(changes, apply, { log })
  if (!api.ok || changes.length > 0) await waitForApi(cluster, talosctl, log)
  if (access.length + changes.length === 0)
    log.already('etcd runs, the access files are valid, the API answers')
  return 0
}

/** Waits until it is known whether etcd ever ran, and until an etcd that did runs again. */
async function waitForEtcdState(
  cluster: Cluster,
  talosctl: Talosctl,
  secrets: PublicSecrets,
  log: Log,
  dryRun: boolean,
): Promise<EtcdState> {
  return waitFor(
    'the control planes to report whether etcd was bootstrapped',
    async () => {
      const state = await observeEtcdState(cluster, talosctl, secrets)
      if (state === 'stopped' && !dryRun)
        throw new Error('a control plane has etcd data, but etcd does not run (yet)')
      return state
    },
    {
      log,
      withinMs: dryRun ? 0 : knowMs,
      code: 'ETCD_DOWN',
      hint: `every control plane has to run and to be configured: ${commandFor(cluster, 'bootstrap:configure')}`,
    },
  )
}

/** Waits for the API; until it answers, the status of the first control plane is given as the reason. */
async function waitForApi(cluster: Cluster, talosctl: Talosctl, log: Log): Promise<void> {
  const kubernetes = await openKubernetes(cluster)
  const fact = `the Kubernetes API at ${cluster.endpoint}`
  const hint = `look at etcd and the API server: TALOSCONFIG=${cluster.generated}/talosconfig talosctl service`
  await waitFor(
    fact,
    async () => {
      try {
        await kubernetes.read('/version')
      } catch (error) {
        if (error instanceof NotOurApi)
          throw new Problem(codes.apiNotOurs, `gave up waiting for ${fact}`, { cause: error, hint })
        throw new Error([reasonOf(error), await describeReadiness(cluster, talosctl)].join('; '))
      }
    },
    {
      log,
      withinMs: apiMs,
      everyMs: 4000,
      code: codes.kubernetesUnreachable,
      hint,
    },
  )
}

async function describeReadiness({ controlPlanes }: Cluster, talosctl: Talosctl): Promise<string> {
  const [node] = controlPlanes
  if (node === undefined) return ''
  const { name } = node
  return readMachineStatus(node, talosctl).then(
    (machine) => `${name} is ${machineProblem(machine) ?? 'ready'}`,
    (error: unknown) => `${name} does not report its status: ${reasonOf(error)}`,
  )
}
