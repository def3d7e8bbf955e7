import ipaddr from 'ipaddr.js'

/** An IPv4 network as numbers. */
export interface Network {
  readonly first: number
  readonly size: number
  readonly prefixLength: number
}

/** A network of CIDR notation. */
export function parseNetwork(cidr: string): Network {
  const [address, prefixLength] = ipaddr.IPv4.parseCIDR(cidr)
  return { first: toNumber(address.toString()), size: 2 ** (32 - prefixLength), prefixLength }
}

/** The address `offset` places after the first of a network. */
export function addressAt(cidr: string, offset: number): string {
  return toAddress(parseNetwork(cidr).first + offset)
}

/** Whether an address lies in a network. */
export function contains(cidr: string, address: string): boolean {
  const { first, size } = parseNetwork(cidr)
  const value = toNumber(address)
  return value >= first && value < first + size
}

/** The last address of a network. */
export function broadcastOf(cidr: string): string {
  return addressAt(cidr, parseNetwork(cidr).size - 1)
}

function toNumber(address: string): number {
  return ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0)
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
}
