import { XMLParser } from 'fast-xml-parser'
import { cpuOf, guestAgentPort, metadataNamespace, networkOf } from './domain-xml.ts'
import type { Machine } from './machine.ts'

/** What a domain's metadata says that we made for it; the only files that go with it. */
export interface OwnFiles {
  readonly disk: string
  readonly seed: string
}

/** A domain as libvirt has it: whose it is, and the machine that it would be at its next start. */
export interface ParsedDomain {
  readonly name: string
  readonly uuid: string
  /** The cluster whose domain it is; undefined: not ours. */
  readonly owner: string | undefined
  /** Undefined exactly where `owner` is. */
  readonly own: OwnFiles | undefined
  /** The libvirt address it was made through. */
  readonly madeThrough: string | undefined
  readonly machine: Machine
}

type Xml = { readonly [key: string]: Xml } & string

const lists = new Set(['disk', 'interface', 'channel'])
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  isArray: (name) => lists.has(name),
})

/** Reads a domain's XML (`virsh dumpxml --inactive`). */
export function parseDomain(xml: string): ParsedDomain {
  const { domain } = parser.parse(xml) as { domain: Xml }
  const name = textOf(domain, 'name')
  const element = ownElement(at(domain, 'metadata'))
  // A clone made by hand carries a copy of our element, and is not ours.
  const ours = element?.('@node') === name ? element : undefined
  const devices = at(domain, 'devices')
  const [nic] = list(devices, 'interface')
  const file = (device: string): string =>
    textOf(
      list(devices, 'disk').find((disk) => (disk['@device'] ?? 'disk') === device),
      'source',
      '@file',
    )
  const own = ours && { disk: ours('disk', '@file'), seed: ours('seed', '@file') }
  return {
    name,
    uuid: textOf(domain, 'uuid'),
    owner: ours?.('@cluster'),
    own,
    madeThrough: ours?.('@host'),
    machine: {
      name,
      cluster: ours?.('@cluster') ?? '',
      role: ours?.('@role') === 'controlplane' ? 'controlplane' : 'worker',
      type: textOf(domain, '@type') === 'kvm' ? 'kvm' : 'qemu',
      cpu: Number(textOf(domain, 'vcpu', '@current') || content(at(domain, 'vcpu'))),
      cpuModel: cpuOf(domain),
      memoryMib: Math.round(mib(at(domain, 'currentMemory')) || mib(at(domain, 'memory'))),
      maxMemoryMib: Math.round(mib(at(domain, 'memory'))),
      uefi: textOf(domain, 'os', '@firmware') === 'efi' || at(domain, 'os', 'loader') !== undefined,
      mac: textOf(nic, 'mac', '@address').toLowerCase(),
      network: nic && networkOf(nic),
      guestAgent: list(devices, 'channel').some(
        (channel) => textOf(channel, 'target', '@name') === guestAgentPort,
      ),
      disk: own?.disk || file('disk'),
      seed: own?.seed || file('cdrom'),
    },
  }
}

/** Our element of the metadata, found by its namespace whatever its prefix, as a function that reads it. */
function ownElement(
  metadata: Xml | undefined,
): ((...path: readonly string[]) => string) | undefined {
  if (typeof metadata !== 'object') return undefined
  for (const [name, element] of Object.entries<Xml>(metadata)) {
    const prefix = /^(?:(.*):)?machine$/.exec(name)?.[1]
    const declared = prefix === undefined ? '@xmlns' : `@xmlns:${prefix}`
    if (!/^(?:.*:)?machine$/.test(name) || textOf(element, declared) !== metadataNamespace) continue
    return (...path) =>
      textOf(
        element,
        ...path.map((key) =>
          key.startsWith('@') || prefix === undefined ? key : `${prefix}:${key}`,
        ),
      )
  }
  return undefined
}

/** dumpxml says KiB; a domain written by us MiB. */
function mib(element: Xml | undefined): number {
  return Number(content(element)) / (textOf(element, '@unit') === 'MiB' ? 1 : 1024)
}

function at(from: Xml | undefined, ...path: readonly string[]): Xml | undefined {
  return path.reduce<Xml | undefined>(
    (value, key) => (typeof value === 'object' ? value[key] : undefined),
    from,
  )
}

function textOf(from: Xml | undefined, ...path: readonly string[]): string {
  const value = at(from, ...path)
  return typeof value === 'string' ? value : ''
}

/** The text of an element, with or without attributes. */
function content(element: Xml | undefined): string {
  if (element === undefined) return ''
  return typeof element === 'string' ? element : textOf(element, '#text')
}

function list(from: Xml | undefined, name: string): readonly Xml[] {
  const value: unknown = at(from, name)
  return Array.isArray(value) ? (value as Xml[]) : []
}
