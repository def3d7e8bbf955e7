/** Where a remote host is, as LIBVIRT_URI says; ~/.ssh/config may say more about it. */
export interface SshTarget {
  readonly kind: 'ssh'
  /** A host name, an address, or an alias of ~/.ssh/config; IPv6 without brackets. */
  readonly host: string
  readonly user?: string
  readonly port?: number
  readonly keyfile?: string
  readonly knownHosts?: string
}
