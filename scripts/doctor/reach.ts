/** Observes how this machine is connected to the machines of one host. */
import { parseLibvirtUri, type Cluster, type Host, type Node } from '@talosmith/core'
import { domainOf, type HostDetails, type ObservedHost } from '@talosmith/vm'
import type { Reach } from './judge-reach.ts'
import { answersHere, type Here } from './route-here.ts'

/** apid (pkg/machinery/constants/constants.go, ApidPort). */
const talosPort = 50_000

const sshPort = 22

/** The port of sshd on a host of LIBVIRT_URI: the one that it names, or SSH's own. Pure. */
export function sshPortOf(uri = 'qemu:///system'): number {
  const target = parseLibvirtUri(uri)
  return target.kind === 'local' ? sshPort : (target.port ?? sshPort)
}

/** Connects to the machines that run, and where only a default route leads to a libvirt network, to its host inside. */
export async function observeReach(
  { name, settings }: Pick<Cluster, 'name' | 'settings'>,
  host: Pick<Host, 'isLocal'>,
  {
    own,
    details,
    nodes,
    here,
  }: {
    readonly own: ObservedHost
    readonly details: HostDetails
    readonly nodes: readonly Node[]
    readonly here: Here
  },
): Promise<Reach> {
  const isHost = host.isLocal || isSameMachine(here, details)
  const running = nodes.filter((node) => {
    const domain = domainOf(node, own)
    return domain?.owner === name && domain.live.state === 'running'
  })
  const { address } = own.networks
  const inside =
    settings.NETWORK_NAME !== undefined &&
    address !== undefined &&
    !isHost &&
    here.route?.kind === 'route' &&
    here.route.isDefault
      ? address.address
      : undefined
  const [answers, hostAnswersInside] = await Promise.all([
    Promise.all(running.map((node) => answersHere(node.address, talosPort))),
    inside !== undefined && answersHere(inside, sshPortOf(settings.LIBVIRT_URI[own.index]), 'SSH-'),
  ])
  return { here, isHost, answers: answers.includes(true), hostAnswersInside }
}

/**
 * Whether two observations are of one machine: of one boot, and with an interface in common. Containers of one kernel have
 * interfaces of their own; clones of a machine, and Docker's 02:42:ac:11:00:01, have MAC addresses in common.
 */
function isSameMachine(
  { addresses, bootId }: Here,
  { macs, bootId: hostBootId }: HostDetails,
): boolean {
  if (bootId === '' || bootId !== hostBootId) return false
  return addresses.some(
    ({ mac }) => !/^(?:00:00:00:00:00:00|02:42:)/.test(mac) && macs.includes(mac.toLowerCase()),
  )
}
