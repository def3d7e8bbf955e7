/** Checks that the settings keep the addresses of machines that have run. */
import {
  addressIn,
  codes,
  commandFor,
  contains,
  networkOf,
  offsetOf,
  Problem,
  type Cluster,
  type Node,
} from '@talosmith/core'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { domainOf, hostOf } from './place.ts'
import type { SeedAddress } from './seed-iso.ts'

const unchanged = 'nothing was changed'

/** The addresses that a machine has, where the settings give it others; undefined: they are the same, or may change. */
export function movedFrom(
  { name, prefixLength }: Cluster,
  node: Node,
  observed: ObservedHost,
): SeedAddress | undefined {
  const domain = domainOf(node, observed)
  if (!observed.identity.hasRun || domain?.owner !== name) return undefined
  // The seed ISO, not the domain: a MAC address that was changed by hand is put right.
  const has = addressesOf(domain, observed)
  const isSame = has?.address === `${node.address}/${prefixLength}` && has.mac === node.mac
  return isSame ? undefined : has
}

function addressesOf({ own }: ObservedDomain, observed: ObservedHost): SeedAddress | undefined {
  return observed.seedAddresses.get(own?.seed ?? '')
}

/** ADDRESS_FIXED for machines that would move, ADDRESS_TAKEN for addresses that another cluster's machine has. */
export function addressProblems(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  const moves = cluster.nodes.flatMap((node) => {
    const observed = hostOf(cluster, node, hosts)
    const from = observed && movedFrom(cluster, node, observed)
    return from === undefined ? [] : [{ node, from }]
  })
  const [first] = moves
  return [
    ...(first === undefined ? [] : [fixed(cluster, moves)]),
    ...hosts.flatMap((observed) => takenOn(cluster, observed)),
  ]
}

function fixed(
  cluster: Cluster,
  moves: readonly { readonly node: Node; readonly from: SeedAddress }[],
): Problem {
  const show = (address: string, mac: string): string => `${address}, MAC ${mac}`
  const lines = moves.map(
    ({ node, from }) =>
      `${node.name}: ${show(from.address, from.mac)}, with these settings ${show(`${node.address}/${cluster.prefixLength}`, node.mac)}`,
  )
  const settings = new Set(moves.flatMap(({ node, from }) => formerSettings(cluster, node, from)))
  return new Problem(
    codes.addressFixed,
    `the settings would give ${moves.length} ${moves.length === 1 ? 'machine' : 'machines'} of ${cluster.name} other addresses`,
    {
      because: [
        ...lines,
        "certificates, etcd's member list and every machine config contain the addresses of a cluster that has run; at its next start a machine with another one would be lost to the others",
      ].join('\n'),
      now: unchanged,
      hint: `set ${[...settings].join(' ')} again. To move the cluster: back up what it holds, destroy it with the former settings (CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:destroy')}), then create it with the new ones`,
    },
  )
}

/** The settings that give a node its former addresses. */
function formerSettings(
  { settings, prefixLength }: Cluster,
  node: Node,
  { address, mac }: SeedAddress,
): string[] {
  const [host = '', length] = address.split('/')
  const isInNetwork = Number(length) === prefixLength && contains(settings.NETWORK_CIDR, host)
  const cidr = isInNetwork ? settings.NETWORK_CIDR : networkOf(address)
  const place = Number(/\d+$/.exec(node.name)?.[0]) - 1
  const key = node.role === 'worker' ? 'WORKER_IP_OFFSET' : 'CONTROL_PLANE_IP_OFFSET'
  const offset = offsetOf(cidr, host) - place
  return [
    ...(isInNetwork ? [] : [`NETWORK_CIDR=${cidr}`]),
    ...(offset === settings[key] ? [] : [`${key}=${offset}`]),
    ...(mac === node.mac ? [] : [`MAC_PREFIX=${mac.slice(0, -3)}`]),
  ]
}

/** Addresses that machines of another Talosmith cluster have, for example of this one under its former name. */
function takenOn(cluster: Cluster, observed: ObservedHost): Problem[] {
  return observed.domains.flatMap((domain) => {
    const { owner, strangerBecause } = domain
    const has = addressesOf(domain, observed)
    const address = has && addressIn(has.address)
    const user =
      address === cluster.vip
        ? 'CLUSTER_VIP'
        : cluster.nodes.find((one) => one.address === address)?.name
    if (owner === undefined || owner === cluster.name || strangerBecause !== undefined) return []
    if (address === undefined || user === undefined) return []
    return new Problem(
      codes.addressTaken,
      `${user} would get ${address}, the address of ${domain.name} of cluster ${owner} on ${observed.host}`,
      {
        because: 'the seed ISO of that machine has the address, also while the machine is off',
        now: unchanged,
        hint: `if you renamed cluster ${owner}: set CLUSTER_NAME=${owner} again, since the name of a cluster is fixed (ADDRESS_FIXED lists what a move takes); for a second cluster, change ${user === 'CLUSTER_VIP' ? user : 'CONTROL_PLANE_IP_OFFSET and WORKER_IP_OFFSET'}`,
      },
    )
  })
}
