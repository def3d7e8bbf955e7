/** Derived defaults of settings. */
import { createHash } from 'node:crypto'
import { addressAt } from '../addresses.ts'
import type { Settings } from './schema.ts'
import { defaultKubernetesVersion } from './versions.ts'

/** The valid settings of an env file; those that are invalid or left out are undefined. */
export type GivenSettings = { readonly [K in keyof Settings]?: Settings[K] | undefined }

/** Derives settings that were left out from those that were given. */
export function completeSettings(given: GivenSettings): GivenSettings {
  const gateway = given.NETWORK_GATEWAY ?? firstAddress(given.NETWORK_CIDR)
  return {
    ...given,
    TALOS_EXTENSIONS: given.TALOS_EXTENSIONS && [...new Set(given.TALOS_EXTENSIONS)].sort(),
    KUBERNETES_VERSION:
      given.KUBERNETES_VERSION ??
      (given.TALOS_VERSION && defaultKubernetesVersion(given.TALOS_VERSION)),
    NETWORK_GATEWAY: gateway,
    NETWORK_NAMESERVERS:
      given.NETWORK_NAMESERVERS ?? (gateway === undefined ? undefined : [gateway]),
    MAC_PREFIX: given.MAC_PREFIX ?? (given.CLUSTER_NAME && macPrefixOf(given.CLUSTER_NAME)),
  }
}

function firstAddress(cidr: string | undefined): string | undefined {
  return cidr === undefined ? undefined : addressAt(cidr, 1)
}

/** QEMU's 52:54:00 and two bytes derived from the name, so that clusters on one network differ. */
function macPrefixOf(name: string): string {
  const [a = 0, b = 0] = createHash('sha256').update(name).digest()
  return ['52', '54', '00', hex(a), hex(b)].join(':')
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
