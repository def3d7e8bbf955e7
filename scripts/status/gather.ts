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

/** Everything a status is made of, each with the reason when it is not there. */
export interface Gathered {
  /** In LIBVIRT_URI's order. */
  readonly hosts: readonly Answer<ObservedHost>[]
  readonly talos: Answer<TalosStatus>
  readonly kubernetes: Answer<KubernetesStatus>
  readonly access: Answer<readonly AccessFile[]>
}

/** An answer with the Problem, where it was one that kept it from coming. */
export type Timed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string; readonly problem?: Problem }

/** Counted from the program's start; a status is there within ten seconds, whatever is down. */
const deadlineMs = 8500

/** Asks hosts, Talos and Kubernetes side by side, each for as long as there is time. */
export async function gather(
  cluster: Cluster,
  eachHost: () => readonly Promise<Host>[],
  withinMs = deadlineMs - performance.now(),
): Promise<Gathered> {
  const ask = <T>(look: () => Promise<T>): Promise<Answer<T>> => inTime(look, withinMs)
  const [talos, kubernetes, access, ...hosts] = await Promise.all([
    ask(() => observeTalosStatus(cluster)),
    ask(() => observeKubernetesNodes(cluster)),
    ask(() => observeAccessFiles(cluster)),
    ...eachHost().map((host, index) => ask(async () => observeHost(await host, cluster, index))),
  ])
  return { hosts, talos, kubernetes, access }
}

/** An answer, or why there is none; an answer that takes too long is given up. */
export async function inTime<T>(look: () => Promise<T>, withinMs: number): Promise<Timed<T>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Timed<T>>((resolve) => {
    const reason = `no answer within ${Math.round(withinMs / 1000)} s`
    timer = setTimeout(() => resolve({ ok: false, reason }), withinMs)
  })
  const asked = look().then(
    (value): Timed<T> => ({ ok: true, value }),
    (error: unknown): Timed<T> => ({
      ok: false,
      reason: wordsOf(error),
      ...(error instanceof Problem ? { problem: error } : {}),
    }),
  )
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof Problem)
    return [`${error.code}: ${error.message}`, error.because].filter(Boolean).join(': ')
  return reasonOf(error) ?? 'no reason given'
}
