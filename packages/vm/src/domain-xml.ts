/** The domain XML of a new machine, and helpers to read and edit domain XML. */
import { consoleLog, machineNamespace } from '@talosmith/core'
import { XMLBuilder } from 'fast-xml-parser'
import { diskNoteElement } from './disk-note.ts'
import type { Attachment, Machine, Origin } from './machine.ts'

/** The attribute of Talosmith's element in a domain's metadata with the cluster's ID. */
export const clusterIdAttribute = '@cluster-id'

/** The virtio port of the QEMU guest agent; Talos' extension waits for it. */
export const guestAgentPort = 'org.qemu.guest_agent.0'

/** The version in the metadata of a domain. */
const toolVersion = '0.1'

/** Options of the XML builder, and of parsers whose result it writes. */
export const syntax = { ignoreAttributes: false, attributeNamePrefix: '@' }
/** Options of parsers: values are text, and libvirt writes other letters as numbers (`B&#xFC;ro`). */
export const parsing = {
  ...syntax,
  parseTagValue: false,
  parseAttributeValue: false,
  // This includes numeric character references.
  htmlEntities: true,
}
/** Writes plain data as XML. */
export const builder = new XMLBuilder({ ...syntax, format: true, suppressEmptyNode: true })

/** libvirt's names for CPU modes; anything else is the name of a model. */
const cpuModes = ['host-passthrough', 'host-model', 'maximum']

/**
 * The domain XML of a new machine. https://libvirt.org/formatdomain.html; devices as Talos' own QEMU
 * provisioner has them.
 */
export function renderDomain(machine: Machine, origin: Origin): string {
  const hvm = { '@arch': 'x86_64', '@machine': 'q35', '#text': 'hvm' }
  return builder.build({
    domain: {
      '@type': machine.type,
      name: machine.name,
      title: `Talos ${machine.role === 'controlplane' ? 'control plane' : 'worker'} of ${machine.cluster}`,
      metadata: {
        'talosmith:machine': machineElement(machine, origin),
        'talosmith-disk:disk': diskNoteElement('none'),
      },
      memory: { '@unit': 'MiB', '#text': machine.memoryMib },
      vcpu: machine.cpu,
      os: {
        type: hvm,
        ...firmwareElements(machine.uefi),
        boot: { '@dev': 'hd' },
      },
      features: { acpi: '', apic: '' },
      cpu: cpuElement(machine.cpuModel),
      clock: { '@offset': 'utc' },
      on_poweroff: 'destroy',
      on_reboot: 'restart',
      on_crash: 'restart',
      devices: {
        disk: [diskElement(machine, origin), seedElement(machine)],
        interface: interfaceElement(machine),
        // virtlogd keeps the console output, also after the machine has stopped.
        serial: {
          '@type': 'pty',
          log: { '@file': consoleLog(machine.name), '@append': 'on' },
          target: { '@port': '0' },
        },
        console: { '@type': 'pty', target: { '@type': 'serial', '@port': '0' } },
        ...(machine.guestAgent ? { channel: guestAgentElement() } : {}),
        rng: { '@model': 'virtio', backend: { '@model': 'random', '#text': '/dev/urandom' } },
        watchdog: { '@model': 'i6300esb', '@action': 'reset' },
        // Talos does not support memory ballooning.
        memballoon: { '@model': 'none' },
      },
    },
  })
}

/** An XML element as plain data; attributes start with @. */
export type Element = { [key: string]: unknown }

/** The attribute and elements of `os` that choose the firmware. */
export function firmwareElements(uefi: boolean): Element {
  if (!uefi) return {}
  // Talos' nocloud images are not signed for secure boot.
  return {
    '@firmware': 'efi',
    firmware: { feature: [{ '@enabled': 'no', '@name': 'secure-boot' }] },
  }
}

/** The names, in the machine, of its own disk and of the drive with the seed ISO. */
export const ownTarget = 'vda'
export const seedTarget = 'sda'

/** The `disk` element of a machine's own disk. */
export function diskElement(machine: Machine, { directIo }: Origin): Element {
  return {
    '@type': 'file',
    '@device': 'disk',
    driver: {
      '@name': 'qemu',
      '@type': 'qcow2',
      '@cache': directIo ? 'none' : 'writeback',
      '@discard': 'unmap',
    },
    source: { '@file': machine.disk },
    target: { '@dev': ownTarget, '@bus': 'virtio' },
  }
}

/** The `disk` element of the drive with the seed ISO. */
export function seedElement(machine: Machine): Element {
  return {
    '@type': 'file',
    '@device': 'cdrom',
    driver: { '@name': 'qemu', '@type': 'raw' },
    source: { '@file': machine.seed },
    target: { '@dev': seedTarget, '@bus': 'sata' },
    readonly: '',
  }
}

/** The `interface` element of a machine. */
export function interfaceElement(machine: Machine): Element {
  return {
    mac: { '@address': machine.mac },
    ...networkParts(machine.network),
    model: { '@type': 'virtio' },
  }
}

/** Talosmith's element in a domain's metadata. */
export function machineElement(
  machine: Machine,
  { image, diskGib, uri, clusterId }: Origin,
): Element {
  return {
    '@xmlns:talosmith': machineNamespace,
    '@cluster': machine.cluster,
    ...(clusterId === undefined ? {} : { [clusterIdAttribute]: clusterId }),
    '@node': machine.name,
    '@role': machine.role,
    '@host': uri,
    '@version': toolVersion,
    'talosmith:image': { '@file': image },
    // Only these files are removed with the domain.
    'talosmith:disk': { '@file': machine.disk, '@gib': diskGib },
    'talosmith:seed': { '@file': machine.seed },
  }
}

/** The `cpu` element for a CPU mode or model. */
export function cpuElement(model: string): Element {
  return cpuModes.includes(model)
    ? { '@mode': model }
    : {
        '@mode': 'custom',
        '@match': 'exact',
        model: { '@fallback': 'forbid', '#text': model },
      }
}

/** The parts of an `interface` element that attach it to a bridge or network. */
export function networkParts(network: Machine['network']): Element {
  if (network === undefined) return {}
  return { '@type': network.type, source: { [`@${network.type}`]: network.name } }
}

/** The `channel` element of the guest agent. */
export function guestAgentElement(): Element {
  return { '@type': 'unix', target: { '@type': 'virtio', '@name': guestAgentPort } }
}

/** What an `interface` element is attached to. */
export function attachmentOf(nic: Element): Attachment {
  const type = String(nic['@type'])
  return { type, name: String(part(nic, 'source')[`@${type}`] ?? '') }
}

/** The CPU mode of a domain, or its model's name. */
export function cpuOf(domain: Element): string {
  const cpu = part(domain, 'cpu')
  const model: unknown = cpu['model']
  const mode = String(cpu['@mode'] ?? '')
  if (mode !== 'custom') return mode
  return typeof model === 'string' ? model : String(part(cpu, 'model')['#text'] ?? '')
}

/** A child element; an empty one where there is none. */
export function part(from: Element, name: string): Element {
  const value = from[name]
  return typeof value === 'object' && value !== null ? (value as Element) : {}
}
