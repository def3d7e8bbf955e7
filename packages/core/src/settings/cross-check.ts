import { addressAt, broadcastOf, contains } from '../addresses.ts'
import { parseLibvirtUri } from '../host/uri.ts'
import { describeNodes, type NodeSettings } from '../nodes.ts'
import { reasonOf } from '../problem.ts'
import type { GivenSettings } from './complete.ts'
import { unsupportedPair } from './versions.ts'

interface Findings {
  /** Faults, each beginning with its setting's name and a colon. */
  readonly wrong: readonly string[]
  /** Allowed, but worth knowing. */
  readonly warnings: readonly string[]
}

/**
 * Checks settings against each other. `faulty` names settings that are wrong in themselves: a check
 * that would need one of them is left out, so that one mistake is reported once.
 */
export function crossCheck(settings: GivenSettings, faulty: ReadonlySet<string>): Findings {
  const wrong: string[] = []
  const warnings: string[] = []
  checkHosts(settings, wrong)
  checkNetworkChoice(settings, faulty, wrong)
  checkVersions(settings, wrong)
  checkControlPlanes(settings, wrong, warnings)
  checkAddresses(settings, wrong)
  checkKernelArguments(settings, wrong)
  checkStorage(settings, faulty, wrong)
  return { wrong, warnings }
}

function checkHosts({ LIBVIRT_URI: uris }: GivenSettings, wrong: string[]): void {
  if (uris?.length === 0) wrong.push('LIBVIRT_URI: names no host')
  for (const uri of uris ?? [])
    try {
      parseLibvirtUri(uri)
    } catch (error) {
      wrong.push(`LIBVIRT_URI: ${reasonOf(error) ?? uri}`)
    }
  for (const uri of new Set(uris?.filter((uri, index) => uris.indexOf(uri) !== index)))
    wrong.push(`LIBVIRT_URI: names ${uri} more than once`)
}

function checkNetworkChoice(
  settings: GivenSettings,
  faulty: ReadonlySet<string>,
  wrong: string[],
): void {
  if (faulty.has('NETWORK_BRIDGE') || faulty.has('NETWORK_NAME')) return
  const { NETWORK_BRIDGE: bridge, NETWORK_NAME: name } = settings
  if (bridge !== undefined && name !== undefined)
    wrong.push(`NETWORK_BRIDGE: "${bridge}" and NETWORK_NAME "${name}" are both set; keep one`)
  if (bridge === undefined && name === undefined)
    wrong.push(
      'NETWORK_BRIDGE: missing; set it to a bridge of the host, or NETWORK_NAME to a libvirt network',
    )
}

function checkVersions(
  { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes }: GivenSettings,
  wrong: string[],
): void {
  if (talos === undefined) return
  const why = unsupportedPair(talos, kubernetes ?? 'v1.36.0')
  if (why === undefined) return
  if (kubernetes === undefined) wrong.push(`TALOS_VERSION: ${talos}: ${why}`)
  else
    wrong.push(`KUBERNETES_VERSION: ${kubernetes} does not go with TALOS_VERSION ${talos}: ${why}`)
}

function checkControlPlanes(settings: GivenSettings, wrong: string[], warnings: string[]): void {
  const { CONTROL_PLANE_COUNT: count, CLUSTER_VIP: vip } = settings
  if (count === undefined) return
  if (count % 2 === 0)
    wrong.push(
      `CONTROL_PLANE_COUNT: ${count} is even; etcd with ${count} members survives no more losses than with ${count - 1}: use ${count - 1} or ${count + 1}`,
    )
  else if (count === 1 && vip !== undefined)
    warnings.push(
      `CLUSTER_VIP ${vip} has one control plane behind it: when that is down, so is the API`,
    )
}

function checkAddresses(settings: GivenSettings, wrong: string[]): void {
  const { NETWORK_CIDR: cidr, NETWORK_GATEWAY: gateway, CLUSTER_VIP: vip } = settings
  if (cidr === undefined) return
  const taken = new Map([
    [addressAt(cidr, 0), "NETWORK_CIDR's network address"],
    [broadcastOf(cidr), "NETWORK_CIDR's broadcast address"],
  ])
  for (const [key, address] of [
    ['NETWORK_GATEWAY', gateway],
    ['CLUSTER_VIP', vip],
  ] as const) {
    if (address === undefined) continue
    const owner = taken.get(address)
    if (!contains(cidr, address)) wrong.push(`${key}: ${address} is not in NETWORK_CIDR ${cidr}`)
    else if (owner !== undefined) wrong.push(`${key}: ${address} is ${owner}`)
    taken.set(address, key)
  }
  if (!hasNodeSettings(settings)) return
  for (const { name, role, address } of describeNodes(settings)) {
    const key = role === 'worker' ? 'WORKER_IP_OFFSET' : 'CONTROL_PLANE_IP_OFFSET'
    const owner = taken.get(address)
    if (!contains(cidr, address))
      wrong.push(`${key}: ${name} would get ${address}, outside NETWORK_CIDR ${cidr}`)
    else if (owner !== undefined)
      wrong.push(`${key}: ${name} would get ${address}, which is ${owner}`)
    taken.set(address, name)
  }
}

function hasNodeSettings(settings: GivenSettings): settings is GivenSettings & NodeSettings {
  const needed = [
    settings.CLUSTER_NAME,
    settings.MAC_PREFIX,
    settings.NETWORK_CIDR,
    settings.LIBVIRT_URI,
    settings.CONTROL_PLANE_COUNT,
    settings.CONTROL_PLANE_CPU,
    settings.CONTROL_PLANE_MEMORY_MIB,
    settings.CONTROL_PLANE_DISK_GIB,
    settings.CONTROL_PLANE_IP_OFFSET,
    settings.WORKER_COUNT,
    settings.WORKER_CPU,
    settings.WORKER_MEMORY_MIB,
    settings.WORKER_DISK_GIB,
    settings.WORKER_IP_OFFSET,
  ]
  return needed.every((value) => value !== undefined)
}

/** Words that YAML does not read as text, so that the schematic ID worked out here would be another. */
const yamlWords = /^(?:true|false|yes|no|on|off|y|n|null|~)$/i

function checkKernelArguments({ TALOS_KERNEL_ARGS: args }: GivenSettings, wrong: string[]): void {
  for (const word of args ?? [])
    if (yamlWords.test(word)) wrong.push(`TALOS_KERNEL_ARGS: "${word}" is not a kernel argument`)
}

/** Every way to ask mount.nfs for version 3: https://man7.org/linux/man-pages/man5/nfs.5.html */
const nfsVersion3 = /^(?:(?:nfs)?vers=|v)3(?:\.0)?$/

function checkStorage(settings: GivenSettings, faulty: ReadonlySet<string>, wrong: string[]): void {
  const { NFS_SERVER: server, NFS_SHARE: share, NFS_MOUNT_OPTIONS: options } = settings
  if (server !== undefined && share === undefined && !faulty.has('NFS_SHARE'))
    wrong.push(`NFS_SHARE: missing; NFS_SERVER ${server} needs the path that it exports`)
  const version3 = options?.find((option) => nfsVersion3.test(option))
  if (version3 !== undefined && !options?.includes('nolock'))
    wrong.push(
      `NFS_MOUNT_OPTIONS: ${version3} needs nolock, because Talos runs no rpc.statd; add nolock, or use nfsvers=4.1`,
    )
}
