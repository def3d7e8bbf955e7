/** Judges what a host's machines can reach: network, addresses, Image Factory, NFS. Pure. */
import { proxyHint } from '@talosmith/clients/factory'
import { addressIn, codes, contains, type Cluster } from '@talosmith/core'
import { domainOf, hostNetworks, isElsewhere, isProven, settingsFor } from '@talosmith/vm'
import type { Check } from './check.ts'
import type { CheckedHost, Line } from './checked-host.ts'

export function judgeNetwork(
  cluster: Cluster,
  { observed, details }: CheckedHost,
  line: Line,
): Check {
  const { NETWORK_BRIDGE: bridge, NETWORK_NAME: name, NETWORK_CIDR: cidr } = cluster.settings
  const { NETWORK_GATEWAY: gateway } = cluster.settings
  const what = bridge === undefined ? `libvirt network ${name}` : `bridge ${bridge}`
  if (details.bridge?.isUp === false)
    return line(
      'network',
      `bridge ${bridge} is down`,
      'warning',
      `run ip link set ${bridge} up on the host, and configure it to come up at boot`,
    )
  const networks = hostNetworks(cluster, observed)
  const listed = networks.map(({ address }) => address).join(', ')
  // Otherwise it is one of the problems: ADDRESS_OUTSIDE_NETWORK.
  if (isElsewhere(cluster, networks) && isProven(cluster, [observed]))
    return line(
      'network',
      `${what} has ${listed}, which is not in ${cidr}`,
      'warning',
      `give ${what} an address in ${cidr}, so that the host reaches the machines without a router`,
    )
  const other = networks.find(
    (one) => one.gateway !== undefined && one.gateway !== gateway && contains(cidr, one.gateway),
  )
  if (other !== undefined)
    return line(
      'network',
      `the gateway of ${what} is ${other.gateway}, and NETWORK_GATEWAY is ${gateway}`,
      'warning',
      `put into env/${cluster.file}.env:\n${settingsFor(other)}\nor ignore this, if machines are to use another router`,
    )
  const state = bridge === undefined ? 'active' : 'up'
  return line(
    'network',
    `${what} is ${state}${listed === '' ? '' : `, ${listed}`}; machines are in ${cidr}, gateway ${gateway}`,
  )
}

export function judgeAddresses(
  cluster: Cluster,
  { observed, evidence, details, reach, problems }: CheckedHost,
  line: Line,
): Check[] {
  if (evidence === undefined) return []
  const holders = [
    ...details.addresses.map((address) => [address, observed.host] as const),
    ...(reach?.here.addresses ?? []).map(({ address }) => [address, 'this machine'] as const),
  ]
  const holderOf = (address: string | undefined): string | undefined =>
    holders.find(([one]) => addressIn(one) === address)?.[1]
  const inUse = cluster.nodes.flatMap((node) => {
    const answering = evidence.machines.get(node.name)?.answering ?? []
    const own = domainOf(node, observed)?.owner === cluster.name
    const others = answering.filter((mac) => !own || mac !== node.mac)
    // It does not answer itself.
    const holder = holderOf(node.address) ?? []
    return [...others, holder]
      .flat()
      .map((user) => `${node.address} (${node.name}) is used by ${user}`)
  })
  const ofVip = holderOf(cluster.vip)
  if (ofVip !== undefined) inUse.push(`${cluster.vip} (CLUSTER_VIP) is used by ${ofVip}`)
  const own = new Set(cluster.controlPlanes.map(({ mac }) => mac))
  for (const mac of evidence.vipAnswering.filter((one) => !own.has(one)))
    inUse.push(`${cluster.vip} (CLUSTER_VIP) is used by ${mac}`)
  const addresses =
    inUse.length === 0
      ? line(
          'addresses',
          evidence.machines.size === 0
            ? 'all machines exist already'
            : 'not used by other machines',
        )
      : line(
          'addresses',
          inUse.join('; '),
          'fail',
          'change CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET or CLUSTER_VIP, or the addresses of the other machines',
          codes.addressTaken,
        )
  // A gateway outside of the network cannot answer: that problem explains it.
  const isOutside = problems.some(({ code }) => code === codes.addressOutsideNetwork)
  if (evidence.gatewayAnswers !== false || isOutside) return [addresses]
  return [
    addresses,
    line(
      'gateway',
      `${cluster.settings.NETWORK_GATEWAY} does not answer`,
      'warning',
      'set NETWORK_GATEWAY to the router (see ip route on the host)',
      codes.gatewaySilent,
    ),
  ]
}

export function judgeFactory(
  { settings }: Cluster,
  { observed, outside }: CheckedHost,
  line: Line,
): Check[] {
  const answer = outside?.factory
  if (answer === undefined) return []
  if ('status' in answer && answer.status >= 200 && answer.status < 300)
    return [line('Image Factory', 'reachable from the host')]
  const reason = 'reason' in answer ? answer.reason : `HTTP ${answer.status}`
  return [
    line(
      'Image Factory',
      `the host cannot reach ${settings.TALOS_FACTORY_URL}: ${reason}`,
      observed.hasImage ? 'warning' : 'fail',
      (settings.HOST_PROXY === undefined ? undefined : proxyHint(reason, 'HOST_PROXY')) ??
        'fix DNS or firewall of the host, set HOST_PROXY if it needs an HTTP proxy, or IMAGE_RELAY=true to download images through this machine',
      codes.factoryUnreachable,
    ),
  ]
}

export function judgeNfs({ settings }: Cluster, answers: boolean | undefined, line: Line): Check[] {
  if (answers === undefined) return []
  if (answers) return [line('NFS server', `${settings.NFS_SERVER} answers on port 2049`)]
  return [
    line(
      'NFS server',
      `${settings.NFS_SERVER} does not answer on port 2049`,
      'fail',
      'start it and allow hosts and machines to connect, or remove NFS_SERVER',
      codes.nfsNoAnswer,
    ),
  ]
}
