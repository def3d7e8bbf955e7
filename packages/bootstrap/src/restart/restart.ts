/** Restarts a machine and waits until it has booted again. */
import {
  commandFor,
  minute,
  Problem,
  waitFor,
  withHeartbeat,
  type BootFailure,
  type Node,
} from '@talosmith/core'
import {
  machineProblem,
  readMachineStatus,
  probe,
  unreachableBecause,
  grpcCode,
  talosReason,
  isRight,
  readBootId,
  readNode,
  type NodeFacts,
  type RunningTalos,
  type Target,
} from '@talosmith/clients/talos'
import { consoleTail, createBootWatch } from './console.ts'
import { installFailed, installMs, isTimeout } from './install.ts'
import { describeRunning } from './proof.ts'
import type { GateTools } from './observe-gate.ts'
import type { Begun } from './upgrade-annotation.ts'
import { restateProblem } from './restated.ts'
import { rebootTimeoutMs, type UpgradeContext } from './context.ts'
import semver from 'semver'

/**
 * Restarts a machine and waits until its boot ID has changed or it no longer answers. By default Talos starts the next
 * kernel with kexec, past firmware and boot menu; a `coldStart` goes through both, and so tests the boot entry
 * (v1alpha1_sequencer_tasks.go, KexecPrepare; both flags exist in every supported Talos).
 */
export async function restart(
  { talosctl, log, secrets }: Pick<UpgradeContext, 'talosctl' | 'log'> & Pick<GateTools, 'secrets'>,
  node: Node,
  before: string,
  image: string | undefined,
  { coldStart = false } = {},
): Promise<void> {
  const cold = (flag: string): string[] => (coldStart ? [`${flag}=powercycle`] : [])
  const args =
    image === undefined
      ? ['reboot', '--wait=false', ...cold('--mode')]
      : [
          ...['upgrade', `--image=${image}`, '--wait=false', ...flagsOf(talosctl.version)],
          ...cold('--reboot-mode'),
        ]
  let requested = false
  let unexplained = 0
  await waitFor(
    `${node.name} to restart`,
    async () => {
      const unreachable = unreachableBecause(await probe(node.address, secrets.talosCa))
      if (unreachable !== undefined) {
        if (requested) return
        throw new Error(unreachable)
      }
      // A machine that goes down during the call would keep it open long after it is back.
      const answerMs = requested ? 5000 : undefined
      const boot = await readBootId(node, talosctl, answerMs).catch((error: unknown) => {
        if (requested) return undefined
        throw new Error(talosReason(error))
      })
      if (boot === undefined || boot !== before) return
      if (requested) throw new Error('it is shutting down')
      const limit = image === undefined ? minute : installMs
      await withHeartbeat(
        () => talosctl.ask([node.address], args, { timeoutMs: limit }),
        (seconds) =>
          log.info(
            `   ${node.name} still ${image === undefined ? 'takes the request to restart' : 'pulls its image'} after ${seconds} s`,
          ),
      ).catch((error: unknown) => {
        const code = grpcCode(error)
        // After a broken connection or a timeout, the machine may be shutting down.
        if (code === undefined && !isTimeout(error)) unexplained++
        const isTransient = ['Unavailable', 'FailedPrecondition', undefined].includes(code)
        if (image !== undefined && (!isTransient || unexplained >= 3))
          throw installFailed(node, talosReason(error))
        throw new Error(talosReason(error))
      })
      requested = true
      throw new Error('a restart was requested')
    },
    {
      log,
      withinMs: installMs,
      everyMs: 500,
      code: 'NODE_STAYS_UP',
      hint: `check its console (virsh console ${node.name}), then run the same command again`,
    },
  )
}

/** We drain ourselves: talosctl's drain would leave the machine cordoned when it fails. */
function flagsOf(talosctl: string): string[] {
  return semver.gte(talosctl, '1.13.0-alpha.0') ? ['--drain=false'] : []
}

/**
 * Waits until a machine has rebooted into its target, and returns what it runs. Throws UPGRADE_ROLLED_BACK,
 * with the end of its console log, when Talos rolled back to the previous version.
 */
export async function waitForReboot(
  context: UpgradeContext,
  node: Node,
  before: string,
  target: Target,
): Promise<NodeFacts> {
  const { cluster, talosctl, log, secrets } = context
  const { name, address } = node
  const readFailure = createBootWatch(context, node)
  let hasRestarted = false
  return waitFor(
    `${name} to come back with Talos ${target.version}`,
    async () => {
      const unreachable = unreachableBecause(await probe(address, secrets.talosCa))
      if (unreachable !== undefined) {
        const failure = await readFailure()
        if (failure?.kind === 'reverts')
          throw new Error(`its boot failed, and Talos rolls back: ${failure.line}`)
        if (failure !== undefined) throw await bootStuck(context, node, target, failure)
        throw new Error(unreachable)
      }
      if (!hasRestarted) {
        const boot = await readBootId(node, talosctl).catch((error: unknown) => {
          throw new Error(talosReason(error))
        })
        if (boot === before) throw new Error('it has not restarted yet')
        hasRestarted = true
      }
      // One query per check: do not load a machine that is booting.
      const problem = machineProblem(await readMachineStatus(node, talosctl))
      // Until the boot is complete, Talos may still roll back.
      if (problem !== undefined) throw new Error(`it has restarted, and is ${problem}`)
      const facts = await readNode(node, talosctl)
      if (!isRight(facts, target)) throw await rolledBack(context, node, target, facts)
      return facts
    },
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      everyMs: 500,
      code: 'UPGRADE_UNFINISHED',
      hint: `check its console (virsh console ${name}), then run the same command again: it checks this machine again, and reports UPGRADE_ROLLED_BACK if Talos has rolled back by then. If it hangs: ${commandFor(cluster, 'vm:boot-previous')} --machine ${name}`,
    },
  ).catch(async (error: unknown) => {
    if (!(error instanceof Problem) || error.code !== 'UPGRADE_UNFINISHED') throw error
    if (error.because?.includes(endedWith) === true) throw error
    const state = await readNode(node, talosctl).then(
      (facts) => `it runs ${describeRunning(facts)}`,
      () => 'it does not answer',
    )
    throw restateProblem(error, {
      because: `${error.because}\n${state}, and ${endedWith}\n${await consoleTail(context, node)}`,
    })
  })
}

const endedWith = 'its console ended with'

/** The problem of a machine whose boot has failed in a way that Talos does not recover from. */
export class BootStuck extends Problem {
  readonly failure: BootFailure

  constructor(
    message: string,
    failure: BootFailure,
    details: ConstructorParameters<typeof Problem>[2],
  ) {
    super('UPGRADE_UNFINISHED', message, details)
    this.failure = failure
  }
}

/** How a boot failed that Talos does not recover from, as a sentence. */
export function describeStuck(kind: BootFailure['kind'] | undefined): string {
  if (kind === 'panics') return 'its kernel panicked, which systemd-boot does not revert'
  return kind === 'hangs'
    ? 'Talos failed in its initialize sequence, where it neither rolls back nor reboots'
    : 'its previous version was chosen in the boot menu'
}

/** What to do about a version that does not boot. */
export const setOtherVersion =
  'set TALOS_VERSION, TALOS_EXTENSIONS and TALOS_KERNEL_ARGS to values that boot, and run the same command again'

/** The problem of a machine whose boot has failed so; its text tells the user how to return to the previous version. */
export async function bootStuck(
  context: Pick<UpgradeContext, 'cluster' | 'hosts'>,
  node: Node,
  target: Target,
  failure: BootFailure,
): Promise<BootStuck> {
  const { name } = node
  const back = `boot its previous version: ${commandFor(context.cluster, 'vm:boot-previous')} --machine ${name}`
  return new BootStuck(`${name} does not boot Talos ${target.version}`, failure, {
    because: `${describeStuck(failure.kind)} (${failure.line.trim()}); ${endedWith}\n${await consoleTail(context, node)}`,
    now: `${name} is down and stays down; it is cordoned, and its old version is still on its disk; the remaining machines were not upgraded`,
    hint: `${back}; then ${setOtherVersion}`,
  })
}

/** A machine, what it runs, and the upgrade that an earlier run began. */
export interface BegunMachine {
  readonly node: Node
  readonly running: RunningTalos
  readonly begun: Begun | undefined
}

/**
 * Throws UPGRADE_ROLLED_BACK when an earlier run restarted a machine into `target` and the machine has since
 * booted another version: it rolled back after that run had ended.
 */
export async function refuseRolledBack(
  context: UpgradeContext,
  { node, running, begun }: BegunMachine,
  target: Target,
): Promise<void> {
  if (begun?.boot === undefined || isRight(running, target)) return
  // After a failed version, another one may be tried.
  if (begun.version !== target.version || begun.schematic !== target.schematic) return
  const { cluster, talosctl, log } = context
  const boot = await waitFor(
    `${node.name} to report its boot ID`,
    () =>
      readBootId(node, talosctl).catch((error: unknown) => {
        throw new Error(talosReason(error))
      }),
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      code: 'NODE_SILENT',
      hint: `check its console (virsh console ${node.name}), then run the same command again`,
    },
  )
  if (boot !== begun.boot) throw await rolledBack(context, node, target, running)
}

/** The problem of a machine that booted another version than its target. */
export async function rolledBack(
  context: UpgradeContext,
  node: Node,
  target: Target,
  running: RunningTalos,
): Promise<Problem> {
  return new Problem(
    'UPGRADE_ROLLED_BACK',
    `${node.name} rolled back from Talos ${target.version} to ${describeRunning(running)}`,
    {
      because: `${endedWith}\n${await consoleTail(context, node)}`,
      now: `${node.name} runs its old version; the remaining machines were not upgraded`,
      hint: 'set TALOS_VERSION (or TALOS_EXTENSIONS, TALOS_KERNEL_ARGS) to values that boot, then run the same command again; with unchanged settings it retries the same upgrade',
    },
  )
}
