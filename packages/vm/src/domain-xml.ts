import { XMLBuilder, XMLParser } from 'fast-xml-parser'
import type { Machine } from './machine.ts'

/** The namespace of our element in a domain's metadata; it says whose the domain is. */
export const metadataNamespace = 'https://talosmith.dev/xmlns/machine/1.0'

/** The name of the port that the guest agent opens; Talos' extension waits for it. */
const guestAgentPort = 'org.qemu.guest_agent.0'

/** libvirt's names for CPU modes; anything else is the name of a model. */
const cpuModes = ['host-passthrough', 'host-model', 'maximum']

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  format: true,
  suppressEmptyNode: true,
})

/**
 * The domain XML of a machine. With `uuid` it redefines that domain.
 * https://libvirt.org/formatdomain.html; devices as Talos' own QEMU provisioner has them.
 */
export function renderDomain(machine: Machine, uuid?: string): string {
  const isCustom = !cpuModes.includes(machine.cpuModel)
  const [networkKind = '', networkName = ''] = machine.network.split(' ')
  return builder.build({
    domain: {
      '@type': machine.type,
      name: machine.name,
      ...(uuid === undefined ? {} : { uuid }),
      title: `Talos ${machine.role === 'controlplane' ? 'control plane' : 'worker'} of ${machine.cluster}`,
      metadata: {
        'talosmith:machine': {
          '@xmlns:talosmith': metadataNamespace,
          '@cluster': machine.cluster,
          '@node': machine.name,
          '@role': machine.role,
        },
      },
      memory: { '@unit': 'MiB', '#text': machine.memoryMib },
      vcpu: machine.cpu,
      os: {
        ...(machine.uefi
          ? {
              '@firmware': 'efi',
              type: { '@arch': 'x86_64', '@machine': 'q35', '#text': 'hvm' },
              firmware: { feature: [{ '@enabled': 'no', '@name': 'secure-boot' }] },
            }
          : { type: { '@arch': 'x86_64', '@machine': 'q35', '#text': 'hvm' } }),
        boot: { '@dev': 'hd' },
      },
      features: { acpi: '', apic: '' },
      cpu: isCustom
        ? {
            '@mode': 'custom',
            '@match': 'exact',
            model: { '@fallback': 'forbid', '#text': machine.cpuModel },
          }
        : { '@mode': machine.cpuModel },
      clock: { '@offset': 'utc' },
      on_poweroff: 'destroy',
      on_reboot: 'restart',
      on_crash: 'restart',
      devices: {
        disk: [
          {
            '@type': 'file',
            '@device': 'disk',
            driver: { '@name': 'qemu', '@type': 'qcow2', '@cache': 'none', '@discard': 'unmap' },
            source: { '@file': machine.disk },
            target: { '@dev': 'vda', '@bus': 'virtio' },
          },
          {
            '@type': 'file',
            '@device': 'cdrom',
            driver: { '@name': 'qemu', '@type': 'raw' },
            source: { '@file': machine.seed },
            target: { '@dev': 'sda', '@bus': 'sata' },
            readonly: '',
          },
        ],
        interface: {
          '@type': networkKind,
          mac: { '@address': machine.mac },
          source: { [`@${networkKind}`]: networkName },
          model: { '@type': 'virtio' },
        },
        // virtlogd keeps what the console said, also after the machine is gone.
        serial: {
          '@type': 'pty',
          log: { '@file': consoleLog(machine.name), '@append': 'on' },
          target: { '@port': '0' },
        },
        console: { '@type': 'pty', target: { '@type': 'serial', '@port': '0' } },
        ...(machine.guestAgent
          ? { channel: { '@type': 'unix', target: { '@type': 'virtio', '@name': guestAgentPort } } }
          : {}),
        rng: { '@model': 'virtio', backend: { '@model': 'random', '#text': '/dev/urandom' } },
        watchdog: { '@model': 'i6300esb', '@action': 'reset' },
        // Talos has no use for memory that comes and goes.
        memballoon: { '@model': 'none' },
      },
    },
  })
}

/** Where virtlogd writes a machine's serial console, on its host. */
export function consoleLog(name: string): string {
  return `/var/log/libvirt/qemu/${name}-console.log`
}

/** A domain as libvirt has it: whose it is, and the machine that it would be at its next start. */
export interface ParsedDomain {
  readonly name: string
  readonly uuid: string
  /** The cluster whose domain it is; undefined: not ours. */
  readonly owner: string | undefined
  readonly machine: Machine
}

const listed = new Set(['disk', 'interface', 'channel'])
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  removeNSPrefix: true,
  isArray: (name) => listed.has(name),
})

type Xml = { readonly [key: string]: Xml } & string

/** Reads a domain's XML (`virsh dumpxml --inactive`). */
export function parseDomain(xml: string): ParsedDomain {
  const { domain } = parser.parse(xml) as { domain: Xml }
  const ours = at(domain, 'metadata', 'machine')
  const devices = at(domain, 'devices')
  const [nic] = list(devices, 'interface')
  const file = (device: string): string =>
    textOf(
      list(devices, 'disk').find((disk) => disk['@device'] === device),
      'source',
      '@file',
    )
  const kind = textOf(nic, '@type')
  const name = textOf(domain, 'name')
  const cpuMode = textOf(domain, 'cpu', '@mode')
  const model = at(domain, 'cpu', 'model')
  return {
    name,
    uuid: textOf(domain, 'uuid'),
    owner: ours === undefined ? undefined : ours['@cluster'],
    machine: {
      name,
      cluster: ours?.['@cluster'] ?? '',
      role: ours?.['@role'] === 'controlplane' ? 'controlplane' : 'worker',
      type: textOf(domain, '@type') === 'kvm' ? 'kvm' : 'qemu',
      cpu: Number(content(at(domain, 'vcpu'))),
      cpuModel: cpuMode === 'custom' ? content(model) : cpuMode,
      memoryMib: Math.round(
        Number(content(at(domain, 'memory'))) /
          (textOf(domain, 'memory', '@unit') === 'MiB' ? 1 : 1024),
      ),
      uefi: textOf(domain, 'os', '@firmware') === 'efi' || at(domain, 'os', 'loader') !== undefined,
      mac: textOf(nic, 'mac', '@address'),
      network: `${kind} ${textOf(nic, 'source', `@${kind}`)}`,
      guestAgent: list(devices, 'channel').some(
        (channel) => textOf(channel, 'target', '@name') === guestAgentPort,
      ),
      disk: file('disk'),
      seed: file('cdrom'),
    },
  }
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

/** Which kinds of domain and firmware a host's `virsh domcapabilities` answers for. */
export function offersUefi(capabilities: string): boolean {
  return /<enum name='firmware'>\s*(?:<value>[^<]*<\/value>\s*)*<value>efi<\/value>/.test(
    capabilities,
  )
}

/** The DHCP range of a libvirt network's XML, if it has one. */
export function dhcpRange(networkXml: string): readonly [string, string] | undefined {
  const [, start, end] = /<range start='([\d.]+)' end='([\d.]+)'/.exec(networkXml) ?? []
  return start === undefined || end === undefined ? undefined : [start, end]
}
