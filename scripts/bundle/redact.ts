/** Removes secrets from texts. */
import type { Cluster } from '@talosmith/core'
import { parseAllDocuments } from 'yaml'

/** Removes secrets from a text. */
export type Redactor = (text: string) => string

const removed = '[removed]'
/** Shorter values, such as `true` or a port, occur in texts that have nothing to do with secrets. */
const shortest = 8

/** What secrets look like that are not in the cluster's own files. */
const shapes: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, removed],
  // The same in base64, as in machine configs: "-----BEGIN" and what follows.
  [/LS0tLS1CRUdJTi[A-Za-z0-9+/=]*/g, removed],
  [/\b(Bearer\s+)[\w.~+/-]+=*/gi, `$1${removed}`],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, removed],
  [/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g, removed],
  [
    /((?:^|[\s"'{,])(?:[\w-]*(?:token|secret|password|passwd|passphrase|private[-_]?key|client-key-data|key-data|aescbcEncryptionSecret|secretboxEncryptionSecret)[\w-]*|key)["']?\s*[:=]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s,"'}]+)/gim,
    `$1${removed}`,
  ],
  // In the query of a URL.
  [/([?&][\w-]*(?:token|secret|password|signature|key)[\w-]*=)[^\s&"'#]+/gi, `$1${removed}`],
  [/(\b[a-z][\w+.-]*:\/\/[^\s:/@]*:)[^\s/@]+(@)/gi, `$1${removed}$2`],
]

/**
 * Redacts the values of `secrets`, plain or in base64, and everything that looks like a secret; keeps those that
 * are `open`.
 */
export function createRedactor(
  secrets: Iterable<string>,
  open: ReadonlySet<string> = new Set(),
): Redactor {
  const known = new Set<string>()
  for (const secret of secrets) {
    if (secret.length < shortest || open.has(secret)) continue
    known.add(secret)
    known.add(Buffer.from(secret).toString('base64'))
    const inside = Buffer.from(secret, 'base64').toString('latin1')
    // A key in base64 may also be printed as PEM.
    if (inside.startsWith('-----BEGIN')) known.add(inside.trim())
  }
  // Longest first: a value may contain another.
  const values = [...known].sort((one, other) => other.length - one.length)
  return (text) => {
    let clean = text
    for (const value of values) clean = clean.replaceAll(value, removed)
    for (const [shape, by] of shapes) clean = clean.replace(shape, by)
    return clean
  }
}

/** Names and addresses of a cluster: its access files contain them beside the secrets. */
export function openTexts({ name, nodes, endpoint, vip }: Cluster): ReadonlySet<string> {
  return new Set([
    name,
    // As Talos names user and context of its kubeconfig.
    `admin@${name}`,
    endpoint,
    new URL(endpoint).hostname,
    ...(vip === undefined ? [] : [vip]),
    ...nodes.flatMap((node) => [node.name, node.address]),
  ])
}

/** Every string in a YAML or JSON file: any may be secret, since no list of names is complete. */
export function secretsIn(text: string): string[] {
  const found: string[] = []
  const collect = (value: unknown): void => {
    if (typeof value === 'string') found.push(value)
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(collect)
  }
  for (const document of parseAllDocuments(text)) collect(document.toJS())
  return found
}
