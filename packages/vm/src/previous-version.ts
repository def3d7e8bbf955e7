/** Boots the previous version of a machine that hangs, and keeps it: for vm:boot-previous, and for an upgrade that has restarted it. */
import {
  commandFor,
  consoleSize,
  exitCodes,
  generatedFiles,
  inStep,
  notStarted,
  Problem,
  type Cluster,
  type ExitCode,
  type Node,
} from '@talosmith/core'
import { openTalosctl, talosAuthorities } from '@talosmith/clients/talos'
import { observeHang, planBootPrevious, type BootChange } from './boot-previous.ts'
import { choosePrevious } from './choose-entry.ts'
import { refuse } from './check.ts'
import { observeHosts, type FlowContext } from './flow.ts'
import {
  keepPrevious,
  waitForPrevious,
  type KeepContext,
  type PreviousContext,
} from './keep-previous.ts'
import { checkHosts } from './made-on.ts'
import { strangerProblems } from './ownership.ts'
import { hostOf } from './place.ts'

/** What boots a machine's previous version uses of a script's context. */
type BootContext = Pick<FlowContext, 'cluster' | 'hosts' | 'log'>

/** vm:boot-previous: observe, plan, apply for one machine. */
export async function bootPrevious(
  { cluster, hosts, log, dryRun, showPlan }: Omit<FlowContext, 'confirm'>,
  machine: string | undefined,
): Promise<ExitCode> {
  const node = namedNode(cluster, machine)
  const { context, changes } = await planPrevious({ cluster, hosts, log }, node)
  if (dryRun) return showPlan(changes)
  const [boot, keep] = changes
  await inStep(log, boot?.summary ?? '', () => bootChosen(context, node))
  await inStep(log, keep?.summary ?? '', () => keepPrevious(context, node))
  log.info(
    `${node.name} stays with its previous version. Next: set TALOS_VERSION, TALOS_EXTENSIONS and TALOS_KERNEL_ARGS to values that boot, then ${commandFor(cluster, 'cluster:upgrade')}`,
  )
  return exitCodes.done
}

/**
 * Resets a machine that hangs, chooses its previous version in the boot menu, and waits until that runs. Throws
 * BOOT_PREVIOUS_REFUSED, with nothing changed, for a machine that it is not for; BOOT_MENU_UNKNOWN, PREVIOUS_NOT_BOOTED.
 */
export async function bootPreviousVersion(given: BootContext, node: Node): Promise<void> {
  const { context } = await planPrevious(given, node)
  await bootChosen(context, node)
}

/** Makes the version that was chosen in the boot menu the default one; the machine restarts. Throws PREVIOUS_NOT_KEPT. */
export async function keepPreviousVersion(
  { cluster, log }: Pick<FlowContext, 'cluster' | 'log'>,
  node: Node,
): Promise<void> {
  await keepPrevious(await openTalos({ cluster, log }), node)
}

async function planPrevious(
  { cluster, hosts, log }: BootContext,
  node: Node,
): Promise<{ readonly context: PreviousContext; readonly changes: readonly BootChange[] }> {
  const talos = await openTalos({ cluster, log })
  await checkHosts(cluster)
  const opened = await hosts()
  const observed = await observeHosts(cluster, opened)
  refuse(strangerProblems(cluster, observed))
  const on = hostOf(cluster, node, observed)
  const host = on && opened[on.index]
  if (on === undefined || host === undefined) throw new Error(`no host of ${node.name}`)
  const changes = planBootPrevious(cluster, await observeHang({ cluster, log }, node, on, host))
  return { context: { ...talos, host }, changes }
}

async function openTalos({
  cluster,
  log,
}: Pick<FlowContext, 'cluster' | 'log'>): Promise<KeepContext> {
  const talosctl = await openTalosctl(cluster)
  const [talosCa] = talosAuthorities((await generatedFiles(cluster).read('talosconfig')) ?? '')
  if (talosCa === undefined) throw notStarted(cluster, 'there is no talosconfig in generated/')
  return { cluster, talosctl, talosCa, log }
}

async function bootChosen(context: PreviousContext, node: Node): Promise<void> {
  const { host, log } = context
  const size = await consoleSize(host, node.name)
  const entry = await choosePrevious(host, node.name, log)
  await waitForPrevious(context, node, entry, size)
}

function namedNode(cluster: Cluster, machine: string | undefined): Node {
  const node = cluster.nodes.find(({ name }) => name === machine)
  if (node !== undefined) return node
  const names = cluster.nodes.map(({ name }) => name).join(', ')
  throw new Problem(
    'OPTION_UNKNOWN',
    machine === undefined
      ? 'vm:boot-previous needs a machine'
      : `${cluster.name} has no machine ${machine}`,
    { hint: `--machine is one of: ${names}`, exitCode: exitCodes.wrongOption },
  )
}
