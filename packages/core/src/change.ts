import { inStep, type Log, type Step } from './log.ts'

/** One thing that is not yet as the settings ask. Plain data: printable, comparable, JSON. */
export interface Change {
  /** What to do; apply.ts has one function per kind. */
  readonly kind: string
  /** What it touches: 'home-cp1', 'etcd', 'StorageClass/nfs-appdata'. */
  readonly target: string
  /** Imperative sentence: 'Define virtual machine home-cp1'. */
  readonly summary: string
  readonly from?: string
  readonly to?: string
  readonly risk: 'none' | 'restart' | 'data-loss'
}

/** A plan as a person reads it: one line a change, with what is there and what will be. */
export function renderPlan(changes: readonly Change[]): string {
  if (changes.length === 0) return 'Nothing to do: everything is as the settings ask.'
  const lines = changes.map(({ summary, from, to, risk }) => {
    const values =
      from === undefined && to === undefined ? '' : ` (${from ?? 'none'} -> ${to ?? 'none'})`
    return `  ${risk === 'none' ? '+' : '!'} ${summary}${values}${risk === 'none' ? '' : ` [${risk}]`}`
  })
  return [`${changes.length} change${changes.length === 1 ? '' : 's'}:`, ...lines].join('\n')
}

interface ApplyOptions<C> {
  readonly log: Log
  /** Changes of one key run in order, different keys side by side. Without it: one after the other. */
  readonly parallelBy?: (change: C) => string
  /** How many keys at once; default 8. */
  readonly atOnce?: number
}

/**
 * Carries out changes, each as a step, which `apply` may tell of progress. The first failure stops
 * what has not begun, and is thrown.
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
