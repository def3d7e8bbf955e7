/** Parses the output of virsh about a host: capabilities, domain statistics. */
import { elementsAt, parseXml, textAt } from '@talosmith/core'
import type { DomainType } from './machine.ts'

/** Whether a host has UEFI firmware, by its `virsh domcapabilities`. */
export function offersUefi(capabilities: string): boolean {
  return elementsAt(parseXml(capabilities), 'domainCapabilities', 'os', 'enum')
    .filter((element) => textAt(element, '@name') === 'firmware')
    .some((firmware) => elementsAt(firmware, 'value').includes('efi'))
}

/** The requirements of KVM that a host meets. */
export interface KvmFacts {
  readonly hasDevice: boolean
  /** vmx or svm among the processor's flags. */
  readonly hasFlag: boolean
  readonly libvirtOffers: boolean
}

/**
 * Why KVM cannot be used; undefined when it can. In guests without nested virtualization, libvirt and
 * /dev/kvm suggest that KVM works although every machine would fail to start: the CPU flags decide.
 */
export function kvmProblem({ hasDevice, hasFlag, libvirtOffers }: KvmFacts): string | undefined {
  if (!hasDevice) return 'there is no /dev/kvm'
  if (!hasFlag) return 'the processor offers neither vmx nor svm (/proc/cpuinfo)'
  if (!libvirtOffers) return 'virsh domcapabilities --virttype kvm fails'
  return undefined
}

/** libvirt's names of the states that `virsh domstats` prints as numbers. */
const states = ['no state', 'running', 'running', 'paused', 'in shutdown', 'shut off', 'crashed']

/** The current state of a domain. */
export interface LiveFacts {
  /** libvirt's state: running, shut off, paused, in shutdown, crashed, pmsuspended. */
  readonly state: string
  /** Memory and CPUs that a running machine was started with. */
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

/** The domain type on a host; DOMAIN_TYPE=auto is KVM where it can be used. */
export function typeFor(
  configured: DomainType | 'auto',
  kvmProblem: string | undefined,
): DomainType {
  if (configured !== 'auto') return configured
  return kvmProblem === undefined ? 'kvm' : 'qemu'
}
