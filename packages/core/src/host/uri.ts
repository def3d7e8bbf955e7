/** Parses entries of LIBVIRT_URI. */
import { Problem } from '../problem.ts'
import type { SshTarget } from '../ssh/target.ts'

/** The host of one LIBVIRT_URI entry. */
export type HostTarget = { readonly kind: 'local' } | SshTarget

const allowed =
  'qemu:///system, or qemu+ssh://[user@]host[:port]/system, optionally with ?keyfile=<path> and known_hosts=<path>'

/** Parses one entry of LIBVIRT_URI; throws LIBVIRT_URI_INVALID, whose hint is what is allowed. */
export function parseLibvirtUri(text: string): HostTarget {
  const uri = URL.canParse(text) ? new URL(text) : refuse(text, 'it is not a URI')
  if (uri.password !== '')
    refuse(withoutPassword(text), 'it contains a password; use a key instead')
  if (uri.protocol === 'qemu:') {
    if (uri.host !== '') refuse(text, 'remote hosts are supported over SSH only: use qemu+ssh:')
    if (uri.pathname === '/session') refuse(text, '/session cannot use bridges; use /system')
    if (uri.href !== 'qemu:///system') refuse(text, 'for this machine write qemu:///system')
    return { kind: 'local' }
  }
  if (uri.protocol !== 'qemu+ssh:')
    refuse(text, `it begins with ${uri.protocol} instead of qemu: or qemu+ssh:`)
  return sshTarget(uri, text)
}

function sshTarget(uri: URL, text: string): SshTarget {
  if (uri.hostname === '') refuse(text, 'it has no host name')
  if (uri.pathname !== '/system')
    refuse(text, `its path is ${uri.pathname || 'empty'} instead of /system`)
  if (uri.hash !== '') refuse(text, `the fragment ${uri.hash} is not supported`)
  const host = decode(uri.hostname, text).replace(/^\[(.*)\]$/, '$1')
  if (!/^[\w:][\w.:-]*$/.test(host)) refuse(text, `${host} is not a valid host name`)
  const user = decode(uri.username, text)
  if (user.startsWith('-')) refuse(text, `${user} is not a valid user name`)
  for (const key of uri.searchParams.keys())
    if (key !== 'keyfile' && key !== 'known_hosts')
      refuse(
        text,
        key === 'no_verify'
          ? 'no_verify is not supported: host keys are always checked'
          : `${key} is not one of keyfile, known_hosts`,
      )
  const keyfile = uri.searchParams.get('keyfile')
  const knownHosts = uri.searchParams.get('known_hosts')
  if (keyfile === '' || knownHosts === '') refuse(text, 'a path in it is empty')
  return {
    kind: 'ssh',
    host,
    ...(user === '' ? {} : { user }),
    ...(uri.port === '' ? {} : { port: Number(uri.port) }),
    ...(keyfile === null ? {} : { keyfile }),
    ...(knownHosts === null ? {} : { knownHosts }),
  }
}

function decode(text: string, uri: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse(uri, `${text} is not correctly percent-encoded`)
  }
}

function withoutPassword(text: string): string {
  return text.replace(/:[^:@/]*@/, ':...@')
}

function refuse(text: string, because: string): never {
  throw new Problem('LIBVIRT_URI_INVALID', `${text || 'an empty string'} is not a libvirt host`, {
    because,
    hint: `set LIBVIRT_URI to ${allowed}`,
    exitCode: 78,
  })
}
