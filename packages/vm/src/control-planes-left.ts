/** Finds control planes on the hosts that a lowered CONTROL_PLANE_COUNT no longer names. */
import { controlPlanesLeft, type Cluster, type Problem } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

/**
 * CONTROL_PLANES_LEFT for control planes of the cluster that the settings do not name, and that run; with
 * `startingWithHost` also for those that start with their host. A worker beyond the count needs nothing of the others,
 * but a control plane stays a member of etcd until it is reset, and etcd needs a majority of its members.
 */
export function findControlPlanesLeft(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  { startingWithHost = false }: { readonly startingWithHost?: boolean } = {},
): Problem[] {
  const named = new Set(cluster.controlPlanes.map(({ name }) => name))
  const left = hosts.flatMap((observed) =>
    clusterDomains(cluster, observed)
      .filter(({ name, machine }) => machine.role === 'controlplane' && !named.has(name))
      .flatMap(({ name, live, autostart }) => {
        // A crashed one has ended, like one that is off.
        if (live.state !== 'shut off' && (startingWithHost || live.state !== 'crashed'))
          return [{ name, why: `is ${live.state} on ${observed.host}` }]
        return startingWithHost && autostart
          ? [{ name, why: `starts with its host ${observed.host} (autostart)` }]
          : []
      }),
  )
  return left.length === 0 ? [] : [controlPlanesLeft(cluster.settings, left)]
}
