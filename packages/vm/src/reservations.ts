/** The addresses that a cluster reserves with the DHCP server of its libvirt network. Pure. */
import { clusterOn, codes, isBetween, Problem, type Cluster, type Node } from '@talosmith/core'
import type { Reservation, ReservationScope } from './libvirt-network.ts'
import type { ObservedHost, ObservedNetworks } from './observe.ts'
import { clusterDomains, domainOf } from './place.ts'
import { changeOn, type VmChange } from './vm-change.ts'

/** One `virsh net-update`. */
export interface NetworkUpdate {
  readonly command: 'add-last' | 'delete'
  readonly reservation: Reservation
  readonly scopes: readonly ReservationScope[]
}

/** The last byte of the MAC address that CLUSTER_VIP is reserved for; no machine has it (core/src/nodes.ts). */
const vipByte = '00'

/**
 * The reservations that a machine needs: of its address, and of CLUSTER_VIP with the first control plane, where they
 * are in a DHCP range. dnsmasq gives no other machine an address that a dhcp-host has (src/dhcp.c, address_allocate).
 */
export function reservationsFor(
  cluster: Cluster,
  node: Node,
  { networks }: ObservedHost,
): Reservation[] {
  return addressesFor(cluster, node).filter((one) => isServed(one, networks))
}

function isServed({ address }: Reservation, { ranges }: ObservedNetworks): boolean {
  return ranges.some(([start, end]) => isBetween(address, start, end))
}

/** The addresses of a machine, and CLUSTER_VIP with the first control plane, as reservations of them would be. */
function addressesFor(cluster: Cluster, { name, mac, address }: Node): Reservation[] {
  if (cluster.settings.NETWORK_NAME === undefined) return []
  const { vip, controlPlanes } = cluster
  const ofVip =
    vip === undefined || name !== controlPlanes[0]?.name
      ? []
      : [
          {
            name: `${cluster.name}-vip`,
            mac: `${cluster.settings.MAC_PREFIX}:${vipByte}`,
            address: vip,
          },
        ]
  return [{ name, mac, address }, ...ofVip].map((one) => ({ ...one, mac: one.mac.toLowerCase() }))
}

/** Plans the reservations of a machine that the network, as it is now or its definition, does not have. */
export function planReservations(cluster: Cluster, node: Node, observed: ObservedHost): VmChange[] {
  return reservationsFor(cluster, node, observed)
    .filter((wanted) => updatesFor(cluster, wanted, observed).length > 0)
    .map(({ name, address }) =>
      changeOn(observed, name)(
        'reserve-address',
        `Reserve ${address} for ${name} in the network ${cluster.settings.NETWORK_NAME}`,
      ),
    )
}

/** Plans the removal of the cluster's reservations. */
export function planReleases(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return hosts.flatMap((observed) =>
    [...byName(ownReservations(cluster, observed)).values()].map(({ name, address }) =>
      changeOn(observed, name)(
        'release-address',
        `Remove the reservation of ${address} for ${name} in the network ${clusterOn(cluster, observed.index).settings.NETWORK_NAME}`,
      ),
    ),
  )
}

/** What reserves the address of a machine, or CLUSTER_VIP, by the name of the reservation. */
export function updatesToReserve(
  cluster: Cluster,
  observed: ObservedHost,
  name: string,
): NetworkUpdate[] {
  const wanted = cluster.nodes
    .flatMap((node) => reservationsFor(cluster, node, observed))
    .find((one) => one.name === name)
  return wanted === undefined ? [] : updatesFor(cluster, wanted, observed)
}

/** What removes the cluster's reservations of a name. */
export function updatesToRelease(
  cluster: Cluster,
  observed: ObservedHost,
  name: string,
): NetworkUpdate[] {
  const own = ownReservations(cluster, observed).filter((one) => one.name === name)
  return unique(own).map((reservation) => remove(reservation, observed.networks))
}

/**
 * Own reservations with the same address, MAC or name are removed first, since libvirt has each of them once: also that
 * of a former machine, or of one that gets another address.
 */
function updatesFor(
  cluster: Cluster,
  wanted: Reservation,
  observed: ObservedHost,
): NetworkUpdate[] {
  const { networks } = observed
  const former = unique(ownReservations(cluster, observed)).filter(
    (one) => collides(one, wanted) && !serves(one, wanted),
  )
  const scopes = scopesWhere(networks, (all) => !all.some((one) => serves(one, wanted)))
  return [
    ...former.map((one) => remove(one, networks)),
    ...(scopes.length === 0 ? [] : [{ command: 'add-last' as const, reservation: wanted, scopes }]),
  ]
}

function remove(reservation: Reservation, networks: ObservedNetworks): NetworkUpdate {
  const scopes = scopesWhere(networks, (all) => all.some((one) => isSame(one, reservation)))
  return { command: 'delete', reservation, scopes }
}

/**
 * ADDRESS_TAKEN for an address that is reserved for, or leased to, another machine, and for a MAC address or name with
 * another reservation: libvirt refuses a second one (src/conf/network_conf.c, virNetworkDefUpdateIPDHCPHost). dnsmasq
 * also gives out reserved addresses that are in no range; there only another machine's reservation of the address counts.
 */
export function reservationProblems(
  cluster: Cluster,
  node: Node,
  observed: ObservedHost,
): Problem[] {
  const { host, networks, domains } = observed
  const network = cluster.settings.NETWORK_NAME ?? ''
  return addressesFor(cluster, node).flatMap((wanted) => {
    const served = isServed(wanted, networks)
    // A machine that has its address keeps it.
    if (!served && domainOf(node, observed)?.owner === cluster.name) return []
    const what = `${wanted.name} would get ${wanted.address}`
    const other = [...networks.reservations.values()]
      .flat()
      .find(
        (one) =>
          !isOwn(cluster, observed, one) &&
          !serves(one, wanted) &&
          (served ? collides(one, wanted) : one.address === wanted.address),
      )
    if (other !== undefined)
      return new Problem(
        codes.addressTaken,
        other.address === wanted.address
          ? `${what}, which the network ${network} reserves for ${other.name || other.mac}`
          : `${what}, but the network ${network} reserves ${other.address} for its ${other.mac === wanted.mac ? 'MAC address' : 'name'}`,
        {
          because: `the network ${network} on ${host} has ${elementOf(other)}`,
          now: 'nothing was changed',
          hint: `change CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET or CLUSTER_VIP; or, if the reservation is not needed any more, on ${host}: virsh net-update ${network} delete ip-dhcp-host "${elementOf(other)}" --live --config`,
        },
      )
    const lease = networks.leases.find(
      ({ address, mac }) => address === wanted.address && mac !== wanted.mac,
    )
    if (lease === undefined) return []
    const user = domains.find(({ machine }) => machine.mac.toLowerCase() === lease.mac)?.name
    const named = user ?? (lease.name === '-' ? undefined : lease.name)
    return new Problem(
      codes.addressTaken,
      `${what}, which ${named === undefined ? lease.mac : `${named} (${lease.mac})`} has from the DHCP server of the network ${network}`,
      {
        because: `its lease is in force (virsh net-dhcp-leases ${network} on ${host}), and a reservation does not end it`,
        now: 'nothing was changed',
        hint: 'change CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET or CLUSTER_VIP; or stop that machine until the lease has expired',
      },
    )
  })
}

/** The element of a reservation in a network's XML. */
export function elementOf({ mac, name, address }: Reservation): string {
  const attributes = { mac, name, ip: address }
  const written = Object.entries(attributes).filter(([, value]) => value !== '')
  return `<host ${written.map(([key, value]) => `${key}='${value}'`).join(' ')}/>`
}

function scopesWhere(
  { reservations }: ObservedNetworks,
  isWanted: (all: readonly Reservation[]) => boolean,
): ReservationScope[] {
  return [...reservations].flatMap(([scope, all]) => (isWanted(all) ? scope : []))
}

function ownReservations(cluster: Cluster, observed: ObservedHost): Reservation[] {
  const all = [...observed.networks.reservations.values()].flat()
  return all.filter((one) => isOwn(cluster, observed, one))
}

/** Whether the cluster made a reservation, also for a machine that the settings no longer name. */
function isOwn(cluster: Cluster, observed: ObservedHost, { name, mac }: Reservation): boolean {
  // The machines still have a former MAC_PREFIX.
  const macs = clusterDomains(cluster, observed).map(({ machine }) => machine.mac.slice(0, -3))
  return (
    name.startsWith(`${cluster.name}-`) &&
    /^(?:(?:cp|w)\d+|vip)$/.test(name.slice(cluster.name.length + 1)) &&
    [cluster.settings.MAC_PREFIX, ...macs].some((one) => mac.startsWith(`${one.toLowerCase()}:`))
  )
}

/** Whether a reservation keeps the address for the machine; one by name alone has no MAC address. */
function serves(one: Reservation, wanted: Reservation): boolean {
  return (
    one.address === wanted.address &&
    (one.mac === wanted.mac || (one.mac === '' && one.name === wanted.name))
  )
}

function collides(one: Reservation, wanted: Reservation): boolean {
  return one.address === wanted.address || one.mac === wanted.mac || one.name === wanted.name
}

function isSame(one: Reservation, other: Reservation): boolean {
  return one.address === other.address && one.mac === other.mac && one.name === other.name
}

function byName(reservations: readonly Reservation[]): Map<string, Reservation> {
  return new Map(reservations.map((one) => [one.name, one]))
}

function unique(reservations: readonly Reservation[]): Reservation[] {
  return [...new Map(reservations.map((one) => [elementOf(one), one])).values()]
}
