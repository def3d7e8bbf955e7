/** Removes secrets from texts: those that are known, in every encoding, and everything that looks like one. */
import { inBase64, redactShapes, removed } from './secret-shapes.ts'

/** Removes secrets from a text. */
export type Redactor = (text: string) => string

/** Shorter values, such as `true` or a port, occur in texts that have nothing to do with secrets. */
const shortest = 8
/** The shortest value of letters, digits and others. */
const shortestMixed = 6

/**
 * Redacts the values of `secrets`, plain, quoted or encoded, and everything that looks like a secret; keeps
 * those that are `open`.
 */
export function createRedactor(
  secrets: Iterable<string>,
  open: ReadonlySet<string> = new Set(),
): Redactor {
  const known = new Set<string>()
  for (const secret of new Set(secrets))
    for (const one of [secret, secret.trim(), ...linesOf(secret)])
      if (isLong(one) && !open.has(one)) formsOf(one).forEach((form) => known.add(form))
  const removeKnown = removerOf(known)
  return (text) => redactShapes(removeKnown(text))
}

function isLong(text: string): boolean {
  if (text.length >= shortest) return true
  return text.length >= shortestMixed && /[a-z]/i.test(text) && /[^a-z.-]/i.test(text)
}

/** The lines of a key, which may be indented elsewhere, and of the key that a value in base64 is. */
function linesOf(secret: string): string[] {
  const inside = Buffer.from(secret, 'base64').toString('latin1')
  const pem = [secret, inside].filter((text) => text.includes('-----BEGIN'))
  return pem.flatMap((text) => [
    text.trim(),
    ...text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.length >= 16 && !line.startsWith('-----')),
  ])
}

/** How a value may be written: as it is, in a string of JSON, XML, a URL or a shell, in base64 and in hex. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const inJson = JSON.stringify(secret).slice(1, -1)
  const plain = [
    secret,
    inJson,
    JSON.stringify(inJson).slice(1, -1),
    encodeURIComponent(bytes.toString()),
    ...inXml(secret),
    secret.replaceAll("'", `'\\''`),
    secret.replaceAll("'", "''"),
  ]
  const encoded = [
    bytes.toString('base64'),
    ...inBase64(bytes),
    ...inBase64(bytes).flatMap((text) => inBase64(text)),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
  ]
  return [...plain, ...encoded.filter((text) => text.length >= shortest)]
}

function inXml(text: string): string[] {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return [
    escaped,
    escaped.replaceAll('"', '&quot;'),
    escaped.replaceAll("'", '&apos;'),
    escaped.replaceAll('"', '&quot;').replaceAll("'", '&apos;'),
  ]
}

/**
 * Removes many values in one pass: a cluster has thousands of lines of keys, too many for one regular
 * expression. All values have at least `shortestMixed` characters.
 */
function removerOf(values: Iterable<string>): (text: string) => string {
  const byPrefix = new Map<string, string[]>()
  /** Whether some value may begin with these four characters; skips nearly all of a text. */
  const begins = new Uint8Array(1 << 16)
  for (const value of values) {
    const prefix = value.slice(0, shortestMixed)
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), value])
    begins[hashAt(value, 0)] = 1
  }
  // Longest first: a value may begin with another.
  for (const list of byPrefix.values()) list.sort((one, other) => other.length - one.length)
  return (text) => {
    const kept: string[] = []
    let from = 0
    for (let at = 0; at <= text.length - shortestMixed; at++) {
      if (begins[hashAt(text, at)] === 0) continue
      const candidates = byPrefix.get(text.slice(at, at + shortestMixed))
      const value = candidates?.find((one) => text.startsWith(one, at))
      if (value === undefined) continue
      kept.push(text.slice(from, at), removed)
      from = at + value.length
      at = from - 1
    }
    return from === 0 ? text : [...kept, text.slice(from)].join('')
  }
}

function hashAt(text: string, at: number): number {
  let hash = 0
  for (let index = at; index < at + 4; index++) hash = hash * 37 + text.charCodeAt(index)
  return hash & 0xffff
}
