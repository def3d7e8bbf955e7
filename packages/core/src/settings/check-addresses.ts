/** Checks of addresses against each other: two uses of one address can't both work. */
import { addressAt, broadcastOf, contains, isIpv4 } from '../addresses.ts'
import { parseLibvirtUri } from '../host/uri.ts'
import { describeNodes, type Node, type NodeSettings } from '../nodes.ts'
import { specialNetwork } from './check-network.ts'
import type { GivenSettings } from './complete.ts'
import type { SettingError } from './errors.ts'
import type { SettingName } from './schema.ts'

/** What has an address, and by which setting. */
interface Owner {
  readonly what: string
  readonly name: SettingName
  readonly role?: Node['role']
}
type Owners = Map<string, Owner>

/** Reports addresses that are used twice, or that can't be used for what they are set to. */
export function checkAddresses(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  errors: SettingError[],
): void {
  const { NETWORK_CIDR: cidr, NETWORK_GATEWAY: gateway, CLUSTER_VIP: vip } = settings
  if (cidr === undefined) return
  const name = 'NETWORK_CIDR'
  const owners: Owners = new Map([
    [addressAt(cidr, 0), { name, what: "NETWORK_CIDR's network address" }],
    [broadcastOf(cidr), { name, what: "NETWORK_CIDR's broadcast address" }],
  ])
  checkInside('NETWORK_GATEWAY', gateway, cidr, owners, errors)
  // A host may be the gateway of its machines.
  for (const address of hostAddresses(settings))
    if (!owners.has(address))
      owners.set(address, { name: 'LIBVIRT_URI', what: 'the KVM host of LIBVIRT_URI' })
  checkInside('CLUSTER_VIP', vip, cidr, owners, errors)
  if (hasNodeSettings(settings)) checkNodes(settings, owners, errors)
  checkServers(settings, invalid, owners, errors)
}

function checkInside(
  name: 'NETWORK_GATEWAY' | 'CLUSTER_VIP',
  address: string | undefined,
  cidr: string,
  owners: Owners,
  errors: SettingError[],
): void {
  if (address === undefined) return
  const owner = owners.get(address)
  if (!contains(cidr, address))
    errors.push({
      name,
      text: `${address} is not in NETWORK_CIDR ${cidr}; use an address in it`,
      others: ['NETWORK_CIDR'],
    })
  else if (owner !== undefined)
    errors.push({
      name,
      text: `${address} is ${owner.what}; use another address`,
      others: [owner.name],
    })
  owners.set(address, { name, what: name })
}

/** One error for each pair of settings that collide, which may concern many machines. */
function checkNodes(
  settings: GivenSettings & NodeSettings,
  owners: Owners,
  errors: SettingError[],
): void {
  const cidr = settings.NETWORK_CIDR
  const reported = new Set<string>()
  for (const { name: node, role, address } of describeNodes(settings)) {
    const name = role === 'worker' ? 'WORKER_IP_OFFSET' : 'CONTROL_PLANE_IP_OFFSET'
    const owner = owners.get(address)
    const what = `${node} (${name}=${settings[name]})`
    if (!contains(cidr, address)) {
      if (!reported.has(name))
        errors.push({
          name,
          text: `${node} would get ${address}, outside NETWORK_CIDR ${cidr}; use a smaller offset`,
          others: ['NETWORK_CIDR'],
        })
      reported.add(name)
      continue
    }
    if (owner !== undefined && !reported.has(`${name} ${owner.name}`)) {
      errors.push({
        name,
        text: `${node} would get ${address}, which is ${owner.what}; change one of the two`,
        others: [owner.name],
      })
      reported.add(`${name} ${owner.name}`)
    }
    if (owner === undefined) owners.set(address, { name, what, role })
  }
}

/** Servers that the machines need must be elsewhere: a machine that starts can't wait for itself. */
function checkServers(
  settings: GivenSettings,
  invalid: ReadonlySet<string>,
  owners: Owners,
  errors: SettingError[],
): void {
  const { CLUSTER_ENDPOINT: endpoint, NFS_SERVER: nfs, NETWORK_NAMESERVERS: dns } = settings
  const isFree = (name: SettingName, host: string, allowed: (owner: Owner) => boolean): void => {
    const inSpecial = /^localhost$/i.test(host)
      ? '127.0.0.0/8 (loopback)'
      : isIpv4(host)
        ? specialNetwork(host)
        : undefined
    const owner = owners.get(host)
    if (inSpecial !== undefined)
      errors.push({
        name,
        text: `${host} is in ${inSpecial}, where machines reach no other one; use an address that they reach`,
      })
    else if (owner !== undefined && !allowed(owner))
      errors.push({
        name,
        text: `${host} is ${owner.what}, which can't serve it; use another address`,
        others: [owner.name],
      })
  }
  const isElsewhere = ({ name }: Owner): boolean =>
    name === 'NETWORK_GATEWAY' || name === 'LIBVIRT_URI'
  const [apiHost = '', apiPort = '6443'] = endpoint?.split(':') ?? []
  const api = owners.get(apiHost)
  // kube-apiserver listens on 6443 of every control plane, and behind CLUSTER_VIP.
  if (api !== undefined && apiPort !== '6443' && !isElsewhere(api))
    errors.push({
      name: 'CLUSTER_ENDPOINT',
      text: `${apiHost} is ${api.what}, which serves the API on port 6443; leave the port out`,
      others: [api.name],
    })
  else if (endpoint !== undefined)
    isFree(
      'CLUSTER_ENDPOINT',
      apiHost,
      (owner) =>
        isElsewhere(owner) || owner.name === 'CLUSTER_VIP' || owner.role === 'controlplane',
    )
  if (nfs !== undefined) isFree('NFS_SERVER', nfs, isElsewhere)
  // Without a valid value of its own it is the gateway, which was checked.
  if (!invalid.has('NETWORK_NAMESERVERS'))
    for (const server of dns ?? [])
      if (server !== settings.NETWORK_GATEWAY) isFree('NETWORK_NAMESERVERS', server, isElsewhere)
}

function hostAddresses({ LIBVIRT_URI: uris = [] }: GivenSettings): string[] {
  return uris.flatMap((uri) => {
    try {
      const target = parseLibvirtUri(uri)
      return target.kind === 'ssh' && isIpv4(target.host) ? [target.host] : []
    } catch {
      // An invalid URI has its own error.
      return []
    }
  })
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
    settings.hosts,
    settings.places,
  ]
  return needed.every((value) => value !== undefined)
}
