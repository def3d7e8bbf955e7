/** Observed hosts for tests: without machines, or with those of the settings. */
import { hostFiles, type Cluster, type Node } from '@talosmith/core'
import { readNetwork } from '../src/libvirt-network.ts'
import { describeMachine, type Machine } from '../src/machine.ts'
import type { ObservedDisk } from '../src/observed-files.ts'
import type { ObservedDomain, ObservedHost } from '../src/observe.ts'
import { describeSeed } from '../src/seed-iso.ts'

export const pool = '/var/lib/libvirt/images'
const gib = 2 ** 30

/** The ID of the cluster whose machines tests observe. */
export const clusterId = 'a3b1c7d2-0000-4000-8000-00000000c0de'

/** A host with KVM, firmware, the image, br0 and the network `default`, and none of the cluster's machines. */
export function emptyHost(cluster: Cluster, more: Partial<ObservedHost> = {}): ObservedHost {
  return {
    host: 'root@kvm1',
    index: 0,
    files: hostFiles(cluster, pool),
    identity: { clusterId, hasEvidence: true, hasRun: true, wasBootstrapped: false },
    poolProblem: undefined,
    domains: [],
    networks: {
      ...readNetwork([], { isActive: true }),
      all: ['default'],
      active: ['default'],
    },
    kvmProblem: undefined,
    emulatorProblem: undefined,
    hasUefi: true,
    disks: new Map(),
    overlays: [],
    brokenChains: new Set(),
    gone: new Set(),
    unknownChains: [],
    seeds: new Map(),
    seedAddresses: new Map(),
    beside: [],
    leftovers: [],
    hasImage: true,
    directIo: true,
    hasKvmDevice: true,
    hasKvmFlag: true,
    missingTools: [],
    bridges: ['br0'],
    bridgeNetworks: [{ bridge: 'br0', address: '10.0.0.2/24', gateway: '10.0.0.1' }],
    hasSeedFolder: true,
    memoryFreeMib: 64_000,
    poolFreeBytes: 500 * gib,
    isPoolWritable: true,
    isSeedFolderWritable: true,
    poolError: undefined,
    ...more,
  }
}

/** The same host with the machines of `nodes`, which match the settings and are running. */
export function finishedHost(
  cluster: Cluster,
  more: Partial<ObservedHost> = {},
  nodes: readonly Node[] = cluster.nodes,
): ObservedHost {
  const empty = emptyHost(cluster)
  const domains = nodes.map((node) => domainFor(cluster, node))
  return {
    ...empty,
    domains,
    disks: new Map(nodes.map((node) => [empty.files.disk(node), diskFor(cluster, node)])),
    seeds: new Map(
      nodes.map((node) => [
        empty.files.seed(node),
        {
          cluster: cluster.name,
          clusterId,
          node: node.name,
          digest: describeSeed(cluster, node).digest,
          label: 'cidata',
          bytes: 65_536,
        },
      ]),
    ),
    seedAddresses: new Map(
      nodes.map((node) => [
        empty.files.seed(node),
        { mac: node.mac, address: `${node.address}/${cluster.prefixLength}` },
      ]),
    ),
    ...more,
  }
}

/** A node's running domain that matches the settings, except for the given properties. */
export function domainFor(
  cluster: Cluster,
  node: Node,
  {
    machine = {},
    ...more
  }: Partial<Omit<ObservedDomain, 'machine'>> & {
    machine?: Partial<Machine>
  } = {},
): ObservedDomain {
  const files = hostFiles(cluster, pool)
  const own = { disk: files.disk(node), seed: files.seed(node) }
  return {
    name: node.name,
    uuid: '5b0e8b0e-6c55-4c0f-8d2b-6f1f4a9c8e11',
    owner: cluster.name,
    clusterId,
    strangerBecause: undefined,
    own,
    madeThrough: 'qemu:///system',
    diskNote: 'created',
    disks: [{ target: 'vda', type: 'file', source: own.disk }],
    attached: [{ target: 'vda', type: 'file', source: own.disk }],
    machine: { ...describeMachine(cluster, node, own, 'kvm'), ...machine },
    live: { state: 'running', memoryMib: node.memoryMib, cpu: node.cpu },
    autostart: true,
    ...more,
  }
}

/** A domain that was created by hand. */
export function foreignDomain(cluster: Cluster, node: Node): ObservedDomain {
  return domainFor(cluster, node, {
    owner: undefined,
    own: undefined,
    disks: [],
    attached: [],
    machine: { mac: '52:54:00:00:00:01', disk: '/srv/theirs.qcow2', seed: '' },
  })
}

/** A node's disk, by default with the configured size. */
export function diskFor(cluster: Cluster, node: Node, sizeGib = node.diskGib): ObservedDisk {
  const files = hostFiles(cluster, pool)
  return {
    path: files.disk(node),
    actualBytes: gib / 2,
    qcow2: { virtualBytes: sizeGib * gib, backing: files.image },
  }
}

/** The host with one machine changed or removed. */
export function withDomain(
  observed: ObservedHost,
  name: string,
  change: (domain: ObservedDomain) => ObservedDomain | undefined,
): ObservedHost {
  return {
    ...observed,
    domains: observed.domains.flatMap((domain) =>
      domain.name === name ? (change(domain) ?? []) : domain,
    ),
  }
}

/** The first node; every cluster has one. */
export function firstOf(cluster: Cluster): Node {
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('a cluster without nodes')
  return node
}
