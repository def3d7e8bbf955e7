/** Host keys and known_hosts. */
import { createHash } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { Problem } from '../problem.ts'
import { commandText } from '../process/command.ts'
import { clientTimeoutMs, runClient } from './client.ts'

/** A key of a host in a known_hosts file. */
interface KnownKey {
  readonly revoked: boolean
  readonly type: string
  /** In base64. */
  readonly key: string
}

/** The keys of one host in known_hosts files. */
export interface KnownKeys {
  /** Listed under its name with the port. */
  readonly named: readonly KnownKey[]
  /** Listed under its name alone; the same as `named` for port 22. */
  readonly plain: readonly KnownKey[]
}

/** The result of comparing a host key with known_hosts. */
export type KeyVerdict = 'known' | 'unknown' | 'changed' | 'revoked'

/**
 * Looks up a host in known_hosts files with `ssh-keygen -F`; files that can't be read are ignored.
 * Throws SSH_KNOWN_HOSTS_UNREADABLE when ssh-keygen fails, so that no revoked key is overlooked.
 */
export async function findKnownKeys(
  files: readonly string[],
  host: string,
  port: number,
): Promise<KnownKeys> {
  const find = async (name: string): Promise<KnownKey[]> =>
    (await Promise.all(files.map((file) => findIn(file, name)))).flat()
  const name = knownHostsName(host, port)
  const plainName = host.toLowerCase()
  const [named, plain] = await Promise.all([
    find(name),
    name === plainName ? undefined : find(plainName),
  ])
  return { named, plain: plain ?? named }
}

async function findIn(file: string, name: string): Promise<KnownKey[]> {
  const isReadable = await access(file, constants.R_OK).then(
    () => true,
    () => false,
  )
  if (!isReadable) return []
  const { stdout, stderr, exitCode } = await runClient('ssh-keygen', ['-F', name, '-f', file])
  // Exit code 1: no such host.
  if (exitCode !== 0 && exitCode !== 1)
    throw new Problem('SSH_KNOWN_HOSTS_UNREADABLE', `could not look up ${name} in ${file}`, {
      because:
        stderr.trim() ||
        `ssh-keygen ${exitCode === undefined ? `did not end within ${clientTimeoutMs / 1000} s` : `exited with ${exitCode}`}`,
      hint: `try it: ${commandText`ssh-keygen -F ${name} -f ${file}`}`,
    })
  return stdout.split('\n').flatMap(keyOf)
}

/** The key on a line that ssh-keygen found. @cert-authority lines are left out. */
function keyOf(line: string): KnownKey[] {
  const fields = line.trim().split(/\s+/)
  const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined
  const [names = '#', type, key] = fields
  if (names.startsWith('#') || type === undefined || key === undefined) return []
  if (marker !== undefined && marker !== '@revoked') return []
  return [{ revoked: marker === '@revoked', type, key }]
}

/** The name of a host in known_hosts: `[host]:port` for any port but 22. */
export function knownHostsName(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`
}

/** Compares a host key, in SSH's wire format, with known_hosts. */
export function checkHostKey({ named, plain }: KnownKeys, key: Buffer): KeyVerdict {
  const shown = key.toString('base64')
  if ([...named, ...plain].some((entry) => entry.revoked && entry.key === shown)) return 'revoked'
  const trusted = named.filter(({ revoked }) => !revoked)
  // Like OpenSSH, accept the key listed without the port.
  if ([...trusted, ...plain].some((entry) => !entry.revoked && entry.key === shown)) return 'known'
  const shownType = keyTypeOf(key)
  return trusted.some(({ type }) => type === shownType) ? 'changed' : 'unknown'
}

/**
 * The host key algorithms to offer: those of the known keys, so that a host with several keys uses one that
 * can be checked; undefined (all) for an unknown host.
 */
export function hostKeyAlgorithms({ named, plain }: KnownKeys): string[] | undefined {
  const entries = named.length > 0 ? named : plain
  const types = new Set(entries.filter(({ revoked }) => !revoked).map(({ type }) => type))
  // In OpenSSH's order of preference.
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

/** The type of a key in wire format. */
export function keyTypeOf(key: Buffer): string {
  return key.toString('latin1', 4, 4 + key.readUInt32BE(0))
}

/** A key's fingerprint as ssh-keygen -l prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The known_hosts line of a key. */
export function knownHostsLine(host: string, port: number, key: Buffer): string {
  return `${knownHostsName(host, port)} ${keyTypeOf(key)} ${key.toString('base64')}`
}
