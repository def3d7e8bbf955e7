/** Waits until the gate lets machines go. */
import { generatedFiles, Unrecoverable, local, Problem, waitFor, type Node } from '@talosmith/core'
import { judgeEtcd, observeEtcdFacts } from '@talosmith/clients/etcd'
import { judgeGate, type GateFacts, type GateOptions, type GateReason } from './gate.ts'
import { observeGate } from './observe-gate.ts'
import { rebootTimeoutMs, type UpgradeContext } from './context.ts'

/** A cluster that settles after a restart does so within a minute or two; what does not is not well. */
const settleMs = 120_000

interface PassOptions extends GateOptions {
  readonly withinMs?: number
  /** What was seen just now: the first look. */
  readonly seen?: GateFacts | undefined
}

/** Waits, not for long, until `turn` may be restarted; throws GATE_CLOSED with every reason. */
export async function passGate(
  context: UpgradeContext,
  turn: readonly Node[],
  now: string,
  {
    withinMs = Math.min(settleMs, rebootTimeoutMs(context.cluster)),
    seen,
    ...options
  }: PassOptions = {},
): Promise<GateFacts> {
  const names = turn.map(({ name }) => name).join(', ') || 'the machines'
  let known = seen
  try {
    return await waitFor(
      `${names} to be spared`,
      async () => {
        const facts = known ?? (await observeGate(context))
        known = undefined
        const reasons = judgeGate(context.cluster, facts, turn, options)
        if (reasons.length === 0) return facts
        const text = reasons.map(describe).join('\n')
        throw reasons.some(({ final }) => final) ? new Unrecoverable(text) : new Error(text)
      },
      { log: context.log, withinMs, everyMs: 4000, code: 'GATE_CLOSED' },
    )
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'GATE_CLOSED') throw error
    throw gateClosed(names, error.because, now)
  }
}

function describe({ who, why }: GateReason): string {
  return `${who}: ${why}`
}

/** Why machines may not be restarted now, and what state they are in. */
export function gateClosed(names: string, because: string | undefined, now: string): Problem {
  return new Problem('GATE_CLOSED', `${names} may not be restarted now`, {
    because,
    now,
    hint: 'mend what is named (cordoned: kubectl uncordon <machine>), then run the same command again',
  })
}

/** Throws GATE_CLOSED when every control plane answers and it is etcd that is not well. */
export async function refuseFaultyEtcd(context: UpgradeContext): Promise<void> {
  const { cluster, talosctl, secrets } = context
  const etcd = await observeEtcdFacts(cluster, talosctl, secrets)
  const reasons = etcd.unreachable.size > 0 ? [] : judgeEtcd(cluster, etcd)
  if (reasons.length === 0) return
  throw gateClosed(
    `the machines of ${cluster.name}`,
    reasons.map(describe).join('\n'),
    'nothing was changed',
  )
}

/** Runs the user's own command before machines are restarted; throws GATE_COMMAND_FAILED with what it said. */
export async function passGateCommand(
  { cluster, log }: UpgradeContext,
  next: string,
): Promise<void> {
  const command = cluster.settings.UPGRADE_GATE_COMMAND
  if (command === undefined) return
  const step = log.step(`Run UPGRADE_GATE_COMMAND before ${next}`)
  const files = generatedFiles(cluster)
  const { stdout, stderr, exitCode } = await local.$({
    nothrow: true,
    timeoutMs: 3_600_000,
    onLine: (line) => step.progress(line),
    env: {
      KUBECONFIG: files.path('kubeconfig'),
      TALOSCONFIG: files.path('talosconfig'),
      CLUSTER: cluster.name,
    },
  })`sh -c ${command}`
  if (exitCode === 0) return step.done()
  step.fail()
  throw new Problem('GATE_COMMAND_FAILED', `UPGRADE_GATE_COMMAND ended with ${exitCode}`, {
    because: (stderr.trim() || stdout.trim()).split('\n').slice(-5).join('\n'),
    now: `${next} was not touched`,
    hint: 'when the command agrees, run the same command again: it goes on with that machine',
  })
}
