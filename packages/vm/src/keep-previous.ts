/** After a previous version was chosen in the boot menu: waits for it, and makes it the version that stays. */
import {
  bootFailure,
  commandFor,
  consoleSince,
  lastBoot,
  minute,
  plainLines,
  Problem,
  reasonOf,
  Unrecoverable,
  waitFor,
  type Cluster,
  type Host,
  type Log,
  type Node,
} from '@talosmith/core'
import { judgeEtcd, observeEtcdFacts } from '@talosmith/clients/etcd'
import {
  probe,
  readBootEntries,
  readBootId,
  readRunning,
  talosReason,
  unreachableBecause,
  type Talosctl,
} from '@talosmith/clients/talos'
import { entryVersion, type MenuEntry } from './boot-menu.ts'

/** What keeping a version uses. */
export interface KeepContext {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly talosCa: string
  readonly log: Log
}

/** What booting one uses. */
export interface PreviousContext extends KeepContext {
  readonly host: Host
}

/** The command that makes the other version of a machine the default one, and boots it. */
export function rollbackCommand({ generated }: Cluster, address: string): string {
  return `talosctl --talosconfig ${generated}/talosconfig -n ${address} -e ${address} rollback`
}

/** etcd catches up within a minute or two after its member is back. */
const etcdSettleMs = 5 * minute

/**
 * Waits until the machine answers with the chosen version. Throws PREVIOUS_NOT_BOOTED when that one fails too, or another
 * one has booted; `size` is that of its console log before the reset.
 */
export async function waitForPrevious(
  { cluster, talosctl, talosCa, log, host }: PreviousContext,
  node: Node,
  entry: MenuEntry,
  size: number,
): Promise<void> {
  const { name, address } = node
  const wanted = entryVersion(entry)
  await waitFor(
    `${name} to boot ${entry.title}`,
    async () => {
      const unreachable = unreachableBecause(await probe(address, talosCa))
      if (unreachable !== undefined) {
        const failure = bootFailure(lastBoot(plainLines(await consoleSince(host, name, size))))
        if (failure !== undefined && failure.kind !== 'reverts')
          throw new Unrecoverable(failure.line.trim())
        throw new Error(unreachable)
      }
      const { talosVersion } = await readRunning(node, talosctl).catch((error: unknown) => {
        throw new Error(talosReason(error))
      })
      if (talosVersion !== wanted) throw new Unrecoverable(`it runs ${talosVersion}`)
    },
    { log, withinMs: cluster.settings.HEALTH_TIMEOUT * 1000 },
  ).catch((error: unknown) => {
    if (!(error instanceof Problem)) throw error
    throw new Problem('PREVIOUS_NOT_BOOTED', `${name} did not boot ${entry.title}`, {
      because: error.because ?? error.message,
      now: `${name} was reset, and "${entry.title}" was chosen in its boot menu; its default entry is unchanged`,
      hint: `check its console (virsh console ${name}); a control plane whose versions all fail is recreated with the others by cluster:restore, from a backup`,
    })
  })
}

/**
 * Makes the running version the default one: `talosctl rollback`, which turns the default entry round and restarts the
 * machine (internal/app/machined/internal/server/v1alpha1/v1alpha1_server.go, Rollback). A control plane waits for a
 * healthy etcd first, as before every restart. Throws PREVIOUS_NOT_KEPT with the command that remains; also for an old
 * Talos that turns the default away from the entry that was selected (sdboot.go, revert; later from LoaderEntryDefault).
 */
export async function keepPrevious(
  { cluster, talosctl, talosCa, log }: KeepContext,
  node: Node,
  { actsWithinMs = 2 * minute } = {},
): Promise<void> {
  const { name, address } = node
  const notKept = `${name} runs its previous version, but only until its next cold start`
  const report = (error: unknown): Promise<never> => {
    const because = error instanceof Problem ? error.because : undefined
    throw new Problem('PREVIOUS_NOT_KEPT', notKept, {
      because: because ?? talosReason(error) ?? reasonOf(error),
      now: `its boot entry of the new version is still the default one`,
      hint: `once etcd is healthy, run: ${rollbackCommand(cluster, address)}
once: it turns the default entry round, so a second one brings the new version back`,
    })
  }
  if (node.role === 'controlplane')
    await waitFor(
      `etcd to be healthy before ${name} restarts`,
      async () => {
        const etcd = await observeEtcdFacts(cluster, talosctl, { talosCa })
        const [problem] = judgeEtcd(cluster, etcd)
        if (problem !== undefined) throw new Error(`${problem.who} ${problem.why}`)
        if (etcd.members.length === 2)
          throw new Unrecoverable('of two members etcd loses its quorum with either')
      },
      { log, withinMs: etcdSettleMs, everyMs: 4000 },
    ).catch(report)
  const before = await readBootId(node, talosctl).catch(report)
  // Its answer may be lost after it has acted, and a second one would turn the default back: the restart decides.
  let failure: unknown
  await talosctl.ask([address], ['rollback'], { timeoutMs: minute }).catch((error: unknown) => {
    failure = error
  })
  const hint = `check its console (virsh console ${name})`
  const restarts = async (): Promise<boolean> =>
    unreachableBecause(await probe(address, talosCa)) !== undefined ||
    (await readBootId(node, talosctl).catch(() => before)) !== before
  // Down: it has acted, and its boot takes as long as any other.
  if (failure !== undefined)
    await waitFor(
      `${name} to restart, although the answer was lost`,
      async () => {
        if (!(await restarts())) throw new Error('it has not restarted yet')
      },
      { log, withinMs: actsWithinMs, everyMs: 500, hint },
    ).catch(() => report(failure))
  await waitFor(
    `${name} to restart with the version that it keeps`,
    async () => {
      const unreachable = unreachableBecause(await probe(address, talosCa))
      if (unreachable !== undefined) throw new Error(unreachable)
      const boot = await readBootId(node, talosctl).catch((error: unknown) => {
        throw new Error(talosReason(error))
      })
      if (boot === before) throw new Error('it has not restarted yet')
    },
    {
      log,
      withinMs: cluster.settings.HEALTH_TIMEOUT * 1000,
      code: 'NODE_SILENT',
      hint,
    },
  ).catch((error: unknown) => {
    if (failure === undefined) throw error
    return report(failure)
  })
  const entries = await readBootEntries(node, talosctl).catch(() => undefined)
  if (entries !== undefined && entries.default !== entries.selected)
    throw new Problem('PREVIOUS_NOT_KEPT', notKept, {
      because: `its Talos turns away from the entry that runs, not from the default one, which is still ${entries.default}`,
      now: `its boot entry of the new version is still the default one`,
      hint: `do not switch it off; an upgrade to a version that boots replaces that entry: set TALOS_VERSION, then ${commandFor(cluster, 'cluster:upgrade')}`,
    })
}
