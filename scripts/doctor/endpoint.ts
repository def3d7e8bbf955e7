/** Whether CLUSTER_ENDPOINT leads to the API, before machines are made that rely on it. */
import { lookup } from 'node:dns/promises'
import { codes, isIpv4, type Cluster } from '@talosmith/core'
import type { Check } from './check.ts'

/** What a name resolves to on one machine, or why it does not. */
export type Resolved = { readonly addresses: readonly string[] } | { readonly reason: string }

const lookupMs = 5000

/** getaddrinfo(3), by its errors. */
const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no name server knows it',
  EAI_AGAIN: 'no name server of this machine answers',
}

/** Resolves CLUSTER_ENDPOINT on this machine as its programs do, /etc/hosts included; an address is its own. */
export async function resolveEndpoint({ endpoint }: Pick<Cluster, 'endpoint'>): Promise<Resolved> {
  const { hostname } = new URL(endpoint)
  if (isIpv4(hostname)) return { addresses: [hostname] }
  const late = new Promise<Resolved>((resolve) =>
    setTimeout(
      () => resolve({ reason: `no answer within ${lookupMs / 1000} s` }),
      lookupMs,
    ).unref(),
  )
  const found = lookup(hostname, { all: true, family: 4 }).then(
    (all): Resolved => ({ addresses: [...new Set(all.map(({ address }) => address))].sort() }),
    ({ code = 'no reason given' }: NodeJS.ErrnoException): Resolved => ({
      reason: reasons[code] ?? code,
    }),
  )
  return Promise.race([found, late])
}

/**
 * Judges what CLUSTER_ENDPOINT resolves to on `area`. For a cluster that exists nothing is a failure: its machines may
 * have to be started before the name server answers, which may be one of them. Pure.
 */
export function judgeEndpoint(
  {
    endpoint,
    controlPlanes,
    vip,
    settings,
  }: Pick<Cluster, 'endpoint' | 'controlPlanes' | 'vip' | 'settings'>,
  resolved: Resolved | undefined,
  { area, exists }: { readonly area: string; readonly exists: boolean },
): Check[] {
  if (resolved === undefined) return []
  const { hostname, port } = new URL(endpoint)
  const own = controlPlanes.map(({ address }) => address)
  const right = vip === undefined ? own.join(', ') : vip
  const check = 'CLUSTER_ENDPOINT'
  if ('reason' in resolved)
    return [
      {
        area,
        check,
        verdict: exists ? 'warning' : 'fail',
        code: codes.endpointUnresolved,
        detail: `${hostname} does not resolve: ${resolved.reason}`,
        remedy: `let the DNS server of this machine and of the machines (NETWORK_NAMESERVERS) resolve ${hostname} to ${right} or to a load balancer, or remove CLUSTER_ENDPOINT`,
      },
    ]
  const { addresses } = resolved
  const isAddress = isIpv4(hostname)
  const detail = `${hostname} resolves to ${addresses.join(', ')}`
  const foreign = addresses.filter((address) => !own.includes(address) && address !== vip)
  // One that is a control plane or the VIP is as the settings have it.
  if (isAddress && (foreign.length === 0 || exists)) return []
  // The API has answered there once: a load balancer.
  if (foreign.length > 0 && exists) return [{ area, check, verdict: 'ok', detail }]
  if (foreign.length > 0) {
    const hosts = settings.LIBVIRT_URI.map((uri) => new URL(uri).hostname)
    const isHost = foreign.every((address) => hosts.includes(address))
    const whose = vip === undefined ? 'no control plane' : 'neither CLUSTER_VIP nor a control plane'
    return [
      {
        area,
        check,
        verdict: 'warning',
        detail: `${isAddress ? '' : `${detail}: `}${foreign.join(', ')} is ${isHost ? 'the KVM host, and ' : ''}${whose}`,
        remedy: `if a load balancer is there, let it forward TCP ${port === '' ? 443 : port} to ${own.map((address) => `${address}:6443`).join(', ')}; otherwise ${isAddress ? 'remove CLUSTER_ENDPOINT' : `let the name resolve to ${right}`}`,
      },
    ]
  }
  const unnamed = own.filter((address) => !addresses.includes(address))
  if (vip !== undefined && addresses.includes(vip)) return [{ area, check, verdict: 'ok', detail }]
  if (unnamed.length > 0)
    return [
      {
        area,
        check,
        verdict: 'warning',
        detail: `${detail}, not to ${unnamed.join(', ')}: without ${addresses.join(', ')} the API cannot be reached, even if other control planes run`,
        remedy: `let the name resolve to ${right} as well, or set CLUSTER_VIP`,
      },
    ]
  return [{ area, check, verdict: 'ok', detail }]
}
