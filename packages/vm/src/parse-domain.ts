/** Reads the XML of an existing domain. */
import { readDomainMetadata, type DiskNote } from '@talosmith/core'
import { XMLParser } from 'fast-xml-parser'
import { cpuOf, guestAgentPort, attachmentOf, parsing } from './domain-xml.ts'
import type { Machine } from './machine.ts'
import { ownInterface } from './owned-parts.ts'

/** The files that a domain's metadata names: created for it, and removed with it. */
export interface OwnFiles {
  readonly disk: string
  readonly seed: string
}

/** A disk that a domain's XML names. */
export interface DiskSource {
  /** libvirt's name in the machine: vda. */
  readonly target: string
  /** libvirt's type of source: file, block, volume, network. */
  readonly type: string
  /** The path, or the name of a volume or of a disk in the network. */
  readonly source: string
  /** The files below it, from the top, as libvirt opened them; undefined: not known. */
  readonly backing?: readonly string[]
}

/** A domain: its owner, and the machine as its persistent definition has it. */
export interface ParsedDomain {
  readonly name: string
  readonly uuid: string
  /** The cluster that owns it; undefined: not created by Talosmith. */
  readonly owner: string | undefined
  /** The ID of that cluster; undefined: created before clusters had IDs. */
  readonly clusterId: string | undefined
  /** Undefined exactly when `owner` is. */
  readonly own: OwnFiles | undefined
  /** The libvirt URI it was created through. */
  readonly madeThrough: string | undefined
  /** Whether its disk was created; `created` when this is not recorded. */
  readonly diskNote: DiskNote
  /** The disks of its persistent definition. */
  readonly disks: readonly DiskSource[]
  readonly machine: Machine
}

type Xml = { readonly [key: string]: Xml } & string

const lists = new Set(['disk', 'interface', 'channel'])
const parser = new XMLParser({
  ...parsing,
  isArray: (name) => lists.has(name),
})

/**
 * Parses a domain's XML (`virsh dumpxml --inactive`). `macs` are our MAC addresses by the machine's name, which tell our
 * interface from those that were added by hand.
 */
export function parseDomain(
  xml: string,
  macs: ReadonlyMap<string, string> = new Map(),
): ParsedDomain {
  const { domain } = parser.parse(xml) as { domain: Xml }
  const name = textOf(domain, 'name')
  const ours = readDomainMetadata({ domain })
  const devices = at(domain, 'devices')
  const macOf = (nic: Xml): string => textOf(nic, 'mac', '@address')
  const nic = ownInterface(list(devices, 'interface'), macOf, macs.get(name))
  const file = (device: string): string =>
    textOf(
      list(devices, 'disk').find((disk) => (disk['@device'] ?? 'disk') === device),
      'source',
      '@file',
    )
  const own = ours && { disk: ours.disk, seed: ours.seed }
  return {
    name,
    uuid: textOf(domain, 'uuid'),
    owner: ours?.cluster,
    clusterId: ours?.clusterId,
    own,
    madeThrough: ours?.madeThrough,
    diskNote: ours?.diskNote ?? 'created',
    disks: list(devices, 'disk').flatMap(diskSource),
    machine: {
      name,
      cluster: ours?.cluster ?? '',
      role: ours?.role === 'controlplane' ? 'controlplane' : 'worker',
      type: textOf(domain, '@type') === 'kvm' ? 'kvm' : 'qemu',
      cpu: Number(textOf(domain, 'vcpu', '@current') || content(at(domain, 'vcpu'))),
      cpuModel: cpuOf(domain),
      memoryMib: Math.round(mib(at(domain, 'currentMemory')) || mib(at(domain, 'memory'))),
      maxMemoryMib: Math.round(mib(at(domain, 'memory'))),
      uefi: textOf(domain, 'os', '@firmware') === 'efi' || at(domain, 'os', 'loader') !== undefined,
      mac: nic === undefined ? '' : macOf(nic).toLowerCase(),
      network: nic && attachmentOf(nic),
      guestAgent: list(devices, 'channel').some(
        (channel) => textOf(channel, 'target', '@name') === guestAgentPort,
      ),
      disk: own?.disk || file('disk'),
      seed: own?.seed || file('cdrom'),
    },
  }
}

function diskSource(disk: Xml): DiskSource[] {
  const names = ['@file', '@dev', '@volume', '@name']
  const source = names.map((name) => textOf(disk, 'source', name)).find((text) => text !== '')
  if ((disk['@device'] ?? 'disk') !== 'disk' || source === undefined) return []
  const backing = backingOf(disk)
  return [
    {
      target: textOf(disk, 'target', '@dev'),
      type: textOf(disk, '@type'),
      source,
      ...(backing === undefined ? {} : { backing }),
    },
  ]
}

/** A running domain has all of its chain, which ends with an empty element. */
function backingOf(disk: Xml): string[] | undefined {
  if (textOf(disk, 'driver', '@type') === 'raw') return []
  const below = at(disk, 'backingStore')
  if (below === undefined) return undefined
  if (typeof below === 'string') return []
  const rest = backingOf(below)
  return rest && [textOf(below, 'source', '@file'), ...rest].filter((path) => path !== '')
}

/** `virsh dumpxml` prints KiB; renderDomain writes MiB. */
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
