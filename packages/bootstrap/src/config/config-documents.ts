/** Reads values of the documents of a machine config, and writes the documents as one text. */
import type { Document } from 'yaml'

/** The values at a path in the base documents, those without a kind. */
export function inBase(documents: readonly Document[], path: readonly string[]): unknown[] {
  return documents
    .filter((document) => document.contents !== null && document.get('kind') === undefined)
    .map((document) => plain(document.getIn(path)))
}

/** The documents of a kind. */
export function ofKind(documents: readonly Document[], kind: string): readonly Document[] {
  return documents.filter((document) => document.contents !== null && document.get('kind') === kind)
}

/** The documents as one text. A parsed document keeps the `---` before it when there was one. */
export function textOf(documents: readonly Document[]): string {
  return documents
    .map((document) => document.toString({ lineWidth: 0 }).replace(/^---\n/, ''))
    .join('---\n')
}

/** The texts among values, which may be lists of them. */
export function texts(values: readonly unknown[]): string[] {
  return values.flatMap((value) => {
    const one = plain(value)
    return (Array.isArray(one) ? one : [one]).filter((text) => typeof text === 'string')
  })
}

/** The plain value of a YAML node. */
function plain(value: unknown): unknown {
  const hasJson = typeof value === 'object' && value !== null && 'toJSON' in value
  return hasJson ? (value as { toJSON(): unknown }).toJSON() : value
}
