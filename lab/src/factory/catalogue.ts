/** What the lab's factory offers. */
import { versions } from '../versions.ts'

export interface Extension {
  readonly name: string
  readonly version: string
  readonly description: string
}

/** Talos versions, oldest first; all start the same guest, which reports the version of its image. */
export const talosVersions: readonly string[] = ['v1.12.11', 'v1.13.8', versions.talos]

/** A version that is offered and whose boot never finishes: for upgrades that must notice it. */
export const brokenVersion = 'v1.13.10'

/** System extensions, the same for every version. */
export const extensions: readonly Extension[] = [
  {
    name: 'siderolabs/i915',
    version: '20260110',
    description: 'Firmware of Intel graphics; a name only, the lab has none.',
  },
  { name: 'siderolabs/iscsi-tools', version: 'v0.2.0', description: 'A name only.' },
  { name: 'siderolabs/nfs-utils', version: 'v2.8.4', description: 'A name only.' },
  {
    name: 'siderolabs/qemu-guest-agent',
    version: '10.2.0',
    description: 'Waits for the channel of the guest agent.',
  },
  { name: 'siderolabs/util-linux-tools', version: '2.41.2', description: 'A name only.' },
]

/** A version as the factory writes it, with `v`; undefined when it isn't offered. */
export function offeredVersion(text: string): string | undefined {
  const version = text.startsWith('v') ? text : `v${text}`
  return [...talosVersions, brokenVersion].find((offered) => offered === version)
}
