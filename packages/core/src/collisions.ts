/** What two clusters would both use: addresses, MAC addresses, the API's address. Pure. */
import { overlap } from './addresses.ts'
import type { Cluster } from './cluster.ts'

/** Something that the settings of two clusters both give to a machine of theirs. */
export interface Collision {
  readonly kind: 'address' | 'mac'
  /** The setting of each cluster, the first one's first; they may be the same. */
  readonly settings: readonly [string, string]
  /** A sentence that names both env files, their settings and what uses it. */
  readonly text: string
}

interface Use {
  readonly setting: string
  readonly value: string
  readonly user: string
}

/** What two clusters in one checkout would both use; one sentence for each pair of settings. */
export function findCollisions(cluster: Cluster, other: Cluster): Collision[] {
  const found = (kind: Collision['kind'], own: readonly Use[], theirs: readonly Use[]) =>
    own.flatMap((one) => {
      const twin = theirs.find(({ value }) => value === one.value)
      return twin === undefined ? [] : [{ kind, one, twin }]
    })
  const all = [
    ...found('address', addressesOf(cluster), addressesOf(other)),
    // Another port of a load balancer leads to another cluster.
    ...found('address', endpointOf(cluster), endpointOf(other)),
    // The same MAC address in another network harms nothing.
    ...(overlap(cluster.settings.NETWORK_CIDR, other.settings.NETWORK_CIDR)
      ? found('mac', macsOf(cluster), macsOf(other))
      : []),
  ]
  const keyOf = ({ one, twin }: (typeof all)[number]): string => `${one.setting} ${twin.setting}`
  const firsts = all.filter((each, at) => all.findIndex((one) => keyOf(one) === keyOf(each)) === at)
  return firsts.map((first) => {
    const { kind, one, twin } = first
    const more = all.filter((each) => keyOf(each) === keyOf(first)).length - 1
    return {
      kind,
      settings: [one.setting, twin.setting],
      text: `${one.value} is ${one.user} by ${one.setting} of env/${cluster.file}.env, and ${twin.user} by ${twin.setting} of env/${other.file}.env${more === 0 ? '' : `, and ${more} more`}`,
    }
  })
}

function addressesOf(cluster: Cluster): Use[] {
  const { nodes, vip } = cluster
  const machines = nodes.map(({ name, role, address }) => ({
    setting: role === 'worker' ? 'WORKER_IP_OFFSET' : 'CONTROL_PLANE_IP_OFFSET',
    value: address,
    user: name,
  }))
  const shared = vip === undefined ? [] : [{ setting: 'CLUSTER_VIP', value: vip, user: 'the VIP' }]
  return [...machines, ...shared]
}

function endpointOf({ settings, endpoint }: Cluster): Use[] {
  if (settings.CLUSTER_ENDPOINT === undefined) return []
  const value = endpoint.replace('https://', '')
  return [{ setting: 'CLUSTER_ENDPOINT', value, user: 'the API' }]
}

function macsOf({ nodes }: Cluster): Use[] {
  return nodes.map(({ name, mac }) => ({
    ...{ setting: 'MAC_PREFIX', value: mac.toLowerCase(), user: name },
  }))
}
