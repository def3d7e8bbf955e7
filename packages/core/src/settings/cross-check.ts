/** Checks of settings against each other. */
import { addressAt, broadcastOf, contains } from '../addresses.ts'
import { parseLibvirtUri } from '../host/uri.ts'
import { describeNodes, type NodeSettings } from '../nodes.ts'
import { reasonOf } from '../problem.ts'
import type { GivenSettings } from './complete.ts'
import { unsupportedPair } from './versions.ts'

interface Findings {
  /** Errors, each beginning with the name of its setting and a colon. */
  readonly errors: readonly string[]
  /** Allowed, but worth knowing. */
  readonly warnings: readonly string[]
}

/**
 * Checks settings against each other. `invalid` holds the names of settings with an invalid value: checks
 * that need them are skipped, so that each mistake is reported once.
 */
export function crossCheck(settings: GivenSettings, invalid: ReadonlySet<string>): Findings {
  const errors: string[] = []
  const warnings: string[] = []
  checkHosts(settings, errors)
  checkNetworkChoice(settings, invalid, errors)
  checkVersions(settings, errors)
  checkControlPlanes(settings, errors, warnings)
  checkAddresses(settings, errors)
  checkKernelArguments(settings, errors)
  checkStorage(settings, invalid, errors)
  return { errors, warnings }
}

function checkHosts({ LIBVIRT_URI: uris }: GivenSettings, errors: string[]): void {
  if (uris?.length === 0) errors.push('LIBVIRT_URI: names no host')
  for (const uri of uris ?? [])
    try {
      parseLibvirtUri(uri)
    } catch (error) {
      errors.push(`LIBVIRT_URI: ${reasonOf(error) ?? uri}`)
    }
  for (const uri of new Set(uris?.filter((uri, index) => uris.indexOf(uri) !== index)))
    errors.push(`LIBVIRT_URI: names ${uri} more than once`)
}

function checkNetworkChoice(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  errors: string[],
): void {
  if (invalid.has('NETWORK_BRIDGE') || invalid.has('NETWORK_NAME')) return
  const { NETWORK_BRIDGE: bridge, NETWORK_NAME: name } = settings
  if (bridge !== undefined && name !== undefined)
    errors.push(`NETWORK_BRIDGE: "${bridge}" and NETWORK_NAME "${name}" are both set; keep one`)
  if (bridge === undefined && name === undefined)
    errors.push(
      'NETWORK_BRIDGE: missing; set it to a bridge of the host, or NETWORK_NAME to a libvirt network',
    )
}

function checkVersions(
  { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes }: GivenSettings,
  errors: string[],
): void {
  if (talos === undefined) return
  const why = unsupportedPair(talos, kubernetes ?? 'v1.36.0')
  if (why === undefined) return
  if (kubernetes === undefined) errors.push(`TALOS_VERSION: ${talos}: ${why}`)
  else
    errors.push(
      `KUBERNETES_VERSION: ${kubernetes} is not supported by TALOS_VERSION ${talos}: ${why}`,
    )
}

function checkControlPlanes(settings: GivenSettings, errors: string[], warnings: string[]): void {
  const { CONTROL_PLANE_COUNT: count, CLUSTER_VIP: vip } = settings
  if (count === undefined) return
  if (count % 2 === 0)
    errors.push(
      `CONTROL_PLANE_COUNT: ${count} is even; etcd with ${count} members tolerates no more failures than with ${count - 1}: use ${count - 1} or ${count + 1}`,
    )
  else if (count === 1 && vip !== undefined)
    warnings.push(
      `CLUSTER_VIP ${vip} is used with one control plane: when that is down, so is the API`,
    )
}

function checkAddresses(settings: GivenSettings, errors: string[]): void {
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
    if (!contains(cidr, address)) errors.push(`${key}: ${address} is not in NETWORK_CIDR ${cidr}`)
    else if (owner !== undefined) errors.push(`${key}: ${address} is ${owner}`)
    taken.set(address, key)
  }
  if (!hasNodeSettings(settings)) return
  for (const { name, role, address } of describeNodes(settings)) {
    const key = role === 'worker' ? 'WORKER_IP_OFFSET' : 'CONTROL_PLANE_IP_OFFSET'
    const owner = taken.get(address)
    if (!contains(cidr, address))
      errors.push(`${key}: ${name} would get ${address}, outside NETWORK_CIDR ${cidr}`)
    else if (owner !== undefined)
      errors.push(`${key}: ${name} would get ${address}, which is ${owner}`)
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

/** Words that YAML does not parse as strings, which would change the schematic ID. */
const yamlWords = /^(?:true|false|yes|no|on|off|y|n|null|~)$/i

function checkKernelArguments({ TALOS_KERNEL_ARGS: args }: GivenSettings, errors: string[]): void {
  for (const word of args ?? [])
    if (yamlWords.test(word)) errors.push(`TALOS_KERNEL_ARGS: "${word}" is not a kernel argument`)
}

/** Mount options that select NFS version 3: https://man7.org/linux/man-pages/man5/nfs.5.html */
const nfsVersion3 = /^(?:(?:nfs)?vers=|v)3(?:\.0)?$/

function checkStorage(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  errors: string[],
): void {
  const { NFS_SERVER: server, NFS_SHARE: share, NFS_MOUNT_OPTIONS: options } = settings
  if (server !== undefined && share === undefined && !invalid.has('NFS_SHARE'))
    errors.push(`NFS_SHARE: missing; NFS_SERVER ${server} needs the path that it exports`)
  const version3 = options?.find((option) => nfsVersion3.test(option))
  if (version3 !== undefined && !options?.includes('nolock'))
    errors.push(
      `NFS_MOUNT_OPTIONS: ${version3} needs nolock, because Talos runs no rpc.statd; add nolock, or use nfsvers=4.1`,
    )
}
