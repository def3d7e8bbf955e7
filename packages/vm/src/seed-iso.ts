import { createHash } from 'node:crypto'
import type { Cluster, Node } from '@talosmith/core'
import { stringify } from 'yaml'

/** What the seed ISO of a machine holds. No user-data: an empty one would keep Talos from maintenance mode. */
export interface Seed {
  readonly metaData: string
  readonly networkConfig: string
  /** Tells one content from another; also written into the ISO. */
  readonly digest: string
}

/**
 * NoCloud's files for a node. Network configuration version 2, because Talos ignores the name servers of
 * version 1's subnets (internal/app/machined/.../platform/nocloud/metadata.go).
 */
export function describeSeed({ settings, name: cluster, prefixLength }: Cluster, node: Node): Seed {
  const metaData = stringify({
    'instance-id': `${cluster}-${node.name}`,
    'local-hostname': node.name,
  })
  const networkConfig = stringify({
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: node.mac },
        addresses: [`${node.address}/${prefixLength}`],
        gateway4: settings.NETWORK_GATEWAY,
        nameservers: { addresses: settings.NETWORK_NAMESERVERS },
      },
    },
  })
  const digest = createHash('sha256')
    .update(metaData)
    .update('\0')
    .update(networkConfig)
    .digest('hex')
    .slice(0, 32)
  return { metaData, networkConfig, digest }
}

/** What the ISO's application ID says, so that its content is known without mounting it; ISO 9660 knows capitals only. */
export function seedLabel(digest: string): string {
  return `TALOSMITH SEED ${digest.toUpperCase()}`
}

/**
 * Writes a seed ISO on its host. Arguments: path, label, meta-data, network-config. Talos looks for the
 * volume label `cidata` in the Joliet descriptor first; images under 64 KiB were not recognised by 1.12.0.
 */
export const buildSeed = `
set -euo pipefail
path=$1 label=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/root"
printf %s "$3" > "$folder/root/meta-data"
printf %s "$4" > "$folder/root/network-config"
xorriso -as mkisofs -quiet -V cidata -A "$label" -J -r -pad -o "$path.tmp" "$folder/root"
chmod 0644 "$path.tmp"
mv -f "$path.tmp" "$path"
`

/** Where an ISO's application ID lies: sector 16, byte 574, 128 bytes (ECMA-119 8.4.20). */
export const labelOffset = 16 * 2048 + 574
