/** Observes a cluster for a plan. */
import { Problem, reasonOf, type Answer, type Cluster, type Log } from '@talosmith/core'
import { checkKubeconfig, type AccessProblem } from '../secrets/access.ts'
import { planFor } from './configure.ts'
import { observeEtcdState, type EtcdState } from '@talosmith/clients/etcd'
import { observeGeneratedFiles, type ObservedGeneratedFiles } from './generated-files.ts'
import { openKubernetes } from '@talosmith/clients/kubernetes'
import { answer } from '../health/observe-health.ts'
import { observeNodeStates, type ObservedNode } from './observe.ts'
import { refuseForeign, type NodePlan } from './plan.ts'
import { readSecretsUnlessLost } from '../generated/lost-secrets.ts'
import { readSecrets } from '../secrets/secrets.ts'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'

/** The state of a cluster: its generated files and its machines. */
export interface ObservedCluster {
  readonly generated: ObservedGeneratedFiles
  readonly nodes: readonly ObservedNode[]
  /** The plan of each running machine, by name. */
  readonly plans: ReadonlyMap<string, Answer<NodePlan>>
  readonly etcd: Answer<EtcdState>
}

/** Whether the cluster accepts the kubeconfig. */
export interface ObservedAccess {
  readonly kubeconfig: AccessProblem | undefined
  /** Whether the Kubernetes API is ready and accepts the kubeconfig. */
  readonly api: Answer<unknown>
}

/** A machine that is short of processors answers late; one that is off refuses at once, or is not reached in 2.5 s. */
const apiMs = 10_000

/**
 * Looks at generated/, the machines and etcd in parallel: one handshake per machine, three processes in
 * all, and one for each machine whose config differs. Throws SECRETS_LOST, NODE_FOREIGN and what configure throws.
 */
export async function observeCluster(
  cluster: Cluster,
  log: Log,
  tool?: Talosctl,
): Promise<ObservedCluster> {
  const [talosctl, secrets] = await Promise.all([
    tool ?? openTalosctl(cluster),
    readSecretsUnlessLost(cluster),
  ])
  const [generated, nodes, etcd] = await Promise.all([
    observeGeneratedFiles(cluster, talosctl, log),
    observeNodeStates(cluster, talosctl, secrets),
    secrets === undefined
      ? unasked('there are no secrets yet')
      : answer(() => observeEtcdState(cluster, talosctl, secrets)),
  ])
  refuseForeign(nodes, secrets !== undefined)
  const running = nodes.filter(({ state }) => state.kind === 'running')
  const plans = await Promise.all(
    running.map(async (one): Promise<[string, Answer<NodePlan>]> => {
      try {
        return [
          one.node.name,
          { ok: true, value: await planFor(cluster, one, generated, talosctl) },
        ]
      } catch (error) {
        if (error instanceof Problem) throw error
        return [one.node.name, unasked(reasonOf(error) ?? 'no reason given')]
      }
    }),
  )
  return { generated, nodes, etcd, plans: new Map(plans) }
}

/** Checks the kubeconfig, then tries it on the API once. */
export async function observeAccess(cluster: Cluster): Promise<ObservedAccess> {
  const secrets = await readSecrets(cluster)
  const problem = secrets === undefined ? 'missing' : await checkKubeconfig(cluster, secrets)
  if (problem !== undefined && problem !== 'expiring')
    return { kubeconfig: problem, api: unasked(`the kubeconfig is ${problem}`) }
  const api = await answer(async () =>
    (await openKubernetes(cluster)).read('/readyz', { timeoutMs: apiMs }),
  )
  const isRefused = !api.ok && api.status === 401
  return { kubeconfig: isRefused ? 'refused' : problem, api }
}

function unasked(reason: string): Answer<never> {
  return { ok: false, reason }
}
