import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** One usable line of a known_hosts file (sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT). */
export interface KnownHost {
  readonly revoked: boolean
  /** The host field: patterns separated by commas, or one hashed name. */
  readonly names: string
  readonly keyType: string
  /** The key in base64. */
  readonly key: string
}

/** How a host's key compares with known_hosts. */
export type KeyVerdict = 'known' | 'unknown' | 'changed' | 'revoked'

/** The keys in a known_hosts file. @cert-authority and unreadable lines are left out. */
export function parseKnownHosts(text: string): KnownHost[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined
    const [names, keyType, key] = fields
    if (names === undefined || names.startsWith('#')) return []
    if (keyType === undefined || key === undefined) return []
    if (marker !== undefined && marker !== '@revoked') return []
    return [{ revoked: marker === '@revoked', names, keyType, key }]
  })
}

/** The name under which known_hosts keeps a host: `[host]:port` for any port but 22. */
export function knownHostsName(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`
}

/** Compares the key that a host shows, in SSH's wire format, with what known_hosts holds for it. */
export function checkHostKey(
  known: readonly KnownHost[],
  host: string,
  port: number,
  key: Buffer,
): KeyVerdict {
  const shown = key.toString('base64')
  const named = ofHost(known, knownHostsName(host, port))
  const plain = ofHost(known, host.toLowerCase())
  if ([...named, ...plain].some((entry) => entry.revoked && entry.key === shown)) return 'revoked'
  const trusted = named.filter(({ revoked }) => !revoked)
  // As OpenSSH does: the same key without a port is as good.
  if ([...trusted, ...plain].some((entry) => !entry.revoked && entry.key === shown)) return 'known'
  const type = keyTypeOf(key)
  return trusted.some(({ keyType }) => keyType === type) ? 'changed' : 'unknown'
}

/**
 * The host key algorithms to offer: those of the keys that are known, so that a host with several
 * keys shows one that can be checked; undefined (all) for an unknown host.
 */
export function hostKeyAlgorithms(
  known: readonly KnownHost[],
  host: string,
  port: number,
): string[] | undefined {
  const named = ofHost(known, knownHostsName(host, port))
  const entries = named.length > 0 ? named : ofHost(known, host.toLowerCase())
  const types = new Set(entries.filter(({ revoked }) => !revoked).map(({ keyType }) => keyType))
  // In this order: what OpenSSH prefers.
  const offers = Object.entries(algorithmsByType).filter(([type]) => types.has(type))
  return offers.length === 0 ? undefined : offers.flatMap(([, algorithms]) => algorithms)
}

const algorithmsByType: Readonly<Record<string, readonly string[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
}

/** The type that a key in wire format says it is. */
export function keyTypeOf(key: Buffer): string {
  return key.toString('latin1', 4, 4 + key.readUInt32BE(0))
}

/** A key's fingerprint as ssh-keygen -l prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The line that makes a key known. */
export function knownHostsLine(host: string, port: number, key: Buffer): string {
  return `${knownHostsName(host, port)} ${keyTypeOf(key)} ${key.toString('base64')}`
}

function ofHost(known: readonly KnownHost[], name: string): KnownHost[] {
  return known.filter(({ names }) =>
    names.startsWith('|') ? isHashOf(names, name) : matchesPatterns(names, name),
  )
}

/** `|1|<salt>|<HMAC-SHA1 of the name under the salt>`, both base64. */
function isHashOf(field: string, name: string): boolean {
  const [, version, salt, hash] = field.split('|')
  if (version !== '1' || salt === undefined || hash === undefined) return false
  const wanted = Buffer.from(hash, 'base64')
  const found = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest()
  return wanted.length === found.length && timingSafeEqual(wanted, found)
}

/** Whether one pattern fits and no negated one does. */
function matchesPatterns(names: string, name: string): boolean {
  const patterns = names.toLowerCase().split(',')
  const fits = (pattern: string): boolean => patternOf(pattern).test(name)
  if (patterns.some((pattern) => pattern.startsWith('!') && fits(pattern.slice(1)))) return false
  return patterns.some((pattern) => !pattern.startsWith('!') && fits(pattern))
}

function patternOf(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`)
}
