/** The networks of pods and services in machine configs, which patches can change. */
import { exitCodes, overlap, Problem, type Cluster } from '@talosmith/core'
import { parseAllDocuments } from 'yaml'
import type { Configs } from './machine-config.ts'

/**
 * Which network of pods or services overlaps the machines' network; undefined: none. Settings are checked against
 * the defaults of Talos; this finds what a patch has set (ClusterNetworkConfig, pkg/machinery/config/types/v1alpha1).
 */
export function findOverlap({ settings }: Cluster, configs: Configs): string | undefined {
  const { NETWORK_CIDR: cidr } = settings
  const checked = new Set(configs.values())
  for (const text of checked)
    for (const document of parseAllDocuments(text))
      for (const [field, what] of [
        ['podSubnets', 'pod'],
        ['serviceSubnets', 'service'],
      ] as const) {
        const found = document.toJS() as { cluster?: { network?: Record<string, unknown> } } | null
        const subnets = found?.cluster?.network?.[field]
        for (const subnet of Array.isArray(subnets) ? subnets : [])
          if (isIpv4Network(subnet) && overlap(subnet, cidr))
            return `NETWORK_CIDR ${cidr} overlaps the ${what} network ${subnet} (cluster.network.${field})`
      }
  return undefined
}

function isIpv4Network(value: unknown): value is string {
  return typeof value === 'string' && /^\d+(?:\.\d+){3}\/\d+$/.test(value)
}

/** Refuses such an overlap before a cluster is made; one that runs can change neither network. */
export function refuseOverlap(cluster: Cluster, configs: Configs): void {
  const found = findOverlap(cluster, configs)
  if (found === undefined) return
  throw new Problem('NETWORKS_OVERLAP', found, {
    because: "a node's routes to machines and to pods or services would conflict",
    now: 'nothing was changed',
    hint: `set NETWORK_CIDR to another network, or both fields in ${cluster.patchesDir}/all.yaml`,
    exitCode: exitCodes.wrongSetting,
  })
}
