import { elementsAt, parseXml, prefixLengthOfMask, textAt } from '@talosmith/core'
import type { DomainType } from './machine.ts'

/** Whether a host has UEFI firmware, by its `virsh domcapabilities`. */
export function offersUefi(capabilities: string): boolean {
  return elementsAt(parseXml(capabilities), 'domainCapabilities', 'os', 'enum')
    .filter((element) => textAt(element, '@name') === 'firmware')
    .some((firmware) => elementsAt(firmware, 'value').includes('efi'))
}

/** A libvirt network's own address range and what its DHCP gives away. */
export interface NetworkFacts {
  readonly dhcp: readonly [string, string] | undefined
  /** Address and mask, or prefix length, of the network's own interface; none on a plain bridge. */
  readonly address: { readonly address: string; readonly prefixLength: number } | undefined
}

/** Reads a libvirt network's XML (`virsh net-dumpxml`). */
export function parseNetworkXml(xml: string): NetworkFacts {
  const ips = elementsAt(parseXml(xml), 'network', 'ip').filter(
    (element) => textAt(element, '@family') !== 'ipv6',
  )
  const [range] = ips.flatMap((element) => elementsAt(element, 'dhcp', 'range'))
  const [start, end] = [textAt(range, '@start'), textAt(range, '@end')]
  const [ip] = ips
  const address = textAt(ip, '@address')
  const mask = textAt(ip, '@netmask')
  const prefixLength =
    mask === undefined ? Number(textAt(ip, '@prefix') ?? 24) : prefixLengthOfMask(mask)
  return {
    dhcp: start === undefined || end === undefined ? undefined : [start, end],
    address:
      address === undefined || prefixLength === undefined ? undefined : { address, prefixLength },
  }
}

/** What a host needs for KVM. */
export interface KvmFacts {
  readonly hasDevice: boolean
  /** vmx or svm among the processor's flags. */
  readonly hasFlag: boolean
  readonly libvirtOffers: boolean
}

/**
 * Why KVM can't be used; undefined when it can. libvirt and /dev/kvm both claim it in guests without
 * nested virtualisation, where every machine would fail at its start: the processor's flags decide.
 */
export function kvmProblem({ hasDevice, hasFlag, libvirtOffers }: KvmFacts): string | undefined {
  if (!hasDevice) return 'there is no /dev/kvm'
  if (!hasFlag) return 'the processor offers neither vmx nor svm (/proc/cpuinfo)'
  if (!libvirtOffers) return 'virsh domcapabilities --virttype kvm refuses'
  return undefined
}

/** libvirt's words for the states that `virsh domstats` numbers. */
const states = ['no state', 'running', 'running', 'paused', 'in shutdown', 'shut off', 'crashed']

/** What a domain is doing right now. */
export interface LiveFacts {
  /** libvirt's word: running, shut off, paused, in shutdown, crashed, pmsuspended. */
  readonly state: string
  /** What a running machine has, which is what it was started with. */
  readonly memoryMib: number | undefined
  readonly cpu: number | undefined
}

/** Reads `virsh domstats --state --balloon --vcpu` of all domains, by name. */
export function parseStats(text: string): ReadonlyMap<string, LiveFacts> {
  const blocks = text.split(/^Domain: /m).slice(1)
  return new Map(
    blocks.map((block) => {
      const name = /^'(.*)'/.exec(block)?.[1] ?? ''
      const value = (key: string): number | undefined => {
        const found = new RegExp(`^\\s*${key}=(\\d+)`, 'm').exec(block)?.[1]
        return found === undefined ? undefined : Number(found)
      }
      const memory = value('balloon\\.maximum')
      return [
        name,
        {
          state: states[value('state\\.state') ?? 0] ?? 'pmsuspended',
          memoryMib: memory === undefined ? undefined : Math.round(memory / 1024),
          cpu: value('vcpu\\.current'),
        },
      ]
    }),
  )
}

/** What DOMAIN_TYPE=auto means on a host. */
export function typeFor(asked: DomainType | 'auto', fault: string | undefined): DomainType {
  if (asked !== 'auto') return asked
  return fault === undefined ? 'kvm' : 'qemu'
}
