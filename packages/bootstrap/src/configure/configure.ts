/** bootstrap:configure: secrets and configs, then every machine its own config. */
import {
  applyAll,
  commandFor,
  Unrecoverable,
  waitFor,
  type Cluster,
  type ExitCode,
  type Log,
  type Node,
  type ScriptContext,
} from '@talosmith/core'
import { applyChange } from './apply.ts'
import type { ApplyContext } from './apply-context.ts'
import type { HeldVersion } from '../config/config-update.ts'
import { observeGeneratedFiles, type ObservedGeneratedFiles } from './generated-files.ts'
import { observeNodeStates, previewConfig, type ObservedNode } from './observe.ts'
import {
  planGeneratedFiles,
  planNode,
  planPreviewed,
  refuseForeign,
  type BootstrapChange,
  type NodePlan,
} from './plan.ts'
import { probe, openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import { withWorkFolder } from '../generated/work-folder.ts'

/** What the flows of this part take from a script. */
export type Context = Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'log' | 'dryRun' | 'showPlan'
>

/** Fresh machines answer within seconds on KVM; under emulation several at once take minutes. */
const bootMs = 900_000

/** Secrets and configs at home, then every machine its own config. */
export async function configure(
  { cluster, log, dryRun, showPlan }: Context,
  tool?: Talosctl,
): Promise<ExitCode> {
  const talosctl = tool ?? (await openTalosctl(cluster))
  let home = await observeGeneratedFiles(cluster, talosctl, log)
  const seen = await observeNodeStates(cluster, talosctl, home.secrets)
  refuseForeign(seen, home.secrets !== undefined)
  if (dryRun) {
    const plans = await Promise.all(seen.map((one) => planFor(cluster, one, home, talosctl)))
    tellHeld(cluster, plans, log)
    return showPlan([...planGeneratedFiles(cluster, home), ...changesOf(plans)])
  }
  const atHome = planGeneratedFiles(cluster, home)
  const [first, ...rest] = atHome
  if (first?.kind === 'create-secrets') {
    await applyAll([first], (change) => applyChange(change, { cluster, talosctl, log }), { log })
    home = await observeGeneratedFiles(cluster, talosctl, log)
  }
  const context = {
    cluster,
    talosctl,
    log,
    home,
    ...(home.secrets ? { secrets: home.secrets } : {}),
  }
  await applyAll(
    first?.kind === 'create-secrets' ? rest : atHome,
    (change) => applyChange(change, context),
    { log },
  )
  const plans = await configureNodes(context, seen)
  tellHeld(cluster, plans, log)
  if (atHome.length + changesOf(plans).length === 0)
    log.already(`${cluster.nodes.length} machines have their config`)
  return 0
}

/**
 * Brings every machine to its config. Machines that wait for their first one get it side by side, each
 * as soon as it answers; those that run already, one after the other.
 */
async function configureNodes(
  context: ApplyContext & { readonly home: ObservedGeneratedFiles },
  seen: readonly ObservedNode[],
): Promise<NodePlan[]> {
  const { cluster, talosctl, log, home } = context
  const settled = await Promise.allSettled(
    seen.map(async (one) => {
      const answered = one.state.kind === 'silent' ? await waitForAnswer(context, one.node) : one
      const plan = await planFor(cluster, answered, home, talosctl)
      if (plan.change?.kind === 'apply-config')
        await applyAll([plan.change], (change) => applyChange(change, context), { log })
      return plan
    }),
  )
  const plans = settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
  const updates = new Map(
    plans.flatMap(({ change, text }) =>
      change?.kind === 'update-config' && text !== undefined ? [[change.target, text]] : [],
    ),
  )
  await applyAll(
    changesOf(plans).filter(({ kind }) => kind === 'update-config'),
    (change) => applyChange(change, { ...context, updates }),
    { log },
  )
  return plans
}

async function waitForAnswer(
  { cluster, talosctl, log, secrets }: ApplyContext,
  node: Node,
): Promise<ObservedNode> {
  return waitFor(
    `${node.name} to answer`,
    async () => {
      const seen = await probe(node.address, secrets?.talosCa)
      if (seen.kind === 'silent')
        throw seen.isStranger === true ? new Unrecoverable(seen.reason) : new Error(seen.reason)
      const [observed] = await observeNodeStates(cluster, talosctl, secrets, [node])
      if (observed === undefined || observed.state.kind === 'silent')
        throw new Error(observed?.state.kind === 'silent' ? observed.state.reason : 'not observed')
      refuseForeign([observed], secrets !== undefined)
      return observed
    },
    {
      log,
      withinMs: bootMs,
      everyMs: 1000,
      code: 'NODE_SILENT',
      hint: `look whether it runs (${commandFor(cluster, 'vm:status')}) and what its console says (virsh console ${node.name})`,
    },
  )
}

/** What a machine lacks; one that would get another config is asked what that would do to it. */
export async function planFor(
  cluster: Cluster,
  seen: ObservedNode,
  { desired }: Pick<ObservedGeneratedFiles, 'desired'>,
  talosctl: Talosctl,
): Promise<NodePlan> {
  const plan = planNode(cluster, seen, desired?.get(seen.node.name))
  const { change, text } = plan
  if (change?.kind !== 'update-config' || text === undefined) return plan
  const preview = await withWorkFolder(cluster, async (folder) => {
    await folder.write('config.yaml', text)
    return previewConfig(seen.node, folder.path('config.yaml'), talosctl)
  })
  return planPreviewed(plan, seen.node, preview)
}

function changesOf(plans: readonly NodePlan[]): BootstrapChange[] {
  return plans.flatMap(({ change }) => change ?? [])
}

/** Says, once for all machines, which versions stay as they are although the settings ask for others. */
function tellHeld({ nodes }: Cluster, plans: readonly NodePlan[], log: Log): void {
  const machines = new Map<string, number>()
  const describe = ({ what, running, asked }: HeldVersion): string =>
    `${what} ${running} (asked: ${asked})`
  for (const { held } of plans)
    for (const text of new Set(held.map(describe)))
      machines.set(text, (machines.get(text) ?? 0) + 1)
  for (const [text, count] of machines)
    log.warn(
      `${count} of ${nodes.length} machines keep ${text}: running machines are not upgraded here`,
    )
}
