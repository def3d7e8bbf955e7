/** The values of the NFS driver's chart. */
import type { Cluster } from '@talosmith/core'
import semver from 'semver'
import { controllerName } from './names.ts'
import type { ValueName } from './value-names.ts'

/** The chart's values that we set, by name; everything else stays as the chart has it. */
export function chosenValues(cluster: Cluster): Partial<Record<ValueName, unknown>> {
  return {
    kubeletDir: '/var/lib/kubelet',
    'controller.replicas': replicas(cluster),
    // The controller uses the host's network: two on one node would fight over its ports, and the second would
    // crash. The chart leaves out an affinity without `nodeSelectorTerms` (templates/csi-nfs-controller.yaml), so
    // there is one that every node fulfils.
    'controller.affinity': {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] },
          ],
        },
      },
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

/** Charts before it never render `controller.affinity`: the arguments of `contains` are swapped in their template. */
const rendersAffinity = '4.10.0'

/** Two controllers, one of them leading, where two nodes take workloads and they keep apart; otherwise one. */
function replicas({ workers, controlPlanes, settings }: Cluster): number {
  if (semver.lt(settings.NFS_CSI_VERSION, rendersAffinity)) return 1
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
