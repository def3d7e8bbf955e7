/** Restarts a machine and waits until it is back. */
import { Problem, waitFor, type Node } from '@talosmith/core'
import { minute } from '../configure/apply-context.ts'
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
import { consoleTail } from './console.ts'
import { installFailed, installMs, isLate } from './install.ts'
import { describeRunning } from './proof.ts'
import type { GateTools } from './observe-gate.ts'
import type { Begun } from './upgrade-annotation.ts'
import { restated } from './restated.ts'
import { rebootTimeoutMs, type UpgradeContext } from './context.ts'
import semver from 'semver'

/** Restarts a machine, and waits until it has another boot; one that answers no more is on its way. */
export async function restart(
  { talosctl, log, secrets }: Pick<UpgradeContext, 'talosctl' | 'log'> & Pick<GateTools, 'secrets'>,
  node: Node,
  before: string,
  image: string | undefined,
): Promise<void> {
  const args =
    image === undefined
      ? ['reboot', '--wait=false']
      : ['upgrade', `--image=${image}`, '--wait=false', ...flagsOf(talosctl.version)]
  let asked = false
  let unexplained = 0
  await waitFor(
    `${node.name} to restart`,
    async () => {
      const unreachable = unreachableBecause(await probe(node.address, secrets.talosCa))
      if (unreachable !== undefined) {
        if (asked) return
        throw new Error(unreachable)
      }
      // One that goes down in the middle of an answer would be waited for until it is long back.
      const answerMs = asked ? 5000 : undefined
      const boot = await readBootId(node, talosctl, answerMs).catch((error: unknown) => {
        if (asked) return undefined
        throw new Error(talosReason(error))
      })
      if (boot === undefined || boot !== before) return
      if (asked) throw new Error('it is asked to, and shuts down')
      const limit = image === undefined ? minute : installMs
      await talosctl.ask([node.address], args, { timeoutMs: limit }).catch((error: unknown) => {
        const code = grpcCode(error)
        // A connection that breaks off, or our own time limit: the machine may be on its way down.
        if (code === undefined && !isLate(error)) unexplained++
        const isPassing = ['Unavailable', 'FailedPrecondition', undefined].includes(code)
        if (image !== undefined && (!isPassing || unexplained >= 3))
          throw installFailed(node, talosReason(error))
        throw new Error(talosReason(error))
      })
      asked = true
      throw new Error('it is asked to')
    },
    {
      log,
      withinMs: installMs,
      everyMs: 500,
      code: 'NODE_STAYS_UP',
      hint: `look at its console (virsh console ${node.name}), then run the same command again`,
    },
  )
}

/** Draining is ours: talosctl's own would leave the machine cordoned when it fails. */
function flagsOf(talosctl: string): string[] {
  return semver.gte(talosctl, '1.13.0-alpha.0') ? ['--drain=false'] : []
}

/**
 * Waits until a machine is back, in another boot, and has booted what it should; the answer is what it
 * runs. Throws UPGRADE_ROLLED_BACK, with its console's last lines, when Talos went back to the version
 * before.
 */
export async function waitForReboot(
  context: UpgradeContext,
  node: Node,
  before: string,
  target: Target,
): Promise<NodeFacts> {
  const { cluster, talosctl, log, secrets } = context
  const { name, address } = node
  let hasRestarted = false
  return waitFor(
    `${name} to come back with Talos ${target.version}`,
    async () => {
      const unreachable = unreachableBecause(await probe(address, secrets.talosCa))
      if (unreachable !== undefined) throw new Error(unreachable)
      if (!hasRestarted) {
        const boot = await readBootId(node, talosctl).catch((error: unknown) => {
          throw new Error(talosReason(error))
        })
        if (boot === before) throw new Error('it has not restarted yet')
        hasRestarted = true
      }
      // One question a look: a machine that boots has other things to do.
      const fault = machineProblem(await readMachineStatus(node, talosctl))
      // Until its boot has ended, Talos may still go back to the other version.
      if (fault !== undefined) throw new Error(`it has restarted, and is ${fault}`)
      const facts = await readNode(node, talosctl)
      if (!isRight(facts, target)) throw await rolledBack(context, node, target, facts)
      return facts
    },
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      everyMs: 500,
      code: 'UPGRADE_UNFINISHED',
      hint: `look at its console (virsh console ${name}); the same command looks at it again. Talos goes back by itself when its boot does not end within 70 minutes, and the same command says so then`,
    },
  ).catch(async (error: unknown) => {
    if (!(error instanceof Problem) || error.code !== 'UPGRADE_UNFINISHED') throw error
    const runs = await readNode(node, talosctl).then(describeRunning, () => 'nothing that answers')
    throw restated(error, {
      because: `${error.because}\nit runs ${runs}, and its console ended with\n${await consoleTail(context, node)}`,
    })
  })
}

/** A machine, what it runs, and what a run before has begun with it. */
export interface BegunMachine {
  readonly node: Node
  readonly running: RunningTalos
  readonly begun: Begun | undefined
}

/**
 * Throws UPGRADE_ROLLED_BACK when a run before restarted a machine into `target`, and it has booted since
 * without it: nobody looked when it went back.
 */
export async function refuseWentBack(
  context: UpgradeContext,
  { node, running, begun }: BegunMachine,
  target: Target,
): Promise<void> {
  if (begun?.boot === undefined || isRight(running, target)) return
  // Another version may be tried, whatever became of the one before.
  if (begun.version !== target.version || begun.schematic !== target.schematic) return
  const { cluster, talosctl, log } = context
  const boot = await waitFor(
    `${node.name} to say which boot this is`,
    () =>
      readBootId(node, talosctl).catch((error: unknown) => {
        throw new Error(talosReason(error))
      }),
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      code: 'NODE_SILENT',
      hint: `look at its console (virsh console ${node.name}), then run the same command again`,
    },
  )
  if (boot !== begun.boot) throw await rolledBack(context, node, target, running)
}

/** A machine that has booted, and not what it should. */
export async function rolledBack(
  context: UpgradeContext,
  node: Node,
  target: Target,
  running: RunningTalos,
): Promise<Problem> {
  const runs = `it is back with ${describeRunning(running)}`
  return new Problem(
    'UPGRADE_ROLLED_BACK',
    `${node.name} went back from Talos ${target.version}: ${runs}`,
    {
      because: `its console ended with\n${await consoleTail(context, node)}`,
      now: `${node.name} runs its old version; the machines after it were not touched`,
      hint: 'set TALOS_VERSION (or TALOS_EXTENSIONS, TALOS_KERNEL_ARGS) to what boots, then run the same command again; with the same settings it tries the same once more',
    },
  )
}
