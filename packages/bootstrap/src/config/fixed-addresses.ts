/** The addresses in a machine config that a cluster keeps for life: its pod and service networks, and its VIP. */
import { codes, commandFor, Problem, type Cluster, type Node } from '@talosmith/core'
import { parseAllDocuments, type Document } from 'yaml'
import { inBase, ofKind, texts } from './config-documents.ts'
import type { Configs } from './machine-config.ts'
import { subnetFields, subnetsIn } from './subnets.ts'

interface Fixed {
  readonly what: string
  readonly read: (documents: readonly Document[]) => readonly string[]
  readonly key: string
}

/**
 * The VIP is part of an interface up to Talos 1.11, later a document that is named after it (config/types/network:
 * Layer2VIPConfigV1Alpha1).
 */
const fixed: readonly Fixed[] = [
  ...subnetFields.map(({ field, what }) => ({
    what: `${what} network`,
    key: `${field} in your patches`,
    read: (documents: readonly Document[]) => subnetsIn(documents, field),
  })),
  {
    what: 'VIP',
    key: 'CLUSTER_VIP',
    read: (documents) => [
      ...inBase(documents, ['machine', 'network', 'interfaces']).flatMap((interfaces) =>
        (Array.isArray(interfaces) ? interfaces : []).flatMap(
          (one: { vip?: { ip?: string } } | null) => one?.vip?.ip ?? [],
        ),
      ),
      ...texts(ofKind(documents, 'Layer2VIPConfig').map((document) => document.get('name'))),
    ],
  },
]

/** A machine, and the config that it runs, if any. */
interface ConfiguredNode {
  readonly node: Pick<Node, 'name'>
  readonly state: { readonly kind: string; readonly config?: string }
}

/**
 * Throws ADDRESS_FIXED when a desired config lacks an address of the config that runs: pods, services and clients
 * keep the former one. A further network, and a first VIP, may be added.
 */
export function refuseMovedAddresses(
  cluster: Cluster,
  nodes: readonly ConfiguredNode[],
  desired: Configs | undefined,
): void {
  for (const { node, state } of nodes) {
    const text = desired?.get(node.name)
    if (state.config !== undefined && text !== undefined)
      refuseMoved(cluster, node.name, text, state.config)
  }
}

/** The same for one machine's desired config and the one that it runs. */
export function refuseMoved(
  cluster: Cluster,
  machine: string,
  desired: string,
  current: string,
): void {
  if (desired === current) return
  const [wanted, running] = [parseAllDocuments(desired), parseAllDocuments(current)]
  for (const { what, key, read } of fixed) {
    const [has, gets] = [read(running), read(wanted)]
    // The first network is the one of single-stack services.
    const isFirst = what === 'VIP' || has.length === 0 || gets[0] === has[0]
    if (isFirst && has.every((one) => gets.includes(one))) continue
    throw new Problem(
      codes.addressFixed,
      `the ${what} of ${cluster.name} is ${has.join(', ')}, and would become ${gets.join(', ') || 'none'}`,
      {
        because: `${machine} runs with it; ${what === 'VIP' ? 'access files, certificates and every machine config contain it' : 'pods, services and certificates that exist keep their addresses'}`,
        now: 'nothing was changed',
        hint: `set ${key} to ${has.join(', ')} again. To move the cluster: back up what it holds, destroy it with the former settings (CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:destroy')}), then create it with the new ones`,
      },
    )
  }
}
