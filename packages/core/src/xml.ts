/** Parses XML from libvirt and reads values from it. */
import { XMLParser } from 'fast-xml-parser'

/** An element of XML as plain data: attributes begin with @; an element with only text is that text. */
export type XmlElement = { readonly [name: string]: XmlNode | undefined }
export type XmlNode = string | XmlElement | readonly XmlNode[]

/** Parses XML, decoding character references. A repeated element is a list. */
export function parseXml(xml: string): XmlNode {
  return parser.parse(xml) as XmlNode
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  // This includes numeric character references.
  htmlEntities: true,
})

/** The elements at a path of names; none when nothing is there. */
export function elementsAt(from: XmlNode | undefined, ...path: readonly string[]): XmlNode[] {
  const [name, ...rest] = path
  const here = from === undefined ? [] : [from].flat<XmlNode[]>()
  if (name === undefined) return here
  return here.flatMap((node) =>
    typeof node === 'string' || isList(node) ? [] : elementsAt(node[name], ...rest),
  )
}

/** An attribute (`@name`) or the text of a child element; undefined when there is none. */
export function textAt(from: XmlNode | undefined, ...path: readonly string[]): string | undefined {
  const [first] = elementsAt(from, ...path)
  if (typeof first === 'string' || first === undefined) return first
  return textAt(first, '#text')
}

function isList(node: XmlNode): node is readonly XmlNode[] {
  return Array.isArray(node)
}
