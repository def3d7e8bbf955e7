/** Problems of a cluster that several packages report with the same text. */
import { commandFor, type Cluster } from './cluster.ts'
import { codes } from './codes.ts'
import { Problem } from './problem.ts'
import type { Settings } from './settings/schema.ts'

/** A control plane that the settings no longer name, and what it still is. */
export interface LeftControlPlane {
  readonly name: string
  /** 'runs etcd', 'is running on root@kvm1' */
  readonly why: string
}

/** The Problem of control planes beyond CONTROL_PLANE_COUNT: a second etcd beside theirs would split the cluster. */
export function controlPlanesLeft(
  { CONTROL_PLANE_COUNT: count }: Pick<Settings, 'CONTROL_PLANE_COUNT'>,
  left: readonly LeftControlPlane[],
): Problem {
  const highest = Math.max(...left.map(({ name }) => Number(/\d+$/.exec(name)?.[0] ?? 0)))
  // Only odd counts are accepted.
  const needed = highest + 1 - (highest % 2)
  return new Problem(
    codes.controlPlanesLeft,
    `CONTROL_PLANE_COUNT=${count} does not name every control plane of the cluster`,
    {
      because: [
        ...left.map(({ name, why }) => `${name} ${why}`),
        'they may hold the cluster, and a new etcd beside theirs would be a second one',
      ].join('\n'),
      now: 'nothing was changed',
      hint: [
        `set CONTROL_PLANE_COUNT=${needed} again, then run the same command`,
        `if they are to go, remove them first (docs/operations.md, "Fewer machines")`,
      ].join('\n'),
    },
  )
}

/** The Problem of a cluster without secrets or access files on this computer: it does not exist, or half. */
export function notStarted(
  cluster: Pick<Cluster, 'name' | 'file' | 'generated'>,
  because: string,
): Problem {
  return new Problem(
    codes.notStarted,
    `cluster ${cluster.name} was not started from this computer`,
    {
      because,
      now: 'nothing was changed',
      hint: [
        `create it, or finish creating it: ${commandFor(cluster, 'cluster:up')}`,
        `if it was created from another computer, copy generated/${cluster.name} from there to ${cluster.generated}`,
      ].join('\n'),
    },
  )
}
