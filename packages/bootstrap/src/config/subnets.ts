/** The networks of pods and services in machine configs, which patches can change. */
import { exitCodes, overlap, Problem, type Cluster } from '@talosmith/core'
import { parseAllDocuments, type Document } from 'yaml'
import { inBase, ofKind, texts } from './config-documents.ts'
import type { Configs } from './machine-config.ts'

/** The networks of pods and services, by their names in a config. */
export const subnetFields = [
  { field: 'podSubnets', what: 'pod' },
  { field: 'serviceSubnets', what: 'service' },
] as const

/**
 * Such networks in a machine config: in the base document up to Talos 1.13 (config/types/v1alpha1:
 * ClusterNetworkConfig), later in a document of their own (config/types/k8s: KubeNetworkConfigV1Alpha1).
 */
export function subnetsIn(
  documents: readonly Document[],
  field: (typeof subnetFields)[number]['field'],
): string[] {
  return placesOf(documents, field).flatMap(({ subnets }) => subnets)
}

/** The same, with where each is set, as a patch writes it. */
function placesOf(documents: readonly Document[], field: string) {
  const own = ofKind(documents, 'KubeNetworkConfig')
  return [
    {
      place: `cluster.network.${field}`,
      subnets: texts(inBase(documents, ['cluster', 'network', field])),
    },
    {
      place: `${field} of the document KubeNetworkConfig`,
      subnets: texts(own.map((document) => document.get(field))),
    },
  ]
}

/**
 * Which network of pods or services overlaps the machines' network; undefined: none. Settings are checked against
 * the defaults of Talos; this finds what a patch has set.
 */
export function findOverlap(
  { settings }: Pick<Cluster, 'settings'>,
  configs: Configs,
): string | undefined {
  const { NETWORK_CIDR: cidr } = settings
  for (const text of new Set(configs.values())) {
    const documents = parseAllDocuments(text)
    for (const { field, what } of subnetFields)
      for (const { place, subnets } of placesOf(documents, field))
        for (const subnet of subnets)
          if (isIpv4Network(subnet) && overlap(subnet, cidr))
            return `NETWORK_CIDR ${cidr} overlaps the ${what} network ${subnet} (${place})`
  }
  return undefined
}

function isIpv4Network(value: string): boolean {
  return /^\d+(?:\.\d+){3}\/\d+$/.test(value)
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
