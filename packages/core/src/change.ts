/** Changes: what differs from the settings, as a plan to print and to apply. */
import { inStep, type Log, type Step } from './log.ts'

/** One difference from the settings, and how to resolve it. Plain data: printable, comparable, JSON. */
export interface Change {
  /** What to do; each apply.ts has one function per kind. */
  readonly kind: string
  /** What it changes: 'home-cp1', 'etcd', 'StorageClass/nfs-appdata'. */
  readonly target: string
  /** Imperative sentence: 'Define virtual machine home-cp1'. */
  readonly summary: string
  readonly from?: string
  readonly to?: string
  readonly risk: 'none' | 'restart' | 'data-loss'
}

/** A plan as text: one line per change, with the current and the desired value. */
export function renderPlan(changes: readonly Change[]): string {
  if (changes.length === 0) return 'Nothing to do: everything matches the settings.'
  const lines = changes.map(({ summary, from, to, risk }) => {
    const values =
      from === undefined && to === undefined ? '' : ` (${from ?? 'none'} -> ${to ?? 'none'})`
    return `  ${risk === 'none' ? '+' : '!'} ${summary}${values}${risk === 'none' ? '' : ` [${risk}]`}`
  })
  return [`${changes.length} change${changes.length === 1 ? '' : 's'}:`, ...lines].join('\n')
}

interface ApplyOptions<C> {
  readonly log: Log
  /** Changes with the same key run in order, different keys in parallel; default: all in order. */
  readonly parallelBy?: (change: C) => string
  /** How many keys run in parallel; default 8. */
  readonly atOnce?: number
}

/**
 * Applies changes, each as a step of the log. After the first failure no further change begins, and that
 * error is thrown.
 */
export async function applyAll<C extends Change>(
  changes: readonly C[],
  apply: (change: C, step: Step) => Promise<void>,
  { log, parallelBy = () => '', atOnce = 8 }: ApplyOptions<C>,
): Promise<void> {
  const queues = grouped(changes, parallelBy)
  let failed: { error: unknown } | undefined
  const work = async (): Promise<void> => {
    for (let queue = queues.shift(); queue !== undefined; queue = queues.shift())
      for (const change of queue) {
        if (failed !== undefined) return
        try {
          await inStep(log, change.summary, (step) => apply(change, step))
        } catch (error) {
          failed ??= { error }
        }
      }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, queues.length) }, work))
  if (failed !== undefined) throw failed.error
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return [...groups.values()]
}
