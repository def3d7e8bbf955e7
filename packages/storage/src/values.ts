/** The values of the NFS driver's chart. */
import type { Cluster } from '@talosmith/core'
import { controllerName } from './names.ts'
import type { ValueName } from './value-names.ts'

/** The chart's values that we set, by name; everything else stays as the chart has it. */
export function chosenValues(cluster: Cluster): Partial<Record<ValueName, unknown>> {
  return {
    kubeletDir: '/var/lib/kubelet',
    'controller.replicas': replicas(cluster),
    // The controller uses the host's network: two on one node would fight over its ports.
    'controller.affinity': {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          {
            labelSelector: { matchLabels: { app: controllerName } },
            topologyKey: 'kubernetes.io/hostname',
          },
        ],
      },
    },
    // Needs CRDs that a Talos cluster doesn't have; without them the sidecar only logs errors.
    'controller.enableSnapshotter': false,
    // Would mount /etc/nfsmount.conf.d, which can't be made on Talos' read-only /etc.
    'feature.propagateHostMountOptions': false,
    'storageClass.create': false,
  }
}

/** Two controllers, one of them leading, where two nodes take workloads; otherwise one. */
function replicas({ workers, controlPlanes }: Cluster): number {
  return Math.min(2, workers.length === 0 ? controlPlanes.length : workers.length)
}

/** The values as Helm takes and records them: levels as nested objects. */
export function chartValues(cluster: Cluster): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(chosenValues(cluster))) {
    const levels = name.split('.')
    const last = levels.pop() ?? name
    let level = values
    for (const part of levels) level = (level[part] ??= {}) as Record<string, unknown>
    level[last] = value
  }
  return values
}
