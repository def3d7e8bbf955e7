/** bootstrap:configure: generates secrets and configs, then applies each machine's config. */
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
import { applyBootstrapChange } from './apply.ts'
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
import { findMissing, refuseMissing } from './missing-machines.ts'
import type { Bootstrapper } from './refuse-bootstrap.ts'
import { probe, openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import { refuseMovedAddresses } from '../config/fixed-addresses.ts'
import { refuseLostSecrets } from '../generated/lost-secrets.ts'
import { refuseUnfinished } from '../generated/under-way.ts'
import { createSeedWatch } from './seed-reset.ts'
import { nodesWithoutState, waitForState } from './state-volume.ts'
import { withWorkFolder } from '../generated/work-folder.ts'

/** What bootstrap:configure and bootstrap:start need of a script, or of the flow that they are part of. */
export type Context = Bootstrapper &
  Pick<ScriptContext<Record<never, never>>, 'cluster' | 'log' | 'dryRun' | 'showPlan'> &
  Partial<Pick<ScriptContext<Record<never, never>>, 'hosts'>>

/** Fresh machines answer within seconds on KVM; under emulation several at once take minutes. */
const bootMs = 900_000

/** Generates secrets and configs, then applies each machine's config. Throws MACHINE_MISSING for one that no host has. */
export async function configure(
  { cluster, log, dryRun, showPlan, within, hosts }: Context,
  tool?: Talosctl,
): Promise<ExitCode> {
  const talosctl = tool ?? (await openTalosctl(cluster))
  let generated = await observeGeneratedFiles(cluster, talosctl, log)
  if (generated.secrets === undefined) {
    await refuseUnfinished(cluster, within)
    await refuseLostSecrets(cluster)
  }
  let observed = await observeNodeStates(cluster, talosctl, generated.secrets)
  refuseForeign(observed, generated.secrets !== undefined)
  refuseMovedAddresses(cluster, observed, generated.desired)
  if (dryRun) {
    const plans = await Promise.all(
      observed.map((one) => planFor(cluster, one, generated, talosctl)),
    )
    warnOfHeldVersions(cluster, plans, log)
    return showPlan([...planGeneratedFiles(cluster, generated), ...changesOf(plans)])
  }
  const silent = observed.filter(({ state }) => state.kind === 'silent').map(({ node }) => node)
  refuseMissing(cluster, await findMissing(silent, hosts))
  const missing = planGeneratedFiles(cluster, generated)
  const [first, ...rest] = missing
  if (first?.kind === 'create-secrets') {
    observed = await waitForFreshControlPlanes({ cluster, talosctl, log, hosts }, observed)
    await applyAll([first], (change) => applyBootstrapChange(change, { cluster, talosctl, log }), {
      log,
    })
    generated = await observeGeneratedFiles(cluster, talosctl, log)
  }
  const context = {
    cluster,
    talosctl,
    log,
    hosts,
    generated,
    ...(generated.secrets ? { secrets: generated.secrets } : {}),
  }
  await applyAll(
    first?.kind === 'create-secrets' ? rest : missing,
    (change) => applyBootstrapChange(change, context),
    { log },
  )
  const plans = await configureNodes(context, observed)
  await waitForStates(context, observed)
  warnOfHeldVersions(cluster, plans, log)
  if (missing.length + changesOf(plans).length === 0)
    log.already(`${cluster.nodes.length} machines have their config`)
  return 0
}

/**
 * Applies every machine's config: to machines in maintenance mode in parallel, each as soon as it
 * answers; to running machines one after the other.
 */
async function configureNodes(
  context: ApplyContext & { readonly generated: ObservedGeneratedFiles },
  observed: readonly ObservedNode[],
): Promise<NodePlan[]> {
  const { cluster, talosctl, log, generated } = context
  const settled = await Promise.allSettled(
    observed.map(async (one) => {
      const answered = one.state.kind === 'silent' ? await waitForAnswer(context, one.node) : one
      const plan = await planFor(cluster, answered, generated, talosctl)
      if (plan.change?.kind === 'apply-config')
        await applyAll([plan.change], (change) => applyBootstrapChange(change, context), { log })
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
    (change) => applyBootstrapChange(change, { ...context, updates }),
    { log },
  )
  return plans
}

/** Waits for the machines that an earlier run has configured, and that have not saved their configs. */
async function waitForStates(
  context: ApplyContext,
  observed: readonly ObservedNode[],
): Promise<void> {
  const running = observed.filter(({ state }) => state.kind === 'running').map(({ node }) => node)
  const without = await nodesWithoutState(running, context.talosctl)
  await Promise.all(without.map((node) => waitForState(context, node)))
}

/**
 * Waits until every control plane is in maintenance mode: one that does not answer may have a config, and would
 * not accept new secrets. A machine with a config throws NODE_FOREIGN.
 */
async function waitForFreshControlPlanes(
  context: ApplyContext,
  observed: readonly ObservedNode[],
): Promise<ObservedNode[]> {
  const settled = await Promise.allSettled(
    observed.map(async (one) =>
      one.node.role === 'controlplane' && one.state.kind === 'silent'
        ? waitForAnswer(context, one.node)
        : one,
    ),
  )
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

async function waitForAnswer(
  { cluster, talosctl, log, secrets, hosts }: ApplyContext,
  node: Node,
): Promise<ObservedNode> {
  const seed = createSeedWatch({ cluster, log, hosts }, node)
  return waitFor(
    `${node.name} to answer`,
    async () => {
      const result = await probe(node.address, secrets?.talosCa)
      if (result.kind === 'silent')
        throw result.isStranger === true
          ? new Unrecoverable(result.reason)
          : new Error((await seed.look()) ?? result.reason)
      const [observed] = await observeNodeStates(cluster, talosctl, secrets, [node])
      if (observed === undefined || observed.state.kind === 'silent')
        throw new Error(observed?.state.kind === 'silent' ? observed.state.reason : 'not observed')
      refuseForeign([observed], secrets !== undefined)
      return observed
    },
    {
      log,
      withinMs: bootMs,
      hasMoved: () => seed.hasReset(),
      everyMs: 1000,
      code: 'NODE_SILENT',
      hint: [
        `look whether it runs (${commandFor(cluster, 'vm:status')}) and what its console shows (virsh console ${node.name})`,
        ...(secrets === undefined
          ? [
              `if this cluster was configured from another folder, put its secrets.yaml into ${cluster.generated}`,
            ]
          : []),
      ].join('\n'),
    },
  )
}

/** The plan for one machine; a changed config is first sent to it as a dry run. */
export async function planFor(
  cluster: Cluster,
  observed: ObservedNode,
  { desired }: Pick<ObservedGeneratedFiles, 'desired'>,
  talosctl: Talosctl,
): Promise<NodePlan> {
  refuseMovedAddresses(cluster, [observed], desired)
  const plan = planNode(cluster, observed, desired?.get(observed.node.name))
  const { change, text } = plan
  if (change?.kind !== 'update-config' || text === undefined) return plan
  const preview = await withWorkFolder(cluster, async (folder) => {
    await folder.write('config.yaml', text)
    return previewConfig(observed.node, folder.path('config.yaml'), talosctl)
  })
  return planPreviewed(plan, observed.node, preview)
}

function changesOf(plans: readonly NodePlan[]): BootstrapChange[] {
  return plans.flatMap(({ change }) => change ?? [])
}

/** Warns, once for all machines, about running versions that differ from the settings. */
function warnOfHeldVersions({ nodes }: Cluster, plans: readonly NodePlan[], log: Log): void {
  const machines = new Map<string, number>()
  const describe = ({ what, running, desired }: HeldVersion): string =>
    `${what} ${running} (configured: ${desired})`
  for (const { held } of plans)
    for (const text of new Set(held.map(describe)))
      machines.set(text, (machines.get(text) ?? 0) + 1)
  for (const [text, count] of machines)
    log.warn(
      `${count} of ${nodes.length} machines keep ${text}: running machines are not upgraded here`,
    )
}
