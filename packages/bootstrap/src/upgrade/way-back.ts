/** Returns a machine whose new version hangs or panics to its previous one, by its host, and records that version. */
import {
  bootFailure,
  CommandFailed,
  commandFor,
  inStep,
  Problem,
  reasonOf,
  waitFor,
  type BootFailure,
  type Node,
} from '@talosmith/core'
import { nodeOf, type NodeObject } from '@talosmith/clients/kubernetes'
import {
  isRight,
  probe,
  readBootEntries,
  readBootId,
  unreachableBecause,
  type Target,
} from '@talosmith/clients/talos'
import { createBootWatch, readBoots } from '../restart/console.ts'
import { describeRunning } from '../restart/proof.ts'
import { restateProblem } from '../restart/restated.ts'
import { bootStuck, type BootStuck } from '../restart/restart.ts'
import {
  readUpgradeAnnotation,
  type Begun,
  type FailedVersion,
} from '../restart/upgrade-annotation.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'
import { failedVersion } from './failed-version.ts'
import { finishMachine } from './finish-machine.ts'
import { isKept } from './kept.ts'
import { readUnlessShuttingDown, waitForRunning } from './wait-for-running.ts'

/** A machine on its way back. */
interface Returning {
  readonly node: Node
  /** Its version that does not boot. */
  readonly failed: FailedVersion
  /** The version of its kubelet. */
  readonly kubernetes: string
}

/**
 * The problem of a machine that was restarted into a version that never boots, once it runs its previous version again:
 * VERSION_FAILED. Where that is not possible: what was to be thrown, with the reason.
 */
export async function returnToPrevious(
  context: UpgradeContext,
  {
    node,
    target,
    kubernetes,
  }: Pick<Returning, 'node' | 'kubernetes'> & { readonly target: Target },
  stuck: BootStuck,
): Promise<Problem> {
  if (context.previous === undefined) return stuck
  const failed = { version: target.version, schematic: target.schematic, kind: stuck.failure.kind }
  const machine = { node, failed, kubernetes }
  const notBooted = await boot(context, machine, stuck)
  if (notBooted !== undefined) return notBooted
  return keepAndRecord(context, machine, { isKept: false, because: stuck.because })
}

/**
 * Completes the way back of machines that an earlier run had restarted, when it was killed: those that still hang, and
 * those that run their previous version, which may not be the default one yet. Throws what returnToPrevious returns
 * where the way back fails; a version that failed is only recorded.
 */
export async function finishWaysBack(context: UpgradeContext): Promise<void> {
  if (context.previous === undefined) return
  const { cluster, kubernetes } = context
  // Without its API nothing shows which machine an upgrade had restarted.
  const nodes = await kubernetes.list<NodeObject>('/api/v1/nodes').catch(() => [])
  for (const node of cluster.nodes) {
    const object = nodeOf(node, nodes)
    const begun = object && readUpgradeAnnotation(object)
    if (begun?.boot === undefined) continue
    const failure = await waitForAnswer(context, node)
    const { version, schematic } = begun
    const machine = {
      node,
      failed: { version, schematic, kind: failure?.kind },
      kubernetes: object?.status?.nodeInfo?.kubeletVersion ?? '',
    }
    if (failure !== undefined) {
      const problem = await boot(context, machine, await bootStuck(context, node, begun, failure))
      if (problem !== undefined) throw problem
      tell(context, await keepAndRecord(context, machine, { isKept: false }))
      continue
    }
    const back = await observeReturned(context, node, begun)
    if (back === undefined) continue
    const failed = { ...machine.failed, kind: back.kind }
    tell(context, await keepAndRecord(context, { ...machine, failed }, back))
  }
}

/** Whether it stops the upgrade is decided later: the settings may name another version by now. */
function tell({ log }: UpgradeContext, { message, because, now }: Problem): void {
  log.warn(`${message}: ${because}; ${now}`)
}

/** Waits until a machine answers, or its console shows why it never will: that is returned. */
async function waitForAnswer(
  context: UpgradeContext,
  node: Node,
): Promise<BootFailure | undefined> {
  const { cluster, log, secrets } = context
  const readFailure = createBootWatch(context, node)
  return waitFor(
    `${node.name}, which an earlier run restarted, to answer`,
    async () => {
      const unreachable = unreachableBecause(await probe(node.address, secrets.talosCa))
      if (unreachable === undefined) return undefined
      const failure = await readFailure()
      if (failure === undefined || failure.kind === 'reverts') throw new Error(unreachable)
      return failure
    },
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      everyMs: 500,
      code: 'NODE_SILENT',
      hint: `check its console (virsh console ${node.name}); if it hangs: ${commandFor(cluster, 'vm:boot-previous')} --machine ${node.name}`,
    },
  )
}

/** How a machine stands that answers; undefined: no boot menu has returned it to its previous version. */
async function observeReturned(
  context: UpgradeContext,
  node: Node,
  begun: Begun,
): Promise<
  { readonly isKept: boolean | undefined; readonly kind?: BootFailure['kind'] } | undefined
> {
  const { talosctl } = context
  const running = await waitForRunning(context, node, readUnlessShuttingDown)
  const id = await readBootId(node, talosctl).catch(() => begun.boot)
  // It has not restarted yet, or runs what it is to run: the upgrade goes on with it.
  if (id === begun.boot || isRight(running, begun)) return undefined
  const entries = await readBootEntries(node, talosctl).catch(() => undefined)
  const kept = entries && isKept(entries, running, begun)
  const failed = (await readBoots(context, node)).map(bootFailure).findLast((one) => one)
  const kind = failed?.kind === 'reverts' ? undefined : failed?.kind
  // Talos rolls back by itself: then its previous version is the default one, and no console shows another failure.
  if (kind === undefined && kept !== false) return undefined
  return { isKept: kept, ...(kind !== undefined && { kind }) }
}

/** Boots the previous version; returns the problem when that fails. */
async function boot(
  context: UpgradeContext,
  { node }: Returning,
  stuck: BootStuck,
): Promise<Problem | undefined> {
  try {
    await inStep(context.log, `Boot the previous version of ${node.name}`, async () =>
      context.previous?.boot(node),
    )
    return undefined
  } catch (error) {
    if (!(error instanceof Problem || error instanceof CommandFailed)) throw error
    const problem = error instanceof Problem ? error : undefined
    // Of any other one the machine is down as before, and what the user is to do is still right.
    const hasReset = ['BOOT_MENU_UNKNOWN', 'PREVIOUS_NOT_BOOTED'].includes(problem?.code ?? '')
    return new Problem(stuck.code, stuck.message, {
      because: `${stuck.because}\nits previous version was not booted: ${[reasonOf(error), problem?.because].filter(Boolean).join(': ')}`,
      now: hasReset
        ? `${problem?.now}; ${node.name} is cordoned; the remaining machines were not upgraded`
        : stuck.now,
      hint: hasReset ? `${problem?.hint}\n${stuck.hint}` : stuck.hint,
      cause: error,
    })
  }
}

/**
 * Makes the previous version stay, verifies and uncordons the machine, and records the version that failed. Returns the
 * problem that tells of it. `isKept`: undefined when that is not known.
 */
async function keepAndRecord(
  context: UpgradeContext,
  { node, failed, kubernetes }: Returning,
  {
    isKept,
    because,
  }: { readonly isKept: boolean | undefined; readonly because?: string | undefined },
): Promise<Problem> {
  const { log, kubernetes: api, previous } = context
  const { name } = node
  let notKept: Problem | undefined
  if (isKept === false)
    await inStep(log, `Keep the previous version on ${name}`, async () =>
      previous?.keep(node),
    ).catch((error: unknown) => {
      if (!(error instanceof Problem) || error.code !== 'PREVIOUS_NOT_KEPT') throw error
      notKept = error
      log.warn(`${error.message}: ${error.because}; ${error.hint}`)
    })
  const running = await waitForRunning(context, node, readUnlessShuttingDown)
  const target = { version: running.talosVersion, schematic: running.schematic }
  const now = `${name} runs its previous version ${describeRunning(running)} again`
  await finishMachine(context, node, { target, kubernetes, installs: false, failed }).catch(
    (error: unknown) => {
      if (!(error instanceof Problem)) throw error
      throw restateProblem(error, {
        now: `${now}, since it does not boot Talos ${failed.version}; it is still cordoned; the same command continues with it`,
      })
    },
  )
  const stays =
    notKept !== undefined
      ? `but only until its next cold start (${notKept.because})`
      : isKept === undefined
        ? 'and its firmware does not tell whether it keeps it'
        : 'and keeps it'
  const object = nodeOf(node, await api.list<NodeObject>('/api/v1/nodes').catch(() => []))
  return failedVersion(name, failed, {
    on: object?.metadata.name ?? name,
    because,
    now: `${now}, ${stays}; it was verified and uncordoned; machines upgraded before it stay upgraded, the remaining ones were not touched`,
    hint: notKept?.hint,
  })
}
