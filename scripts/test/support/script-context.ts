/** The context in which a script of the chain runs in a test: on this machine, its output collected. */
import {
  checkConfirm,
  local,
  renderPlan,
  type Change,
  type Cluster,
  type Log,
} from '@talosmith/core'

/** How the script is started. */
interface Given<O> {
  /** The value of CONFIRM. */
  readonly confirm?: string | undefined
  readonly dryRun: boolean
  readonly options: O
  readonly log: Log
}

/** A context of a script; what it answers and plans, as text, goes to `answers`. */
export function scriptContext<O>(
  cluster: Cluster,
  answers: string[],
  { confirm, dryRun, options, log }: Given<O>,
) {
  return {
    cluster,
    log,
    dryRun,
    json: false,
    options,
    confirmed: confirm === cluster.name,
    confirm: (changes: readonly Change[]) => checkConfirm(cluster, confirm, changes),
    hosts: async () => [local],
    eachHost: () => [Promise.resolve(local)],
    answer: (text: unknown) => void answers.push(String(text)),
    showPlan: (changes: readonly Change[]) => (answers.push(renderPlan(changes)), 2 as const),
    signal: new AbortController().signal,
  }
}
