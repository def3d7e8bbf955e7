/** Chooses the KVM hosts of machines. */
import type { Role } from './nodes.ts'

/** What the choice needs to know of a machine. */
interface Placed {
  readonly name: string
  readonly role: Role
}

/**
 * The host of each machine by its index, for machines in the order in which they are created, control planes first.
 * Those in `fixed` stay, whatever hosts and weights are now. A new control plane goes to the host with the fewest of
 * them; otherwise a machine goes where its share, by `weights`, is smallest; the first host wins a tie. With equal
 * weights that is round robin. A host with weight 0 gets no new machine. Pure.
 */
export function placeMachines(
  machines: readonly Placed[],
  weights: readonly number[],
  fixed: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, number> {
  const places = new Map(
    machines.flatMap(({ name }) => {
      const index = fixed.get(name)
      return index === undefined ? [] : [[name, index] as const]
    }),
  )
  const open = weights.flatMap((weight, index) => (weight > 0 ? [{ weight, index }] : []))
  for (const { name, role } of machines) {
    if (places.has(name)) continue
    const there = (index: number): Placed[] =>
      machines.filter((one) => places.get(one.name) === index)
    const [best] = open
      .map(({ weight, index }) => ({
        index,
        peers: there(index).filter((one) => one.role === 'controlplane').length,
        share: (there(index).length + 1) / weight,
      }))
      .sort(
        (a, b) =>
          (role === 'controlplane' ? a.peers - b.peers : 0) ||
          a.share - b.share ||
          a.index - b.index,
      )
    places.set(name, best?.index ?? 0)
  }
  return places
}
