/** IPv4 arithmetic: networks, prefixes, offsets. */
import ipaddr from 'ipaddr.js'

const { IPv4 } = ipaddr

/** The address in `10.0.0.70/24`; one without a prefix length as it is. */
export function addressIn(text: string): string {
  return text.replace(/\/.*$/, '')
}

/** The prefix length of a network in CIDR notation. */
export function prefixLengthOf(cidr: string): number {
  return IPv4.parseCIDR(cidr)[1]
}

/** The prefix length of a netmask such as 255.255.255.0; undefined when its bits are not contiguous. */
export function prefixLengthOfMask(mask: string): number | undefined {
  return IPv4.parse(mask).prefixLengthFromSubnetMask() ?? undefined
}

/** The address at `offset` from the first address of a network. */
export function addressAt(cidr: string, offset: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE((valueOf(IPv4.networkAddressFromCIDR(cidr)) + offset) % 2 ** 32)
  return new IPv4([...bytes]).toString()
}

/** Whether an address lies in a network, which may be written as any address in it. */
export function contains(cidr: string, address: string): boolean {
  return IPv4.parse(address).match(IPv4.parseCIDR(cidr))
}

/** Whether an address lies between two others, or is one of them. */
export function isBetween(address: string, first: string, last: string): boolean {
  const value = valueOf(IPv4.parse(address))
  return value >= valueOf(IPv4.parse(first)) && value <= valueOf(IPv4.parse(last))
}

/** The last address of a network. */
export function broadcastOf(cidr: string): string {
  return IPv4.broadcastAddressFromCIDR(cidr).toString()
}

/** The network of an address with its prefix length: 10.0.0.70/24 is in 10.0.0.0/24. */
export function networkOf(address: string): string {
  return `${IPv4.networkAddressFromCIDR(address).toString()}/${prefixLengthOf(address)}`
}

/** How far an address is from the first address of a network; negative before it. */
export function offsetOf(cidr: string, address: string): number {
  return valueOf(IPv4.parse(address)) - valueOf(IPv4.networkAddressFromCIDR(cidr))
}

/** Whether two networks in CIDR notation have an address in common. */
export function overlap(one: string, other: string): boolean {
  return contains(one, addressAt(other, 0)) || contains(other, addressAt(one, 0))
}

/** Whether a text is an IPv4 address in dotted decimal notation. */
export function isIpv4(text: string): boolean {
  return IPv4.isValidFourPartDecimal(text)
}

/** An address as a number. */
function valueOf(address: { toByteArray(): number[] }): number {
  return Buffer.from(address.toByteArray()).readUInt32BE()
}
