/** Key files of OpenSSH: private keys, public keys, and the certificates beside them. */
import { readFile } from 'node:fs/promises'
import ssh2 from 'ssh2'
import { readStrings } from './agent.ts'

/** What a key file contains. */
export interface KeyFile {
  readonly file: string
  /** Its private key, if that can be used without a passphrase. */
  readonly key?: ssh2.ParsedKey
  /** It is a private key with a passphrase. */
  readonly isEncrypted?: true
  /** Its public key and the certificates for it, in wire format, to find them in an agent. */
  readonly blobs: readonly Buffer[]
  /** Why it is no private key. */
  readonly problem?: 'unreadable' | 'public' | 'unknown'
  readonly cause?: unknown
}

/** Reads a key file, the public key and the certificate beside it; never throws. */
export async function readKeyFile(file: string): Promise<KeyFile> {
  const [text, ...beside] = await Promise.all([
    readFile(file, 'utf8').catch((error: unknown) => error),
    ...[`${file}.pub`, `${file}-cert.pub`, file.replace(/\.pub$/, '-cert.pub')].map((path) =>
      readFile(path, 'utf8').catch(() => ''),
    ),
  ])
  const blobs = beside.flatMap(publicBlob)
  if (typeof text !== 'string') return { file, blobs, problem: 'unreadable', cause: text }
  const own = publicBlob(text)
  if (own.length > 0) return { file, blobs: [...own, ...blobs], problem: 'public' }
  const key = ssh2.utils.parseKey(text)
  if (!(key instanceof Error) && key.isPrivateKey())
    return { file, key, blobs: [key.getPublicSSH(), ...blobs] }
  const all = [...publicPart(text), ...blobs]
  // A passphrase, or a type that only OpenSSH and its agent know.
  if (key instanceof Error && /encrypted/i.test(key.message))
    return { file, isEncrypted: true, blobs: all }
  return { file, blobs: all, problem: 'unknown', cause: key }
}

/** The key on a line of a public key file or certificate: `<type> <base64> <comment>`. */
function publicBlob(text: string): Buffer[] {
  const [, type = '', base64 = ''] = /^\s*([a-z][\w.@-]*) ([\w+/]+=*)(?:\s|$)/.exec(text) ?? []
  const blob = Buffer.from(base64, 'base64')
  return readStrings(blob, 1)[0]?.toString() === type ? [blob] : []
}

/** The public key of a private key in OpenSSH's own format, which no passphrase hides (PROTOCOL.key of OpenSSH). */
function publicPart(text: string): Buffer[] {
  const [, base64 = ''] = /-----BEGIN OPENSSH PRIVATE KEY-----([\w+/=\s]+)-----END/.exec(text) ?? []
  const bytes = Buffer.from(base64, 'base64')
  const magic = Buffer.from('openssh-key-v1\0')
  if (!bytes.subarray(0, magic.length).equals(magic)) return []
  // Cipher, key derivation and its options, then the number of keys.
  const head = readStrings(bytes.subarray(magic.length), 3)
  const at = magic.length + head.reduce((sum, { length }) => sum + 4 + length, 0) + 4
  return readStrings(bytes.subarray(at), 1)
}
