/** Reads a libvirt network: its address, DHCP ranges, reservations and leases. */
import { elementsAt, parseXml, prefixLengthOfMask, textAt, type XmlNode } from '@talosmith/core'

/** An address that the network's DHCP server keeps for one machine; the XML may leave out its MAC or its name. */
export interface Reservation {
  readonly mac: string
  readonly name: string
  readonly address: string
}

/** What a network's XML contains. */
export interface NetworkFacts {
  /** First and last address of each DHCP range. */
  readonly ranges: readonly (readonly [string, string])[]
  /** Address and mask, or prefix length, of the network's own interface; none on a plain bridge. */
  readonly address: { readonly address: string; readonly prefixLength: number } | undefined
  /** The bridge that its machines are connected to: libvirt's own, or one of the host. */
  readonly bridge: string | undefined
  /** How libvirt forwards its traffic: nat, route, open, bridge ...; undefined: it is isolated. */
  readonly forward: string | undefined
  /** The interfaces of the host that it forwards to; machines are attached to them by macvtap without a bridge. */
  readonly devices: readonly string[]
  readonly reservations: readonly Reservation[]
  /** The place of the IPv4 `ip` element with DHCP among all `ip` elements: virsh's --parent-index. */
  readonly dhcpIndex: number | undefined
}

/**
 * Reads a libvirt network's XML (`virsh net-dumpxml`). A network with DHCP is one that libvirt itself serves: `ip`
 * elements are for networks without forwarding, `nat`, `route` and `open` (https://libvirt.org/formatnetwork.html).
 */
export function parseNetworkXml(xml: string): NetworkFacts {
  const parsed = parseXml(xml)
  const isIpv4 = (element: XmlNode): boolean => textAt(element, '@family') !== 'ipv6'
  const all = elementsAt(parsed, 'network', 'ip')
  const ips = all.filter(isIpv4)
  const dhcpIndex = all.findIndex((one) => isIpv4(one) && elementsAt(one, 'dhcp').length > 0)
  const [ip] = ips
  const address = textAt(ip, '@address')
  const mask = textAt(ip, '@netmask')
  const prefixLength =
    mask === undefined ? Number(textAt(ip, '@prefix') ?? 24) : prefixLengthOfMask(mask)
  const [bridge] = elementsAt(parsed, 'network', 'bridge')
  const [forward] = elementsAt(parsed, 'network', 'forward')
  const interfaces = elementsAt(parsed, 'network', 'forward', 'interface')
  const devices = [forward, ...interfaces].flatMap((one) => textAt(one, '@dev') ?? [])
  return {
    ranges: ips
      .flatMap((element) => elementsAt(element, 'dhcp', 'range'))
      .flatMap((range) => {
        const [start, end] = [textAt(range, '@start'), textAt(range, '@end')]
        return start === undefined || end === undefined ? [] : [[start, end] as const]
      }),
    address:
      address === undefined || prefixLength === undefined ? undefined : { address, prefixLength },
    bridge: textAt(bridge, '@name'),
    // Its default: https://libvirt.org/formatnetwork.html#connectivity
    forward: forward === undefined ? undefined : (textAt(forward, '@mode') ?? 'nat'),
    devices: [...new Set(devices)],
    reservations: ips
      .flatMap((element) => elementsAt(element, 'dhcp', 'host'))
      .map((host) => ({
        mac: textAt(host, '@mac')?.toLowerCase() ?? '',
        name: textAt(host, '@name') ?? '',
        address: textAt(host, '@ip') ?? '',
      })),
    dhcpIndex: dhcpIndex < 0 ? undefined : dhcpIndex,
  }
}

/** The leases that are in force (`virsh net-dhcp-leases`); a machine without a host name has the name "-". */
export function parseLeases(text: string): Reservation[] {
  return text.split('\n').flatMap((line) => {
    const [, mac = '', address = '', name = ''] =
      /((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s+ipv4\s+([\d.]+)\/\d+\s+(\S+)/i.exec(line) ?? []
    return address === '' ? [] : [{ mac: mac.toLowerCase(), address, name }]
  })
}

/** The virsh commands whose output `readNetwork` reads. */
export function networkCommands(network: string): readonly (readonly string[])[] {
  return [
    ['net-dumpxml', network],
    ['net-dumpxml', '--inactive', network],
    ['net-dhcp-leases', network],
  ]
}

/** A libvirt network as it is now, and the reservations that it has after its next start. */
export interface LibvirtNetwork extends Omit<NetworkFacts, 'reservations' | 'dhcpIndex'> {
  /** A network that is not active has none that are live. */
  readonly reservations: ReadonlyMap<ReservationScope, readonly Reservation[]>
  readonly leases: readonly Reservation[]
  readonly dhcpIndexes: ReadonlyMap<ReservationScope, number | undefined>
}

/** Where a reservation is: in the active network, or in its definition. */
export type ReservationScope = 'live' | 'config'

/** Reads the output of `networkCommands`; of a command that failed it is empty. */
export function readNetwork(
  [xml = '', inactive = '', leases = '']: readonly string[],
  { isActive }: { readonly isActive: boolean },
): LibvirtNetwork {
  const { reservations, dhcpIndex, ...facts } = parseNetworkXml(xml)
  const config = parseNetworkXml(inactive)
  return {
    ...facts,
    reservations: new Map([
      ...(isActive ? [['live', reservations] as const] : []),
      ['config', config.reservations],
    ]),
    leases: parseLeases(leases),
    dhcpIndexes: new Map([
      ['live', dhcpIndex],
      ['config', config.dhcpIndex],
    ]),
  }
}
