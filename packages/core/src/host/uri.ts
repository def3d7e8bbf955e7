/** Parses entries of LIBVIRT_URI. */
import { withoutCredentials } from '../credentials.ts'
import { nearest } from '../did-you-mean.ts'
import { Problem } from '../problem.ts'
import type { SshTarget } from '../ssh/target.ts'

/** The host of one LIBVIRT_URI entry. */
export type HostTarget = { readonly kind: 'local' } | SshTarget

const allowed =
  'qemu:///system, or qemu+ssh://[user@]host[:port]/system, optionally with ?keyfile=<path> and known_hosts=<path>'

/** Parses one entry of LIBVIRT_URI; throws LIBVIRT_URI_INVALID, whose hint is what to write instead. */
export function parseLibvirtUri(text: string): HostTarget {
  const uri = URL.canParse(text)
    ? new URL(text)
    : refuse(text, whyNoUri(text), `qemu+ssh://${hostIn(text)}/system`)
  if (uri.password !== '') refuse(text, 'it contains a password; use a key instead')
  if (uri.protocol === 'qemu:') {
    if (uri.host !== '')
      refuse(
        text,
        'remote hosts are supported over SSH only: use qemu+ssh:',
        text.replace(/^qemu:/, 'qemu+ssh:'),
      )
    if (uri.pathname === '/session')
      refuse(text, '/session cannot use bridges; use /system', 'qemu:///system')
    if (uri.href !== 'qemu:///system')
      refuse(text, 'for this machine write qemu:///system', 'qemu:///system')
    return { kind: 'local' }
  }
  if (uri.protocol !== 'qemu+ssh:')
    refuse(
      text,
      `it begins with ${uri.protocol} instead of qemu: or qemu+ssh:`,
      uri.host === '' ? 'qemu:///system' : `qemu+ssh://${hostIn(text)}/system`,
    )
  return sshTarget(uri, text)
}

function sshTarget(uri: URL, text: string): SshTarget {
  if (uri.hostname === '') refuse(text, 'it has no host name')
  if (uri.pathname !== '/system')
    refuse(
      text,
      `its path is ${uri.pathname || 'empty'} instead of /system`,
      `qemu+ssh://${uri.username && `${uri.username}@`}${uri.host}/system${uri.search}`,
    )
  if (uri.hash !== '') refuse(text, `the fragment ${uri.hash} is not supported`)
  const host = decode(uri.hostname, text).replace(/^\[(.*)\]$/, '$1')
  if (!/^[\w:][\w.:-]*$/.test(host)) refuse(text, `${host} is not a valid host name`)
  const user = decode(uri.username, text)
  if (user.startsWith('-') || user.includes('$'))
    refuse(text, `${user} is not a valid user name${expanded(user)}`)
  refuseOthers(uri, text)
  const keyfile = uri.searchParams.get('keyfile')
  const knownHosts = uri.searchParams.get('known_hosts')
  if (keyfile === '' || knownHosts === '') refuse(text, 'a path in it is empty')
  for (const path of [keyfile, knownHosts])
    if (path?.includes('$') === true)
      refuse(text, `${path} is not a path${expanded(path)}`, text.replace(/\$\{?HOME\}?/g, '~'))
  return {
    kind: 'ssh',
    host,
    ...(user === '' ? {} : { user }),
    ...(uri.port === '' ? {} : { port: Number(uri.port) }),
    ...(keyfile === null ? {} : { keyfile }),
    ...(knownHosts === null ? {} : { knownHosts }),
  }
}

const known = ['keyfile', 'known_hosts']

/** What libvirt's other parameters are for: https://libvirt.org/uri.html#transport-configuration */
const others: Readonly<Record<string, string>> = {
  no_verify: 'no_verify is not supported: host keys are always checked',
  known_hosts_verify: 'known_hosts_verify is not supported: host keys are always checked',
  sshauth: 'sshauth is not needed: keys and the agent are always used',
}

function refuseOthers(uri: URL, text: string): void {
  const wrong = [...new Set(uri.searchParams.keys())].filter((key) => !known.includes(key))
  if (wrong.length === 0) return
  const reasons = wrong.map((key) => {
    if (Object.hasOwn(others, key)) return others[key]
    const meant = nearest(key, known)
    return `${key} is not one of ${known.join(', ')}${meant === undefined ? '' : `; did you mean ${meant}?`}`
  })
  const kept = text
    .slice(text.indexOf('?') + 1)
    .split('&')
    .filter((part) => known.includes(part.split('=')[0] ?? ''))
  const path = text.slice(0, text.indexOf('?'))
  refuse(text, reasons.join('; '), kept.length === 0 ? path : `${path}?${kept.join('&')}`)
}

function expanded(text: string): string {
  return text.includes('$') ? ': variables are not expanded' : ''
}

function whyNoUri(text: string): string {
  if (/[ \t]/.test(text)) return 'it is not a URI: it contains a space'
  const port = /^[\w+]+:\/\/(?:[^/@]*@)?(?:[^/:[\]]*|\[[^\]]*\]):([^/:]*)(?:\/|$)/.exec(text)?.[1]
  if (port !== undefined && !(Number(port) > 0 && Number(port) < 65_536))
    return `it is not a URI: ${port} is not a port (1 to 65535)`
  if (/^[\w+]+:\/\/(?:[^/@]*@)?[^/[\]]*:[^/]*:/.test(text))
    return 'it is not a URI: an IPv6 address needs brackets, as in qemu+ssh://[fd00::1]/system'
  return 'it is not a URI'
}

/** The user and host that a text names, for a URI that it probably meant. */
function hostIn(text: string): string {
  const place = text.replace(/^[\w+.-]+:\/\//, '').split(/[/?#]/)[0] ?? ''
  const at = place.lastIndexOf('@')
  const user = place.slice(0, at + 1).replace(/:.*@/, '@')
  const host = place.slice(at + 1)
  if (/^[\da-f]*:[\da-f]*:[\da-f:]*$/i.test(host)) return `${user}[${host}]`
  const name = /^(?:[\w.-]+|\[[\da-f:]+\])(?=:|$)/i.exec(host)?.[0]
  const port = /:([1-9]\d{0,3})$/.exec(host)?.[0] ?? ''
  return name === undefined ? '[user@]host[:port]' : `${user}${name}${port}`
}

function decode(text: string, uri: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse(uri, `${text} is not correctly percent-encoded`)
  }
}

function refuse(text: string, because: string, instead?: string): never {
  const shown = withoutCredentials(text)
  throw new Problem('LIBVIRT_URI_INVALID', `${shown || 'an empty string'} is not a libvirt host`, {
    because: withoutCredentials(because),
    hint:
      instead === undefined
        ? `set LIBVIRT_URI to ${allowed}`
        : `write ${withoutCredentials(instead)}; LIBVIRT_URI is ${allowed}`,
    exitCode: 78,
  })
}
