/** Edits the XML of an existing domain. */
import { isDeepStrictEqual } from 'node:util'
import { machineNamespace } from '@talosmith/core'
import { XMLParser } from 'fast-xml-parser'
import {
  builder,
  clusterIdAttribute,
  cpuElement,
  cpuOf,
  guestAgentElement,
  guestAgentPort,
  attachmentOf,
  networkParts,
  parsing,
  part,
  type Element,
} from './domain-xml.ts'
import type { Machine } from './machine.ts'

const lists = new Set(['disk', 'interface', 'channel'])
const editor = new XMLParser({
  ...parsing,
  isArray: (name) => lists.has(name),
})

/**
 * Updates the XML of an existing domain (`virsh dumpxml --inactive`) to match `machine`, and keeps the rest:
 * UUID, PCI addresses, NVRAM, and what was added by hand.
 */
export function editDomain(xml: string, machine: Machine): string {
  const document = editor.parse(xml) as { domain: Element }
  const { domain } = document
  const devices = part(domain, 'devices')
  const isOtherType = domain['@type'] !== machine.type
  domain['@type'] = machine.type
  domain['memory'] = { '@unit': 'MiB', '#text': machine.memoryMib }
  delete domain['currentMemory']
  domain['vcpu'] = machine.cpu
  if (isOtherType || cpuOf(domain) !== machine.cpuModel)
    domain['cpu'] = cpuElement(machine.cpuModel)
  const [nic] = items(devices, 'interface')
  if (nic === undefined)
    devices['interface'] = {
      mac: { '@address': machine.mac },
      ...networkParts(machine.network),
      model: { '@type': 'virtio' },
    }
  else {
    nic['mac'] = { '@address': machine.mac }
    if (!isDeepStrictEqual(attachmentOf(nic), machine.network))
      Object.assign(nic, networkParts(machine.network))
  }
  const others = items(devices, 'channel').filter((channel) => !isGuestAgent(channel))
  const own = items(devices, 'channel').filter(isGuestAgent)
  const wanted = own.length > 0 ? own.slice(0, 1) : [guestAgentElement()]
  devices['channel'] = machine.guestAgent ? [...others, ...wanted] : others
  return builder.build(document)
}

/** The XML of an existing domain with the cluster's ID in our metadata element, and otherwise as it is. */
export function withClusterId(xml: string, clusterId: string): string {
  const document = editor.parse(xml) as { domain: Element }
  const metadata = part(document.domain, 'metadata')
  for (const name of Object.keys(metadata)) {
    const element = part(metadata, name)
    const isNamespace = (key: string): boolean =>
      key.startsWith('@xmlns') && element[key] === machineNamespace
    if (/^(?:.*:)?machine$/.test(name) && Object.keys(element).some(isNamespace))
      element[clusterIdAttribute] = clusterId
  }
  return builder.build(document)
}

function isGuestAgent(channel: Element): boolean {
  return part(channel, 'target')['@name'] === guestAgentPort
}

function items(from: Element, name: string): Element[] {
  const value = from[name]
  return Array.isArray(value)
    ? value.map((item) => (typeof item === 'object' && item !== null ? (item as Element) : {}))
    : []
}
