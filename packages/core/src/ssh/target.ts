/** The SSH part of a LIBVIRT_URI entry. */

/** A remote host of LIBVIRT_URI; ~/.ssh/config completes it. */
export interface SshTarget {
  readonly kind: 'ssh'
  /** A host name, an address, or an alias of ~/.ssh/config; IPv6 without brackets. */
  readonly host: string
  readonly user?: string
  readonly port?: number
  readonly keyfile?: string
  readonly knownHosts?: string
}
