/** Waits until machines can be restarted safely. */
import {
  codes,
  createRedactor,
  directToMachines,
  generatedFiles,
  inStep,
  Unrecoverable,
  local,
  Problem,
  waitFor,
  type Node,
} from '@talosmith/core'
import { judgeEtcd, observeEtcdFacts } from '@talosmith/clients/etcd'
import { secretWords } from '../secrets/secret-values.ts'
import { withWorkFolder } from '../generated/work-folder.ts'
import { judgeGate, type GateFacts, type GateOptions, type GateReason } from './gate.ts'
import { observeGate } from './observe-gate.ts'
import { rebootTimeoutMs, type UpgradeContext } from './context.ts'

/** A healthy cluster settles within a minute or two after a restart. */
const settleMs = 120_000

interface PassOptions extends GateOptions {
  readonly withinMs?: number
  /** Facts observed just now, used for the first check. */
  readonly observed?: GateFacts | undefined
}

/** Waits a short time until `turn` may be restarted. Throws GATE_CLOSED with every reason. */
export async function passGate(
  context: UpgradeContext,
  turn: readonly Node[],
  now: string,
  {
    withinMs = Math.min(settleMs, rebootTimeoutMs(context.cluster)),
    observed,
    ...options
  }: PassOptions = {},
): Promise<GateFacts> {
  const names = turn.map(({ name }) => name).join(', ') || `the machines of ${context.cluster.name}`
  let facts = observed
  try {
    return await waitFor(
      `${names} to be safe to restart`,
      async () => {
        const current = facts ?? (await observeGate(context))
        facts = undefined
        const reasons = judgeGate(context.cluster, current, turn, options)
        if (reasons.length === 0) return current
        const text = reasons.map(describe).join('\n')
        throw reasons.some(({ final }) => final) ? new Unrecoverable(text) : new Error(text)
      },
      { log: context.log, withinMs, everyMs: 4000, code: codes.gateClosed },
    )
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== codes.gateClosed) throw error
    throw gateClosed(names, error.because, now)
  }
}

function describe({ who, why }: GateReason): string {
  return `${who}: ${why}`
}

/** The problem that machines cannot be restarted now; `now` is the state they are in. */
export function gateClosed(names: string, because: string | undefined, now: string): Problem {
  return new Problem(codes.gateClosed, `${names} cannot be restarted safely now`, {
    because,
    now,
    hint: 'fix the listed problems (cordoned: kubectl uncordon <machine>), then run the same command again',
  })
}

/** Throws GATE_CLOSED when every control plane answers, but etcd is unhealthy. */
export async function refuseUnhealthyEtcd(context: UpgradeContext): Promise<void> {
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

/** Runs UPGRADE_GATE_COMMAND before machines restart. Throws GATE_COMMAND_FAILED with its output. */
export async function passGateCommand(
  { cluster, log }: UpgradeContext,
  next: string,
): Promise<void> {
  const command = cluster.settings.UPGRADE_GATE_COMMAND
  if (command === undefined) return
  const files = generatedFiles(cluster)
  await inStep(log, `Run UPGRADE_GATE_COMMAND before ${next}`, (step) =>
    // A file, not an argument: every user of this machine can read arguments, and the command may have a password.
    withWorkFolder(cluster, async (folder) => {
      await folder.write('gate.sh', `${command}\n`)
      const redact = createRedactor([command, ...secretWords(command)])
      const { stdout, stderr, exitCode } = await local.$({
        nothrow: true,
        timeoutMs: 3_600_000,
        onLine: (line) => step.progress(redact(line)),
        env: {
          KUBECONFIG: files.path('kubeconfig'),
          TALOSCONFIG: files.path('talosconfig'),
          CLUSTER: cluster.name,
          ...directToMachines(cluster),
        },
      })`sh ${folder.path('gate.sh')}`
      if (exitCode === 0) return
      const output = (stderr.trim() || stdout.trim()).split('\n').slice(-5).join('\n')
      throw new Problem('GATE_COMMAND_FAILED', `UPGRADE_GATE_COMMAND exited with ${exitCode}`, {
        because: redact(output.replaceAll(`${folder.path('gate.sh')}: `, '')),
        now: `${next} was not restarted`,
        hint: 'once UPGRADE_GATE_COMMAND succeeds, run the same command again: it continues with that machine',
      })
    }),
  )
}
