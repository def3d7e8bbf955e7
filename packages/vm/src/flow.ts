import { applyAll, Problem, type Cluster, type Host, type ScriptContext } from '@talosmith/core'
import { applyChange } from './apply.ts'
import { observeHost, type ObservedHost } from './observe.ts'
import type { VmChange } from './plan.ts'

type Context = Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'hosts' | 'log' | 'dryRun' | 'showPlan'
>

/** Looks at all hosts side by side. */
export async function observeHosts(
  cluster: Cluster,
  hosts: readonly Host[],
): Promise<ObservedHost[]> {
  return Promise.all(hosts.map((host, index) => observeHost(host, cluster, index)))
}

interface FlowOptions {
  /** Several machines side by side; otherwise one after the other. */
  readonly sideBySide: boolean
  readonly nothing: string
  /** Data is lost: CONFIRM must name the cluster. */
  readonly needsConfirm?: boolean
}

/** Observe, plan, apply: what every script of this part does, with another plan. */
export async function runFlow(
  { cluster, hosts, log, dryRun, showPlan }: Context,
  plan: (cluster: Cluster, seen: readonly ObservedHost[]) => VmChange[],
  { sideBySide, nothing, needsConfirm = false }: FlowOptions,
): Promise<0 | 1 | 2 | 64 | 78> {
  const opened = await hosts()
  const seen = await observeHosts(cluster, opened)
  const changes = plan(cluster, seen)
  if (dryRun) return showPlan(changes)
  if (changes.length === 0) log.already(nothing)
  else if (needsConfirm) checkConfirm(cluster, changes)
  await applyAll(changes, (change) => applyChange(change, { cluster, hosts: opened, seen, log }), {
    log,
    atOnce: 4,
    ...(sideBySide ? { parallelBy: ({ target }: VmChange) => target } : {}),
  })
  return 0
}

function checkConfirm({ name, settings }: Cluster, changes: readonly VmChange[]): void {
  const said = process.env['CONFIRM']
  if (said === name) return
  throw new Problem(
    'CONFIRM_MISSING',
    `this would take away ${changes.length} things of cluster ${name} for good`,
    {
      because: changes.map(({ summary }) => summary).join('\n'),
      now: 'nothing was changed',
      hint: `${said === undefined ? '' : `CONFIRM names ${said}; `}CONFIRM=${name} in front of the command says that you mean it (hosts: ${settings.LIBVIRT_URI.length})`,
    },
  )
}
