/** Checks of the machines' network: whether machines can have addresses in it at all. */
import { overlap } from '../addresses.ts'
import type { GivenSettings } from './complete.ts'
import type { SettingError } from './errors.ts'

/** What the checks of settings need to know about other files. */
export interface CheckOptions {
  /** Whether patches set the pod or service networks; the rendered machine configs are checked then. */
  readonly patchedSubnets?: boolean
}

/** Networks that are not routed to machines: RFC 6890, section 2.2.2, and RFC 5771 for multicast. */
const special: readonly (readonly [network: string, what: string])[] = [
  ['0.0.0.0/8', '"this network"'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
]

/** Which special network an address or a network in CIDR notation is in, or overlaps; undefined: none. */
export function specialNetwork(place: string): string | undefined {
  const network = place.includes('/') ? place : `${place}/32`
  const found = special.find(([one]) => overlap(one, network))
  return found && `${found[0]} (${found[1]})`
}

/**
 * The networks of pods and services that Talos configures unless a patch changes them: DefaultIPv4PodNet and
 * DefaultIPv4ServiceNet, pkg/machinery/constants/constants.go.
 */
const defaultSubnets = [
  ['10.244.0.0/16', 'pod', 'podSubnets'],
  ['10.96.0.0/12', 'service', 'serviceSubnets'],
] as const

/** Reports a network that machines can't be in; returns whether addresses in it are worth checking. */
export function checkNetwork(
  { NETWORK_CIDR: cidr }: GivenSettings,
  { patchedSubnets = false }: CheckOptions,
  errors: SettingError[],
): boolean {
  if (cidr === undefined) return false
  const name = 'NETWORK_CIDR'
  const inSpecial = specialNetwork(cidr)
  if (inSpecial !== undefined) {
    const text = `${cidr} overlaps ${inSpecial}, where machines can't be reached; use the network of the bridge, such as 192.168.1.0/24`
    errors.push({ name, text })
    return false
  }
  const subnet = defaultSubnets.find(([one]) => !patchedSubnets && overlap(one, cidr))
  if (subnet !== undefined) {
    const [network, what, field] = subnet
    const text = `${cidr} overlaps the ${what} network ${network} of Talos; use another network, or move the ${what}s by a patch of cluster.network.${field}`
    errors.push({ name, text })
  }
  return true
}
