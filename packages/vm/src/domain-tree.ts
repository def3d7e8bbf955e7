/** The XML of a domain as a tree that keeps order, comments and unknown elements, and changes to single elements. */
import { XMLBuilder, XMLParser } from 'fast-xml-parser'
import { parsing, syntax, type Element } from './domain-xml.ts'

/**
 * An element, a text or a comment in the ordered form of fast-xml-parser: its children under its name, its attributes
 * under `:@`. Texts and values are as they are in the XML, with their entities.
 */
export interface Tree {
  readonly [name: string]: unknown
}

const attributes = ':@'
const verbatim = {
  ...syntax,
  ...{ preserveOrder: true, commentPropName: '#comment', cdataPropName: '#cdata' },
  processEntities: false,
}
const reader = new XMLParser({
  ...{ ...verbatim, trimValues: false },
  ...{ parseTagValue: false, parseAttributeValue: false },
})
const writer = new XMLBuilder({ ...verbatim, suppressEmptyNode: true })
const plainReader = new XMLParser(parsing)
const plainWriter = new XMLBuilder({ ...syntax, suppressEmptyNode: true })

/** Edits the domain in an XML document, and returns the document. */
export function editTree(xml: string, edit: (domain: Tree) => void): string {
  const document = reader.parse(xml) as Tree[]
  const domain = document.find((node) => nameOf(node) === 'domain')
  if (domain === undefined) throw new Error('libvirt printed XML without a domain')
  edit(domain)
  return writer.build(document)
}

/** An element from plain data, whose attributes start with @. */
export function elementFrom(name: string, content: unknown): Tree {
  const [element] = reader.parse(plainWriter.build({ [name]: content })) as Tree[]
  if (element === undefined) throw new Error(`${name} is empty`)
  return element
}

/** An element as plain data, with its entities decoded; without attributes and children: empty. */
export function plainOf(node: Tree): Element {
  const parsed = (plainReader.parse(writer.build([node])) as Element)[nameOf(node)]
  return typeof parsed === 'object' && parsed !== null ? (parsed as Element) : {}
}

export function nameOf(node: Tree): string {
  return Object.keys(node).find((key) => key !== attributes) ?? ''
}

/** The children of an element, also its texts and comments. */
export function childrenOf(node: Tree): Tree[] {
  return node[nameOf(node)] as Tree[]
}

/** The child elements of a name, in order. */
export function elementsOf(node: Tree, name: string): Tree[] {
  return childrenOf(node).filter((child) => nameOf(child) === name)
}

/** The first child element of a name; created when there is none. */
export function childOf(node: Tree, name: string): Tree {
  const [found] = elementsOf(node, name)
  return found ?? insert(node, elementFrom(name, ''))
}

/** Adds an element behind the others of its name, or as the last one. */
export function insert(parent: Tree, element: Tree): Tree {
  const children = childrenOf(parent)
  const last = children.findLastIndex((child) => nameOf(child) === nameOf(element))
  children.splice(last < 0 ? children.length : last + 1, 0, element)
  return element
}

/** Puts an element where `former` is; without `former`, as `insert` does. */
export function replace(parent: Tree, former: Tree | undefined, element: Tree): void {
  const at = former === undefined ? -1 : childrenOf(parent).indexOf(former)
  if (at < 0) insert(parent, element)
  else childrenOf(parent).splice(at, 1, element)
}

/** Removes the child elements that `isIn` accepts. */
export function removeElements(parent: Tree, isIn: (child: Tree) => boolean): void {
  const kept = childrenOf(parent).filter((child) => !isIn(child))
  childrenOf(parent).splice(0, Infinity, ...kept)
}

/** Sets attributes, named without @; undefined removes one. */
export function setAttributes(node: Tree, values: Readonly<Record<string, unknown>>): void {
  const named = Object.entries(values).filter(([, value]) => value !== undefined)
  const element = elementFrom(
    'x',
    Object.fromEntries(named.map(([key, value]) => [`@${key}`, value])),
  )
  const all = { ...(node[attributes] as Element), ...(element[attributes] as Element) }
  for (const [key, value] of Object.entries(values)) if (value === undefined) delete all[`@${key}`]
  Object.assign(node, { [attributes]: all })
}

/** Replaces what is in an element, and keeps its attributes. */
export function setText(node: Tree, text: string | number): void {
  childrenOf(node).splice(0, Infinity, { '#text': String(text) })
}
