/** Judges whether iptables on a host drops what machines send or receive. Pure. */
import { codes, overlap, type Cluster } from '@talosmith/core'
import type { Check } from './check.ts'
import type { CheckedHost, Line } from './checked-host.ts'

/**
 * TRAFFIC_DROPPED: Docker sets the policy of FORWARD to DROP. It applies to bridged packets where br_netfilter passes
 * them to iptables, and to those of networks that the host forwards. Rules for other machines may look like ours, so
 * every rule that may accept the traffic ends the warning: it is never a failure.
 */
export function judgeFilter(cluster: Cluster, host: CheckedHost, line: Line): Check {
  const { details, observed } = host
  const { NETWORK_BRIDGE: given, NETWORK_NAME: name } = cluster.settings
  const { bridge: ofNetwork, forward, address } = observed.networks
  const { policy, rules, seesBridged } = details.filter
  const isBridged = given !== undefined || forward === 'bridge'
  const bridge = given ?? ofNetwork
  const check = 'firewall'
  const fine = line(check, 'drops no traffic of the machines')
  // Packets of macvtap do not pass iptables; nor is anything forwarded from an isolated network.
  if (bridge === undefined || (isBridged ? !seesBridged : address === undefined)) return fine
  if (!isBridged && forward === undefined) return fine
  if (policy === undefined)
    return isBridged
      ? line(
          check,
          'iptables filters bridged traffic, and its FORWARD policy could not be read',
          'warning',
          'run iptables -S FORWARD as root on the host: with -P FORWARD DROP (set by Docker) machines cannot reach each other',
        )
      : fine
  if (policy !== 'DROP' || accepts(rules, bridge, cluster.settings.NETWORK_CIDR)) return fine
  // Of libvirt's own: its chains in FORWARD accept what the network sends (src/network/network_iptables.c).
  if (!isBridged && forward !== 'open' && rules.some((rule) => /-j LIBVIRT_FWO$/.test(rule)))
    return fine
  const chain = rules.includes('-N DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD'
  return isBridged
    ? line(
        check,
        'iptables drops bridged traffic: its FORWARD policy is DROP (Docker sets that), so machines reach neither each other nor this machine',
        'warning',
        `iptables -I ${chain} -i ${bridge} -o ${bridge} -j ACCEPT, and again at each boot; or sysctl -w net.bridge.bridge-nf-call-iptables=0`,
        codes.trafficDropped,
      )
    : line(
        check,
        `iptables drops what the libvirt network ${name} sends beyond the host: its FORWARD policy is DROP (Docker sets that), so machines cannot download anything`,
        'warning',
        `iptables -I ${chain} -i ${bridge} -j ACCEPT; iptables -I ${chain} -o ${bridge} -j ACCEPT, and again at each boot; or firewall_backend = "iptables" in /etc/libvirt/network.conf and restart libvirt's network daemon`,
        codes.trafficDropped,
      )
}

/** Whether a rule may accept the traffic: for any packets, for the bridge, for bridged packets or for the network. */
function accepts(rules: readonly string[], bridge: string, cidr: string): boolean {
  return rules.some((rule) => {
    if (!/-j ACCEPT\b/.test(rule) || / (?:-p|--ctstate) /.test(rule)) return false
    if (/^-A (?:\S*input|\S*output|LIBVIRT_)/i.test(rule)) return false
    const links = [...rule.matchAll(/(! )?-[io] (\S+)/g)]
    const networks = [...rule.matchAll(/(! )?-[sd] ([\d./]+)/g)]
    const hasLink = links.every(
      ([, not, link = '']) =>
        (link === bridge || matchesPrefix(link, bridge)) !== (not !== undefined),
    )
    const hasNetwork = networks.every(
      ([, not, network = '']) =>
        not !== undefined || overlap(network.includes('/') ? network : `${network}/32`, cidr),
    )
    return hasLink && hasNetwork
  })
}

/** A link of iptables that ends with + is a prefix. */
function matchesPrefix(link: string, bridge: string): boolean {
  return link.endsWith('+') && bridge.startsWith(link.slice(0, -1))
}
