/** Checks a bridge or libvirt network of a host: whether it exists, and is in NETWORK_CIDR. */
import {
  addressAt,
  addressIn,
  codes,
  contains,
  networkOf,
  prefixLengthOf,
  Problem,
  settingOn,
  type Cluster,
} from '@talosmith/core'
import type { ObservedHost } from './observe.ts'
import { clusterDomains, hostOf } from './place.ts'

const unchanged = 'nothing was changed'

/** A network that machines on a bridge or libvirt network are in, as the host shows it. */
export interface HostNetwork {
  /** The host's own address, with its prefix length. */
  readonly address: string
  /** The default gateway there; undefined: the host has none in this network. */
  readonly gateway: string | undefined
}

/** The networks of the configured bridge or libvirt network; none where the host has no address in it. */
export function hostNetworks({ settings }: Cluster, observed: ObservedHost): HostNetwork[] {
  const { address: own, bridge } = observed.networks
  if (settings.NETWORK_NAME !== undefined && own !== undefined)
    return [{ address: `${own.address}/${own.prefixLength}`, gateway: own.address }]
  const name = settings.NETWORK_BRIDGE ?? bridge
  return observed.bridgeNetworks
    .filter((one) => one.bridge === name && isForMachines(one.address))
    .map(({ address, gateway }) => ({
      address,
      gateway: gateway !== undefined && contains(address, gateway) ? gateway : undefined,
    }))
}

/** Not a link-local address, nor one of a point-to-point link. */
function isForMachines(address: string): boolean {
  return prefixLengthOf(address) < 31 && !contains('169.254.0.0/16', addressIn(address))
}

/** Whether the host has addresses in the bridge or libvirt network, and none of them is in NETWORK_CIDR. */
export function isElsewhere(cluster: Cluster, networks: readonly HostNetwork[]): boolean {
  const { NETWORK_CIDR: cidr } = cluster.settings
  return networks.length > 0 && !networks.some(({ address }) => contains(cidr, addressIn(address)))
}

/**
 * Whether the cluster has run, on whatever host, which proves that its addresses work, for example behind a router.
 * Its machines may be gone: a restore recreates them.
 */
export function isProven(cluster: Cluster, hosts: readonly ObservedHost[]): boolean {
  return hosts.some(
    (observed) =>
      observed.identity.wasBootstrapped ||
      (observed.identity.hasRun && clusterDomains(cluster, observed).length > 0),
  )
}

/** The lines of an env file for a network, to be pasted. Without NETWORK_GATEWAY, it is the network's first address. */
export function settingsFor({ address, gateway }: HostNetwork): string {
  const cidr = networkOf(address)
  return `NETWORK_CIDR=${cidr}\n${gateway === undefined ? `# if the router is not ${addressAt(cidr, 1)}: NETWORK_GATEWAY=<its address>` : `NETWORK_GATEWAY=${gateway}`}`
}

/** What prevents machines from being connected to the configured bridge or libvirt network. */
export function networkProblems(
  cluster: Cluster,
  observed: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  const { settings } = cluster
  const { host, bridges, networks } = observed
  const bridge = settings.NETWORK_BRIDGE
  const name = settings.NETWORK_NAME
  const keys = {
    bridge: settingOn(cluster, observed.index, 'NETWORK_BRIDGE'),
    name: settingOn(cluster, observed.index, 'NETWORK_NAME'),
  }
  if (bridge !== undefined && !bridges.includes(bridge))
    return [
      new Problem('BRIDGE_NOT_FOUND', `there is no bridge ${bridge} on ${host}`, {
        because: `bridges there: ${bridges.join(', ') || 'none'}`,
        now: unchanged,
        hint: `set ${keys.bridge} to one of them, or ${keys.name} to a libvirt network (virsh net-list)`,
      }),
    ]
  if (name === undefined || networks.active.includes(name)) return outside(cluster, observed, hosts)
  if (networks.all.includes(name))
    return [
      new Problem('NETWORK_INACTIVE', `the libvirt network ${name} on ${host} is not active`, {
        now: unchanged,
        hint: `on ${host}: virsh net-start ${name} && virsh net-autostart ${name}`,
      }),
    ]
  return [
    new Problem('NETWORK_NOT_FOUND', `there is no libvirt network ${name} on ${host}`, {
      because: `networks there: ${networks.all.join(', ') || 'none'}`,
      now: unchanged,
      hint: `set ${keys.name} to one of them (virsh net-list --all), or ${keys.bridge} to a bridge of the host`,
    }),
  ]
}

/** ADDRESS_OUTSIDE_NETWORK. */
function outside(
  cluster: Cluster,
  observed: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  const { settings } = cluster
  const nodes = cluster.nodes.filter(
    (node) => hostOf(cluster, node, hosts)?.index === observed.index,
  )
  const networks = hostNetworks(cluster, observed)
  const isServed = settings.NETWORK_NAME !== undefined && observed.networks.address !== undefined
  const leaves =
    isServed && nodes.some((node) => !contains(networks[0]?.address ?? '', node.address))
  const isWrong = isElsewhere(cluster, networks) && !isProven(cluster, hosts)
  if (!leaves && !isWrong) return []
  const what =
    settings.NETWORK_BRIDGE === undefined
      ? `the libvirt network ${settings.NETWORK_NAME}`
      : `bridge ${settings.NETWORK_BRIDGE}`
  const has = networks.map(({ address }) => address).join(', ')
  return [
    new Problem(
      codes.addressOutsideNetwork,
      `${what} on ${observed.host} has ${has}, which is not in NETWORK_CIDR ${settings.NETWORK_CIDR}`,
      {
        because: `machines would get addresses such as ${nodes[0]?.address}, at which nothing in that network reaches them`,
        now: unchanged,
        hint: `put into env/${cluster.file}.env:\n${networks.map(settingsFor).join('\nor\n')}${isServed ? '' : `\nor, if ${settings.NETWORK_CIDR} is right, give the bridge an address in it`}`,
      },
    ),
  ]
}
