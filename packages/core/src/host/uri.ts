import { Problem } from '../problem.ts'
import type { SshTarget } from '../ssh/target.ts'

/** A host as one entry of LIBVIRT_URI names it. */
export type HostTarget = { readonly kind: 'local' } | SshTarget

const allowed =
  'qemu:///system, or qemu+ssh://[user@]host[:port]/system, to which ?keyfile=<path> and known_hosts=<path> may be added'

/** Reads one entry of LIBVIRT_URI; throws LIBVIRT_URI_INVALID, which names what is allowed. */
export function parseLibvirtUri(text: string): HostTarget {
  const uri = URL.canParse(text) ? new URL(text) : refuse(text, 'it is not a URI')
  if (uri.password !== '') refuse(withoutPassword(text), 'a password has no place in it; use a key')
  if (uri.protocol === 'qemu:') {
    if (uri.host !== '') refuse(text, 'a remote host is reached over SSH only, so qemu+ssh:')
    if (uri.pathname === '/session') refuse(text, 'a session has no bridges; use /system')
    if (uri.href !== 'qemu:///system') refuse(text, 'this machine is just qemu:///system')
    return { kind: 'local' }
  }
  if (uri.protocol !== 'qemu+ssh:')
    refuse(text, `it begins with ${uri.protocol} instead of qemu: or qemu+ssh:`)
  return sshTarget(uri, text)
}

function sshTarget(uri: URL, text: string): SshTarget {
  if (uri.hostname === '') refuse(text, 'it names no host')
  if (uri.pathname !== '/system')
    refuse(text, `its path is ${uri.pathname || 'empty'} instead of /system`)
  if (uri.hash !== '') refuse(text, `${uri.hash} means nothing here`)
  const host = decode(uri.hostname, text).replace(/^\[(.*)\]$/, '$1')
  if (!/^[\w:][\w.:-]*$/.test(host)) refuse(text, `${host} cannot be the name of a host`)
  const user = decode(uri.username, text)
  if (user.startsWith('-')) refuse(text, `${user} cannot be the name of a user`)
  for (const key of uri.searchParams.keys())
    if (key !== 'keyfile' && key !== 'known_hosts')
      refuse(
        text,
        key === 'no_verify'
          ? 'host keys are always checked, so there is no no_verify'
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
    return refuse(uri, `${text} is not encoded well`)
  }
}

function withoutPassword(text: string): string {
  return text.replace(/:[^:@/]*@/, ':...@')
}

function refuse(text: string, because: string): never {
  throw new Problem('LIBVIRT_URI_INVALID', `${text || 'an empty text'} is not a host`, {
    because,
    hint: `set LIBVIRT_URI to ${allowed}`,
    exitCode: 78,
  })
}
