/** Which parts of a domain's XML are ours, and how each is changed. All others belong to the host's owner. */
import { isDeepStrictEqual } from 'node:util'
import { diskNamespace, machineNamespace } from '@talosmith/core'
import { diskNoteElement } from './disk-note.ts'
import {
  attachmentOf,
  cpuElement,
  cpuOf,
  diskElement,
  firmwareElements,
  guestAgentElement,
  guestAgentPort,
  interfaceElement,
  machineElement,
  networkParts,
  ownTarget,
  part,
  seedElement,
  seedTarget,
  type Element,
} from './domain-xml.ts'
import {
  childOf,
  childrenOf,
  elementFrom,
  elementsOf,
  insert,
  nameOf,
  plainOf,
  removeElements,
  replace,
  setAttributes,
  setText,
  type Tree,
} from './domain-tree.ts'
import type { Machine, Origin } from './machine.ts'

/** A part of a domain's XML that is changed for `wanted`. */
interface OwnedPart<T> {
  readonly what: string
  readonly set: (domain: Tree, wanted: T) => void
}

/** The files that a domain's metadata names. */
export type FormerFiles = Pick<Machine, 'disk' | 'seed'>

/** What a rebuilt machine gets. */
interface Rebuilt {
  readonly machine: Machine
  readonly origin: Origin
  readonly former: FormerFiles
}

/** Changed when the settings have changed. */
export const ownedParts: readonly OwnedPart<Machine>[] = [
  { what: 'domain type', set: (domain, { type }) => setAttributes(domain, { type }) },
  {
    what: 'amount of memory',
    set(domain, { memoryMib }) {
      const current = elementsOf(domain, 'currentMemory')
      for (const element of [childOf(domain, 'memory'), ...current]) {
        const { '@unit': unit, '#text': text } = plainOf(element)
        if (unit === 'KiB' && Number(text) === memoryMib * 1024) continue
        setAttributes(element, { unit: 'MiB' })
        setText(element, memoryMib)
      }
    },
  },
  {
    // Not its cpuset or placement.
    what: 'number of CPUs',
    set(domain, { cpu }) {
      const vcpu = childOf(domain, 'vcpu')
      // Others can be added while it runs.
      if (Number(plainOf(vcpu)['@current']) === cpu) return
      setAttributes(vcpu, { current: undefined })
      setText(vcpu, cpu)
    },
  },
  { what: 'mode or model of the CPU', set: setCpuModel },
  { what: 'network interface with our MAC address', set: setInterface },
  { what: 'channel of the guest agent', set: setGuestAgent },
]

/** Changed, besides `ownedParts`, when a machine is rebuilt with an empty disk. */
export const rebuiltParts: readonly OwnedPart<Rebuilt>[] = [
  { what: 'firmware', set: (domain, { machine }) => setFirmware(domain, machine) },
  {
    what: 'disk that was created for the machine',
    set: (domain, { machine, origin, former }) =>
      setDisk(
        domain,
        { device: 'disk', former: former.disk, target: ownTarget },
        diskElement(machine, origin),
      ),
  },
  {
    what: 'drive with the seed ISO',
    set: (domain, { machine, former }) =>
      setDisk(
        domain,
        { device: 'cdrom', former: former.seed, target: seedTarget },
        seedElement(machine),
      ),
  },
  {
    what: 'metadata',
    set(domain, { machine, origin }) {
      const metadata = childOf(domain, 'metadata')
      const own = [
        ...metadataOf(domain, machineNamespace, 'machine'),
        ...metadataOf(domain, diskNamespace, 'disk'),
      ]
      removeElements(metadata, (child) => own.includes(child))
      insert(metadata, elementFrom('talosmith:machine', machineElement(machine, origin)))
      insert(metadata, elementFrom('talosmith-disk:disk', diskNoteElement('none')))
    },
  },
]

/** The elements of a domain's metadata with a name in a namespace, whatever its prefix. */
export function metadataOf(domain: Tree, namespace: string, element: string): Tree[] {
  return elementsOf(domain, 'metadata')
    .flatMap(childrenOf)
    .filter((child) => {
      const [local, prefix] = nameOf(child).split(':').toReversed()
      const declared = prefix === undefined ? '@xmlns' : `@xmlns:${prefix}`
      return local === element && plainOf(child)[declared] === namespace
    })
}

/** The interface with our MAC address, otherwise the first one. */
export function ownInterface<T>(
  all: readonly T[],
  macOf: (one: T) => string,
  mac: string | undefined,
): T | undefined {
  return all.find((one) => macOf(one).toLowerCase() === mac) ?? all[0]
}

/** Topology, NUMA cells, caches and features stay. */
function setCpuModel(domain: Tree, { type, cpuModel }: Machine): void {
  const plain = plainOf(domain)
  const isOtherType = plain['@type'] !== type
  if (!isOtherType && cpuOf(plain) === cpuModel) return
  const cpu = childOf(domain, 'cpu')
  const wanted = cpuElement(cpuModel)
  for (const key of Object.keys(plainOf(cpu)))
    if (key.startsWith('@')) setAttributes(cpu, { [key.slice(1)]: undefined })
  for (const [key, value] of Object.entries(wanted))
    if (key.startsWith('@')) setAttributes(cpu, { [key.slice(1)]: value })
  removeElements(cpu, (child) => ['model', 'vendor'].includes(nameOf(child)))
  if (wanted['model'] !== undefined) childrenOf(cpu).unshift(elementFrom('model', wanted['model']))
}

function setInterface(domain: Tree, machine: Machine): void {
  const devices = childOf(domain, 'devices')
  const macOf = (nic: Tree): string => String(part(plainOf(nic), 'mac')['@address'] ?? '')
  const nic = ownInterface(elementsOf(devices, 'interface'), macOf, machine.mac)
  if (nic === undefined) {
    insert(devices, elementFrom('interface', interfaceElement(machine)))
    return
  }
  setAttributes(childOf(nic, 'mac'), { address: machine.mac })
  if (
    machine.network === undefined ||
    isDeepStrictEqual(attachmentOf(plainOf(nic)), machine.network)
  )
    return
  const { '@type': type, ...parts } = networkParts(machine.network)
  setAttributes(nic, { type })
  removeElements(nic, (child) => ['source', 'virtualport', 'vlan'].includes(nameOf(child)))
  for (const [name, content] of Object.entries(parts)) insert(nic, elementFrom(name, content))
}

function setGuestAgent(domain: Tree, { guestAgent }: Machine): void {
  const devices = childOf(domain, 'devices')
  const isOurs = (device: Tree): boolean =>
    nameOf(device) === 'channel' && part(plainOf(device), 'target')['@name'] === guestAgentPort
  if (!guestAgent) removeElements(devices, isOurs)
  else if (!childrenOf(devices).some(isOurs))
    insert(devices, elementFrom('channel', guestAgentElement()))
}

/** A loader that was chosen by hand stays, as long as it is of the right kind. */
function setFirmware(domain: Tree, { uefi }: Machine): void {
  const os = childOf(domain, 'os')
  const has = plainOf(os)
  if (uefi === (has['@firmware'] === 'efi' || has['loader'] !== undefined)) return
  removeElements(os, (child) => ['firmware', 'loader', 'nvram'].includes(nameOf(child)))
  setAttributes(os, { firmware: undefined })
  const { '@firmware': firmware, ...parts } = firmwareElements(uefi)
  setAttributes(os, { firmware })
  for (const [name, content] of Object.entries(parts)) insert(os, elementFrom(name, content))
}

/** Attaches our file to the drive that had the former one, or that is at our place; settings of the drive stay. */
function setDisk(
  domain: Tree,
  {
    device,
    former,
    target,
  }: { readonly device: string; readonly former: string; readonly target: string },
  wanted: Element,
): void {
  const devices = childOf(domain, 'devices')
  const drives = elementsOf(devices, 'disk').filter(
    (drive) => (plainOf(drive)['@device'] ?? 'disk') === device,
  )
  const sourceOf = (drive: Tree): unknown => part(plainOf(drive), 'source')['@file']
  const targetOf = (drive: Tree): unknown => part(plainOf(drive), 'target')['@dev']
  const own =
    drives.find((drive) => sourceOf(drive) === former) ??
    drives.find((drive) => targetOf(drive) === target)
  if (own === undefined) {
    const first = childrenOf(devices).findIndex((child) => nameOf(child) === 'disk')
    childrenOf(devices).splice(Math.max(first, 0), 0, elementFrom('disk', wanted))
    return
  }
  const source = part(wanted, 'source')
  if (sourceOf(own) === source['@file']) return
  setAttributes(own, { type: 'file' })
  removeElements(own, (child) => nameOf(child) === 'backingStore')
  for (const name of ['driver', 'source'])
    replace(own, elementsOf(own, name)[0], elementFrom(name, wanted[name]))
}
