/** Judges whether this machine will reach the machines of a host, before they exist. Pure. */
import { addressIn, codes, contains, networkOf, type Cluster } from '@talosmith/core'
import { isProven } from '@talosmith/vm'
import type { Check } from './check.ts'
import type { CheckedHost, Line } from './checked-host.ts'
import type { Here } from './route-here.ts'

/** How this machine and a host's machines are connected. */
export interface Reach {
  readonly here: Here
  /** This machine is the host itself, also when LIBVIRT_URI names it over SSH. */
  readonly isHost: boolean
  /** Whether a machine of the cluster answers to this machine. */
  readonly answers: boolean
  /** Whether an SSH server answers at the host's own address in the libvirt network, which no router leads to by itself. */
  readonly hostAnswersInside: boolean
}

/** Why the machines cannot be reached. */
interface Obstacle {
  /** False: a setting of a router or firewall that is not observed may open the way. */
  readonly isCertain: boolean
  readonly detail: string
  readonly remedy: string
}

/**
 * MACHINES_UNREACHABLE: certain of a new cluster, it fails. A cluster that has run proves that there is a way, if not
 * from this machine, then it may be elsewhere for today: a warning. Machines that answer end the question.
 */
export function judgeReach(cluster: Cluster, host: CheckedHost, line: Line): Check[] {
  const { reach, observed } = host
  if (reach === undefined) return []
  const check = 'route'
  const { NETWORK_CIDR: cidr } = cluster.settings
  const found = reach.answers ? undefined : obstacleOf(cluster, host, reach)
  if (found === undefined) return [line(check, describeWay(cidr, reach))]
  const fails = found.isCertain && !isProven(cluster, [observed])
  return [
    line(check, found.detail, fails ? 'fail' : 'warning', found.remedy, codes.machinesUnreachable),
  ]
}

function describeWay(cidr: string, { answers, here: { route } }: Reach): string {
  if (answers) return 'machines answer to this machine'
  if (route?.kind !== 'route') return `the route of this machine to ${cidr} is not known`
  const { gateway, device } = route
  const through = [gateway, device && `(${device})`].filter(Boolean).join(' ')
  return `this machine reaches ${cidr} through ${through || 'its default route'}`
}

function obstacleOf(cluster: Cluster, host: CheckedHost, reach: Reach): Obstacle | undefined {
  const { NETWORK_CIDR: cidr } = cluster.settings
  const { route } = reach.here
  if (route?.kind === 'none') return noRoute(cidr, host, reach)
  return (
    betweenHosts(cluster, host) ??
    (reach.isHost ? macvtap(cluster, host, reach) : servedElsewhere(cluster, host, reach)) ??
    ownNetwork(cluster, host, reach)
  )
}

function noRoute(cidr: string, host: CheckedHost, reach: Reach): Obstacle {
  const add = routeOverHost(cidr, host, reach)
  const near = reach.isHost
    ? `give the bridge on this machine an address in ${cidr}`
    : `connect this machine to that network`
  return {
    isCertain: true,
    detail: `this machine has no route to ${cidr}`,
    remedy: `${add === undefined ? near : `run ${add}, and let the host forward (sysctl net.ipv4.ip_forward=1)`}; or add a route over a router`,
  }
}

/**
 * Machines that libvirt attaches by macvtap never exchange packets with the host itself: those go out at the interface,
 * and the switch does not return them (https://libvirt.org/formatdomain.html#direct-attachment-to-physical-interface).
 * With another interface in that network, or over a router, this machine reaches them.
 */
function macvtap(cluster: Cluster, { observed }: CheckedHost, reach: Reach): Obstacle | undefined {
  const { NETWORK_NAME: name, NETWORK_CIDR: cidr } = cluster.settings
  const { bridge, devices, forward } = observed.networks
  const { route } = reach.here
  if (name === undefined || bridge !== undefined || devices.length === 0) return undefined
  if (!['bridge', 'private', 'vepa', 'passthrough'].includes(forward ?? '')) return undefined
  if (route?.kind !== 'route' || route.gateway !== undefined) return undefined
  if (route.device === undefined || !devices.includes(route.device)) return undefined
  return {
    isCertain: true,
    detail: `this machine is the KVM host, and reaches ${cidr} only over ${route.device}, which the libvirt network ${name} attaches machines to by macvtap: the host and they never reach each other`,
    remedy: `set NETWORK_BRIDGE to a bridge that ${route.device} is a port of; or run Talosmith on another machine of that network, with LIBVIRT_URI=qemu+ssh://<user>@<this host>/system`,
  }
}

/** A libvirt network of another host that libvirt itself serves: NAT, isolated, routed or open. */
function servedElsewhere(
  { settings: { NETWORK_NAME: name, NETWORK_CIDR: cidr } }: Cluster,
  host: CheckedHost,
  reach: Reach,
): Obstacle | undefined {
  const { address: own, forward } = host.observed.networks
  const { route, addresses } = reach.here
  if (name === undefined || own === undefined) return undefined
  const twin = addresses.find((one) => addressIn(one.address) === own.address)
  const what = `the libvirt network ${name} of ${host.observed.host}`
  const onHost = `run Talosmith on ${host.observed.host}, with LIBVIRT_URI=qemu:///system`
  if (twin !== undefined)
    return {
      // A tunnel that redirects packets before they are routed, such as sshuttle's, takes these too.
      isCertain: false,
      detail: `${twin.name} of this machine has ${own.address}, the address of the host in ${what}: packets to its machines do not leave this machine`,
      remedy: `${onHost}; or give one of the two networks another range (virsh net-edit)`,
    }
  if (route?.kind !== 'route') return undefined
  const leadsToHost = host.details.addresses.some((one) => addressIn(one) === route.gateway)
  const isVague = route.isDefault && !leadsToHost
  const isClosed = forward === undefined || forward === 'nat'
  if (!isVague && (!isClosed || (route.gateway === undefined && !route.isDefault))) return undefined
  const add = routeOverHost(cidr, host, reach)
  const tunnel = `a tunnel over SSH, such as sshuttle -r ${sshOf(host)} ${cidr}`
  if (isClosed)
    return {
      // A tunnel without a gateway may end at the host; where it answers inside, something leads there already.
      isCertain: isVague && route.gateway !== undefined && !reach.hostAnswersInside,
      detail: `${what} is ${forward === 'nat' ? 'behind NAT' : 'isolated'}: libvirt rejects connections from this machine to its machines${isVague ? `, and the route to ${cidr} is the default one` : ''}`,
      remedy: `${onHost}; or use ${tunnel}; or a bridge; or <forward mode='route'/> in the network (virsh net-edit)${add === undefined ? '' : ` with ${add}`}`,
    }
  return {
    isCertain: false,
    detail: `the route of this machine to ${cidr}, ${what}, is the default one: its router must know that network`,
    remedy: `${add ?? `a route to ${cidr} over ${host.observed.host}, on the router`}; or ${onHost}`,
  }
}

/** Each host serves a network of its own: machines on different hosts do not reach each other. */
function betweenHosts(
  { settings: { NETWORK_NAME: name, LIBVIRT_URI: uris }, nodes }: Cluster,
  { observed }: CheckedHost,
): Obstacle | undefined {
  const { address, forward } = observed.networks
  const others = nodes.filter((node) => node.host !== observed.index)
  if (name === undefined || address === undefined || forward !== 'nat') return undefined
  if (uris.length < 2 || others.length === 0 || others.length === nodes.length) return undefined
  return {
    isCertain: true,
    detail: `the libvirt network ${name} is behind NAT on each host of LIBVIRT_URI: machines on different hosts do not reach each other`,
    remedy: `set NETWORK_BRIDGE to bridges that connect the hosts, or LIBVIRT_URI to one host`,
  }
}

/** Bridges that libvirt, Docker and VMware create for machines and containers on this machine alone. */
const privateDevice = /^(?:virbr\d+|docker\d+|docker_gwbridge|br-[\da-f]{12}|vmnet\d+)$/

/** NETWORK_CIDR is, on this machine, a network of its own containers or machines. */
function ownNetwork(
  { settings: { NETWORK_BRIDGE, NETWORK_CIDR: cidr } }: Cluster,
  { observed }: CheckedHost,
  { here, isHost }: Reach,
): Obstacle | undefined {
  const { route } = here
  if (route?.kind !== 'route' || route.isDefault || !privateDevice.test(route.device ?? ''))
    return undefined
  const used = NETWORK_BRIDGE ?? observed.networks.bridge
  if (isHost && route.device === used) return undefined
  const own = here.addresses.find(({ name }) => name === route.device)?.address
  return {
    isCertain: false,
    detail: `the route of this machine to ${cidr} is over ${route.device}${own === undefined ? '' : ` (${own})`}, a network of its own`,
    remedy: `use another NETWORK_CIDR, or give ${route.device} another range`,
  }
}

/** The command for a route over the host; undefined: the two are not in one network, or the host is not in the machines'. */
function routeOverHost(cidr: string, { details }: CheckedHost, reach: Reach): string | undefined {
  const { here, isHost } = reach
  if (isHost || !details.addresses.some((one) => contains(cidr, addressIn(one)))) return undefined
  const over = details.addresses.find((one) =>
    here.addresses.some(
      (own) =>
        networkOf(own.address) === networkOf(one) &&
        addressIn(own.address) !== addressIn(one) &&
        !contains(cidr, addressIn(one)) &&
        !privateDevice.test(own.name),
    ),
  )
  if (over === undefined) return undefined
  return here.isMac
    ? `sudo route -n add -net ${cidr} ${addressIn(over)}`
    : `sudo ip route add ${cidr} via ${addressIn(over)}`
}

function sshOf({ observed: { host } }: CheckedHost): string {
  return host.includes('@') ? host : '<user>@<host>'
}
