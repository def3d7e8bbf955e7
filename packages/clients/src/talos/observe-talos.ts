/** The one way to look at Talos: a handshake with every machine, then each question in one process for all. */
import type { Answer, Cluster, Node } from '@talosmith/core'
import { probe, unreachableBecause, type ProbeResult } from './probe.ts'
import type { Question, Questions } from './questions.ts'
import { silenceOf } from './talos-output.ts'
import type { Talosctl } from './talosctl.ts'
import { longTimeouts, type Timeouts } from './time-limits.ts'

/** What one machine answers to each question. */
export type AnswersTo<Q extends Questions> = {
  readonly [K in keyof Q]: Answer<Q[K] extends Question<infer T> ? T : never>
}

/** What each machine's Talos API shows, by machine name. */
export type Probes = ReadonlyMap<string, ProbeResult>

/** What Talos reports, by machine name. */
export interface ObservedTalos<Q extends Questions> {
  readonly probes: Probes
  /** Of the machines whose Talos lets us in. */
  readonly answers: ReadonlyMap<string, AnswersTo<Q>>
}

/** With what and for how long one looks. */
export interface LookOptions<Q extends Questions> {
  readonly talosctl: Talosctl
  /** Undefined: there are no secrets yet, so that no machine lets us in. */
  readonly talosCa: string | undefined
  readonly questions: Q
  /** All machines of the cluster when left out. */
  readonly nodes?: readonly Node[]
  /** Handshakes that were made just now. */
  readonly probes?: Probes
  readonly timeouts?: Timeouts
  /** Whether each worker is asked by itself while no control plane passes questions on. */
  readonly asksWorkersAlone?: boolean
}

/** Shakes hands with machines, side by side. */
export async function probeMachines(
  nodes: readonly Node[],
  talosCa: string | undefined,
  timeoutMs = longTimeouts.probeMs,
): Promise<Probes> {
  const results = nodes.map(
    async ({ name, address }) => [name, await probe(address, talosCa, { timeoutMs })] as const,
  )
  return new Map(await Promise.all(results))
}

/** Machines whose Talos lets us in. */
export function reachableOf(nodes: readonly Node[], probes: Probes): Node[] {
  return nodes.filter(({ name }) => probes.get(name)?.kind === 'ours')
}

/**
 * Looks at machines: one handshake each, and one process a question for all that let us in, which a machine
 * that is off would only hold up. Control planes pass questions on to workers; workers do not.
 */
export async function observeTalos<Q extends Questions>(
  cluster: Cluster,
  {
    talosctl,
    talosCa,
    questions,
    nodes = cluster.nodes,
    timeouts = longTimeouts,
    asksWorkersAlone = true,
    ...given
  }: LookOptions<Q>,
): Promise<ObservedTalos<Q>> {
  const probes = given.probes ?? (await probeMachines(nodes, talosCa, timeouts.probeMs))
  const reachable = reachableOf(nodes, probes)
  const endpoints = reachable.filter(({ role }) => role === 'controlplane')
  const isEachAlone = endpoints.length === 0 && asksWorkersAlone
  const groups = isEachAlone ? reachable.map((node) => [node]) : [reachable]
  const answers = await Promise.all(
    groups.map((group) =>
      askTalos(group, questions, talosctl, {
        endpoints: isEachAlone ? group : endpoints,
        timeoutMs: timeouts.askMs,
      }),
    ),
  )
  return { probes, answers: new Map(answers.flatMap((one) => [...one])) }
}

/** Puts questions to machines, each in one process; the answers by machine name. */
export async function askTalos<Q extends Questions>(
  nodes: readonly Node[],
  questions: Q,
  talosctl: Talosctl,
  {
    endpoints = nodes,
    timeoutMs = longTimeouts.askMs,
  }: { readonly endpoints?: readonly Node[]; readonly timeoutMs?: number } = {},
): Promise<ReadonlyMap<string, AnswersTo<Q>>> {
  const found = await Promise.all(
    Object.entries(questions).map(
      async ([key, question]) =>
        [key, await askOne(nodes, question, talosctl, endpoints, timeoutMs)] as const,
    ),
  )
  return new Map(
    nodes.map(({ name, address }) => [
      name,
      Object.fromEntries(found.map(([key, answer]) => [key, answer(address)])) as AnswersTo<Q>,
    ]),
  )
}

async function askOne<T>(
  all: readonly Node[],
  { args, parse, role, ...question }: Question<T>,
  talosctl: Talosctl,
  endpoints: readonly Node[],
  timeoutMs: number,
): Promise<(address: string) => Answer<T>> {
  const nodes = addressesOf(role === undefined ? all : all.filter((node) => node.role === role))
  const silent = (reason: string) => ({ ok: false, reason }) as const
  if (endpoints.length === 0) return () => silent('no control plane answers')
  if (nodes.length === 0) return () => silent('it was not queried')
  const options = { endpoints: addressesOf(endpoints), timeoutMs, nothrow: true }
  const output = await talosctl.ask(nodes, args, options)
  const values = parse(output.stdout, nodes.length === 1 ? nodes[0] : undefined)
  return (address) => {
    if (values.has(address)) return { ok: true, value: values.get(address) as T }
    if (!nodes.includes(address)) return silent('it was not queried')
    const { empty } = question
    return output.exitCode === 0 && empty !== undefined
      ? { ok: true, value: empty }
      : silent(silenceOf(output, timeoutMs))
  }
}

/** The answers of all machines to one question, or why a machine has none: what its handshake showed included. */
export function answersOf<Q extends Questions, K extends keyof Q>(
  nodes: readonly Node[],
  { probes, answers }: ObservedTalos<Q>,
  question: K,
): ReadonlyMap<string, AnswersTo<Q>[K]> {
  return new Map(
    nodes.map(({ name }) => {
      const result = probes.get(name)
      const reason = (result && unreachableBecause(result)) ?? 'it was not queried'
      const silent: Answer<never> = { ok: false, reason }
      return [name, answers.get(name)?.[question] ?? silent]
    }),
  )
}

function addressesOf(nodes: readonly Node[]): string[] {
  return nodes.map(({ address }) => address)
}
