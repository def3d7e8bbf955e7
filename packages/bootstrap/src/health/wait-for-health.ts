/** bootstrap:health: waits until a cluster is healthy. */
import {
  generatedFiles,
  notStarted,
  Unrecoverable,
  waitFor,
  type Cluster,
  type Log,
  type ScriptContext,
} from '@talosmith/core'
import { checkKubeconfig, checkTalosconfig } from '../secrets/access.ts'
import { isUnrecoverable, judgeHealth, type Condition, type HealthFacts } from './health.ts'
import { isOfFormerBoot, nodeOf, openKubernetes } from '@talosmith/clients/kubernetes'
import { observeHealth } from './observe-health.ts'
import { readSecretsUnlessLost } from '../generated/lost-secrets.ts'
import { openTalosctl, readBootId, type Talosctl } from '@talosmith/clients/talos'

/** Waits until every condition of a healthy cluster holds, and logs each once when it is met, its reason until then. */
export async function waitForHealth({
  cluster,
  log,
  json,
  answer,
}: Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'log' | 'json' | 'answer'
>): Promise<void> {
  const files = generatedFiles(cluster)
  const secrets = await readSecretsUnlessLost(cluster)
  if (secrets === undefined) throw notStarted(cluster, 'there are no secrets in generated/')
  const [talos, kube] = [checkTalosconfig(cluster, secrets), checkKubeconfig(cluster, secrets)]
  for (const [name, reason] of [
    ['talosconfig', await talos],
    ['kubeconfig', await kube],
  ] as const)
    if (reason !== undefined && reason !== 'expiring')
      throw notStarted(cluster, `the ${name} is ${reason}`)
  const [talosctl, kubernetes] = await Promise.all([openTalosctl(cluster), openKubernetes(cluster)])
  const observe = () => observeHealth(cluster, talosctl, kubernetes, secrets)
  const confirm = ({ nodes }: HealthFacts) => findFormerBoot(cluster, nodes, talosctl)
  const met = await waitUntilHealthy(cluster, observe, log, { confirm })
  if (json) answer(met.map(({ fact, holds }) => ({ fact, holds })))
  log.info(`   export KUBECONFIG=${files.path('kubeconfig')}`)
}

/** Why what Kubernetes shows of a machine is from before its last boot; undefined: it is not. */
async function findFormerBoot(
  cluster: Cluster,
  nodes: HealthFacts['nodes'],
  talosctl: Talosctl,
): Promise<string | undefined> {
  const stale = await Promise.all(
    cluster.nodes.map(async (node) => {
      const own = nodes.ok ? nodeOf(node, nodes.value) : undefined
      const boot = await readBootId(node, talosctl).catch(() => undefined)
      return own !== undefined && isOfFormerBoot(own, boot)
        ? `${node.name} is shown in Kubernetes as it was before its last boot`
        : undefined
    }),
  )
  return stale.find((reason) => reason !== undefined)
}

/**
 * Looks until every condition holds; throws UNHEALTHY on timeout, or when waiting is pointless. Where one did not hold
 * at first, `confirm` is asked at the end: machines may have just booted.
 */
export async function waitUntilHealthy(
  cluster: Cluster,
  observe: () => Promise<HealthFacts>,
  log: Log,
  {
    now = Date.now,
    confirm = async () => undefined,
  }: {
    readonly now?: () => number
    readonly confirm?: (facts: HealthFacts) => Promise<string | undefined>
  } = {},
): Promise<Condition[]> {
  const held = new Set<string>()
  let finalSince: number | undefined
  let wasUnmet = false
  return waitFor(
    `cluster ${cluster.name} to be healthy`,
    async () => {
      const facts = await observe()
      const conditions = judgeHealth(cluster, facts)
      for (const { fact, holds, reason } of conditions) {
        if (reason !== undefined || held.has(fact)) continue
        held.add(fact)
        log.already(holds)
      }
      const unmet = conditions.filter(({ reason }) => reason !== undefined)
      if (unmet.length === 0) {
        const reason = wasUnmet ? await confirm(facts) : undefined
        if (reason === undefined) return conditions
        throw new Error(reason)
      }
      wasUnmet = true
      const time = now()
      finalSince = unmet.some(({ final }) => final) ? (finalSince ?? time) : undefined
      if (isUnrecoverable(unmet, time - (finalSince ?? time)))
        throw new Unrecoverable(describe(unmet.filter(({ final }) => final)))
      throw new Error(describe(unmet))
    },
    {
      log,
      withinMs: cluster.settings.HEALTH_TIMEOUT * 1000,
      everyMs: 4000,
      code: 'UNHEALTHY',
      hint: `each reason names its machine; TALOSCONFIG=${generatedFiles(cluster).path('talosconfig')} talosctl service -n <address> shows more`,
    },
  )
}

/** The first unmet condition, by name; the others follow from it more often than not. */
function describe(unmet: readonly Condition[]): string {
  const [first] = unmet.filter(({ final }) => !final).concat(unmet)
  return first === undefined ? '' : `${first.fact}: ${first.reason}`
}
