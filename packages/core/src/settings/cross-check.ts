/** Checks of settings against each other. */
import { withoutCredentials } from '../credentials.ts'
import { parseLibvirtUri } from '../host/uri.ts'
import { Problem } from '../problem.ts'
import { checkAddresses } from './check-addresses.ts'
import { checkNetwork, type CheckOptions } from './check-network.ts'
import type { GivenSettings } from './complete.ts'
import type { SettingError } from './errors.ts'
import type { HostSettings } from './hosts.ts'
import { unsupportedPair } from './versions.ts'

export type { CheckOptions } from './check-network.ts'

interface Findings {
  readonly errors: readonly SettingError[]
  /** Allowed, but worth knowing. */
  readonly warnings: readonly string[]
}

/**
 * Checks settings against each other. `invalid` holds the names of settings with an invalid value: checks
 * that need them are skipped, so that each mistake is reported once.
 */
export function crossCheck(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  options: CheckOptions = {},
): Findings {
  const errors: SettingError[] = []
  const warnings: string[] = []
  checkHosts(settings, errors)
  checkNetworkChoice(settings, invalid, errors)
  checkVersions(settings, errors)
  checkControlPlanes(settings, errors, warnings)
  if (checkNetwork(settings, options, errors)) checkAddresses(settings, invalid, errors)
  checkKernelArguments(settings, errors)
  checkStorage(settings, invalid, errors)
  checkPlaces(settings, warnings)
  return { errors, warnings }
}

function checkHosts({ LIBVIRT_URI: uris }: GivenSettings, errors: SettingError[]): void {
  const name = 'LIBVIRT_URI'
  if (uris?.length === 0)
    errors.push({ name, text: 'names no host; for this machine write qemu:///system' })
  for (const uri of uris ?? [])
    try {
      parseLibvirtUri(uri)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      errors.push({ name, text: `${error.message}: ${error.because}; ${error.hint}` })
    }
  for (const uri of new Set(uris?.filter((uri, index) => uris.indexOf(uri) !== index)))
    errors.push({
      name,
      text: `names ${withoutCredentials(uri)} more than once; keep one of them`,
    })
}

function checkNetworkChoice(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  errors: SettingError[],
): void {
  if (invalid.has('NETWORK_BRIDGE') || invalid.has('NETWORK_NAME')) return
  const { NETWORK_BRIDGE: bridge, NETWORK_NAME: name, hosts = [] } = settings
  if (bridge !== undefined && name !== undefined)
    errors.push({
      name: 'NETWORK_BRIDGE',
      text: `"${bridge}" and NETWORK_NAME "${name}" are both set; keep one`,
      others: ['NETWORK_NAME'],
    })
  const isGiven = ({ own }: HostSettings): boolean =>
    own?.NETWORK_BRIDGE !== undefined || own?.NETWORK_NAME !== undefined
  if (bridge === undefined && name === undefined && !(hosts.length > 0 && hosts.every(isGiven)))
    errors.push({
      name: 'NETWORK_BRIDGE',
      text: 'missing; set it to a bridge of the host, or NETWORK_NAME to a libvirt network',
      others: ['NETWORK_NAME'],
    })
}

function checkVersions(
  { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes }: GivenSettings,
  errors: SettingError[],
): void {
  if (talos === undefined) return
  const why = unsupportedPair(talos, kubernetes ?? 'v1.36.0')
  if (why === undefined) return
  if (kubernetes === undefined) errors.push({ name: 'TALOS_VERSION', text: `${talos}: ${why}` })
  else
    errors.push({
      name: 'KUBERNETES_VERSION',
      text: `${kubernetes} is not supported by TALOS_VERSION ${talos}: ${why}`,
      others: ['TALOS_VERSION'],
    })
}

function checkControlPlanes(
  settings: GivenSettings,
  errors: SettingError[],
  warnings: string[],
): void {
  const { CONTROL_PLANE_COUNT: count, CLUSTER_VIP: vip } = settings
  if (count === undefined) return
  if (count % 2 === 0)
    errors.push({
      name: 'CONTROL_PLANE_COUNT',
      text: `${count} is even; etcd with ${count} members tolerates no more failures than with ${count - 1}: use ${count - 1} or ${count + 1}`,
    })
  else if (count === 1 && vip !== undefined)
    warnings.push(
      `CLUSTER_VIP ${vip} is used with one control plane: when that is down, so is the API`,
    )
}

function checkPlaces(settings: GivenSettings, warnings: string[]): void {
  for (const machine of Object.keys(settings.places ?? {})) {
    const key = machine.startsWith('w') ? 'WORKER_COUNT' : 'CONTROL_PLANE_COUNT'
    const count = settings[key]
    if (count !== undefined && Number(/\d+$/.exec(machine)?.[0]) > count)
      warnings.push(
        `PLACE_${machine.toUpperCase()} has no effect: ${key} is ${count}, so there is no machine ${machine}`,
      )
  }
}

/** Words that YAML does not parse as strings, which would change the schematic ID. */
const yamlWords = /^(?:true|false|yes|no|on|off|y|n|null|~)$/i

function checkKernelArguments(
  { TALOS_KERNEL_ARGS: args }: GivenSettings,
  errors: SettingError[],
): void {
  for (const word of args ?? [])
    if (yamlWords.test(word))
      errors.push({
        name: 'TALOS_KERNEL_ARGS',
        text: `"${word}" is not a kernel argument; remove it, or write <name>=${word}`,
      })
}

/** Mount options that select NFS version 3: https://man7.org/linux/man-pages/man5/nfs.5.html */
const nfsVersion3 = /^(?:(?:nfs)?vers=|v)3(?:\.0)?$/

function checkStorage(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  errors: SettingError[],
): void {
  const { NFS_SERVER: server, NFS_SHARE: share, NFS_MOUNT_OPTIONS: options } = settings
  if (server !== undefined && share === undefined && !invalid.has('NFS_SHARE'))
    errors.push({
      name: 'NFS_SHARE',
      text: `missing; NFS_SERVER ${server} needs the path that it exports, as showmount -e ${server} prints it`,
    })
  const version3 = options?.find((option) => nfsVersion3.test(option))
  if (version3 !== undefined && !options?.includes('nolock'))
    errors.push({
      name: 'NFS_MOUNT_OPTIONS',
      text: `${version3} needs nolock, because Talos runs no rpc.statd; add nolock, or use nfsvers=4.1`,
    })
}
