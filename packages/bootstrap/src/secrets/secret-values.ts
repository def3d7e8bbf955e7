/** Which values in a cluster's files are secrets. Pure. */
import { redactShapes } from '@talosmith/core'
import { parseAllDocuments } from 'yaml'

/** Every string in a YAML or JSON file: any may be secret, since no list of names is complete. */
export function stringsIn(text: string): string[] {
  const found: string[] = []
  visit(text, (value) => found.push(value))
  return found
}

/** Those of several texts; a text, or a manifest in one, that comes again is not parsed again. */
export function secretsInConfigs(texts: readonly string[]): string[] {
  const parsed = new Set<string>()
  return texts.flatMap((text) => secretsInConfig(text, parsed))
}

/**
 * The strings in a machine config, a patch or a manifest that may be secret: all except names, addresses,
 * images, versions and plain words, which would be missing from any text.
 */
export function secretsInConfig(text: string, parsed = new Set<string>()): string[] {
  if (parsed.has(text)) return []
  parsed.add(text)
  const found: string[] = []
  // Not as arguments of push(), which takes some 120,000 at most.
  const add = (values: readonly string[]): void => values.forEach((one) => found.push(one))
  visit(text, (value, path) => {
    if (publicKey.test(path.at(-1) ?? '')) return add(secretWords(value))
    const isSensitive = path.some((key) => sensitiveKey.test(key))
    if (value.includes('\n')) {
      // Talos accepts only YAML there, so its strings are found below; by words, a large one takes minutes.
      if (!path.includes('inlineManifests')) add([value, ...value.split('\n').flatMap(secretWords)])
      // A file or a manifest in the config.
      if (path.length > 0) add(secretsInConfig(value, parsed))
    } else if (isSensitive || !isOrdinary(value)) add([value, ...secretWords(value)])
  })
  return found
}

/** The words of a text, such as a command, that may be secret. */
export function secretWords(text: string): string[] {
  return text
    .split(/[\s"'`=,;|&<>(){}[\]]+|:\/\/|(?<=\w)@|\\/)
    .flatMap((word) => [word, ...word.split(':')])
    .filter((word) => word.length > 5 && !isOrdinary(word))
}

/** Fields whose values are on everyone's machines. */
const publicKey =
  /^(?:apiVersion|kind|name|type|image|disk|interface|link|hostname|dnsDomain|clusterName|path|op|device|namespace)$/
const sensitiveKey =
  /token|secret|pass|pwd|auth|cred|key|cert(?!SAN)|crt|^ca$|env|content|data|arg|param|header|proxy|value|psk|salt|seed|hash|cookie|url/i

/** Texts that many clusters have: words, addresses, paths, host names, images, versions, sizes. */
const ordinary = [
  /^-{0,2}[A-Za-z]+(?:[-_.:/ ][A-Za-z]+)*[.:]?$/,
  /^\d+(?:\.\d+){3}(?::\d+)?(?:\/\d+)?$/,
  /^(?=.*:.*:)[\da-f:.]+(?:\/\d+)?$/i,
  /^v?\d+(?:\.\d+)*(?:-[a-z]+(?:\.\d+)*)?(?:[kmgt]i?b?)?$/i,
  /^(?:\d+(?:ms|[smhd]))+$/,
  /^v\d+(?:alpha|beta)\d+$/,
  /^(?:\/[a-z0-9._-]+)+\/?$/,
  /^(?:[a-z]+:\/\/)?[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,10}(?::\d+)?(?:\/[a-z0-9._-]+)*(?::v?\d[\w.-]*)?(?:@sha256:[0-9a-f]{64})?$/,
  /^https:\/\/\d+(?:\.\d+){3}(?::\d+)?\/?$/,
]

function isOrdinary(text: string): boolean {
  return ordinary.some((shape) => shape.test(text)) && redactShapes(text) === text
}

/** Charts have megabytes of them, which are public. */
function isSchema(value: object): boolean {
  return 'kind' in value && value.kind === 'CustomResourceDefinition'
}

function visit(text: string, each: (value: string, path: readonly string[]) => void): void {
  // An alias may be inside of what it stands for.
  const around = new Set<unknown>()
  const walk = (value: unknown, path: readonly string[]): void => {
    if (typeof value === 'string') return each(value, path)
    if (typeof value === 'number' && String(value).length > 6) return each(String(value), path)
    if (typeof value !== 'object' || value === null || around.has(value)) return
    around.add(value)
    if (Array.isArray(value)) value.forEach((one) => walk(one, path))
    else if (!isSchema(value))
      for (const [key, one] of Object.entries(value)) walk(one, [...path, key])
    around.delete(value)
  }
  for (const document of parseAllDocuments(text)) {
    // What can't be parsed as a whole is taken line by line, without names.
    if ('errors' in document && document.errors.length > 0)
      text
        .split('\n')
        .map((line) => line.replace(/^\s*(?:- +)?(?:["']?[\w./-]+["']?:(?: +|$))?/, ''))
        .flatMap((line) => [line.trim(), line.trim().replaceAll(/^["']|["'],?$/g, '')])
        .forEach((line) => each(line, ['content']))
    let content: unknown
    try {
      content = document.toJS()
    } catch {
      // For example an alias without an anchor: the lines above are enough.
      continue
    }
    walk(content, [])
  }
}
