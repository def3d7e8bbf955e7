/** Observes hosts, Talos and Kubernetes for a status, within its deadline. */
import {
  observeAccessFiles,
  observeKubernetesNodes,
  observeTalosStatus,
  type AccessFile,
  type KubernetesStatus,
  type TalosStatus,
} from '@talosmith/bootstrap'
import { Problem, reasonOf, type Answer, type Cluster, type Host } from '@talosmith/core'
import { observeHost, type ObservedHost } from '@talosmith/vm'

/** Everything a status is made of, or the reason why it is not known. */
export interface Gathered {
  /** In LIBVIRT_URI's order. */
  readonly hosts: readonly Answer<ObservedHost>[]
  readonly talos: Answer<TalosStatus>
  readonly kubernetes: Answer<KubernetesStatus>
  readonly access: Answer<readonly AccessFile[]>
}

/** An answer, or why there is none, with the Problem if it was one. */
export type Timed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string; readonly problem?: Problem }

/**
 * Counted from the first question, and longer than `statusTimeouts` in all: with the program's start, which may take
 * two seconds on a busy machine, a status takes less than ten.
 */
const deadlineMs = 7000

/** Queries hosts, Talos and Kubernetes in parallel, each until the deadline. */
export async function gatherStatus(
  cluster: Cluster,
  eachHost: () => readonly Promise<Host>[],
  withinMs = deadlineMs,
): Promise<Gathered> {
  const query = <T>(observe: () => Promise<T>): Promise<Answer<T>> => inTime(observe, withinMs)
  const [talos, kubernetes, access, ...hosts] = await Promise.all([
    query(() => observeTalosStatus(cluster)),
    query(() => observeKubernetesNodes(cluster)),
    query(() => observeAccessFiles(cluster)),
    ...eachHost().map((host, index) => query(async () => observeHost(await host, cluster, index))),
  ])
  return { hosts, talos, kubernetes, access }
}

/** An answer, or why there is none; after `withinMs`, at least a second, the reason is the timeout. */
export async function inTime<T>(observe: () => Promise<T>, withinMs: number): Promise<Timed<T>> {
  let timer: NodeJS.Timeout | undefined
  const limitMs = Math.max(withinMs, 1000)
  const timedOut = new Promise<Timed<T>>((resolve) => {
    const reason = `no answer within ${Math.round(limitMs / 1000)} s`
    timer = setTimeout(() => resolve({ ok: false, reason }), limitMs)
  })
  const answer = observe().then(
    (value): Timed<T> => ({ ok: true, value }),
    (error: unknown): Timed<T> => ({
      ok: false,
      reason: describeError(error),
      ...(error instanceof Problem ? { problem: error } : {}),
    }),
  )
  try {
    return await Promise.race([answer, timedOut])
  } finally {
    clearTimeout(timer)
  }
}

/** An error as one reason: its code, what happened, and why. */
export function describeError(error: unknown): string {
  if (error instanceof Problem)
    return [`${error.code}: ${error.message}`, error.because].filter(Boolean).join(': ')
  return reasonOf(error) ?? 'unknown error'
}
