/** The order in which machines restart. Pure. */
import type { Cluster, Node } from '@talosmith/core'

/** What the order depends on, observed again before each turn because etcd leadership moves. */
export interface OrderFacts {
  /** Name of the control plane that leads etcd, if known. */
  readonly leader: string | undefined
  /** Machines that an earlier run left unfinished. */
  readonly unfinished: ReadonlySet<string>
}

/**
 * The next machines to restart: those that an earlier run left unfinished, then control planes one at a time
 * with the etcd leader last, then workers, `UPGRADE_WORKERS_AT_ONCE` together. Empty when none is left.
 */
export function nextTurn(
  { nodes, settings }: Pick<Cluster, 'nodes' | 'settings'>,
  left: ReadonlySet<string>,
  { leader, unfinished }: OrderFacts,
): readonly Node[] {
  const waiting = nodes.filter(({ name }) => left.has(name))
  const isControlPlane = ({ role }: Node): boolean => role === 'controlplane'
  const begun = waiting.filter(({ name }) => unfinished.has(name))
  if (begun.length > 0) return begun.some(isControlPlane) ? begun.slice(0, 1) : begun
  const controlPlanes = waiting.filter(isControlPlane)
  const next = controlPlanes.find(({ name }) => name !== leader) ?? controlPlanes[0]
  if (next !== undefined) return [next]
  return waiting.slice(0, settings.UPGRADE_WORKERS_AT_ONCE)
}

/** The whole order, assuming that etcd leadership does not move. */
export function foreseeTurns(
  cluster: Pick<Cluster, 'nodes' | 'settings'>,
  names: Iterable<string>,
  facts: OrderFacts,
): readonly (readonly Node[])[] {
  const left = new Set(names)
  const turns: (readonly Node[])[] = []
  for (let turn = nextTurn(cluster, left, facts); turn.length > 0;) {
    turns.push(turn)
    turn.forEach(({ name }) => left.delete(name))
    turn = nextTurn(cluster, left, facts)
  }
  return turns
}
