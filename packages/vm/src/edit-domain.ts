/** Edits the XML of an existing domain. */
import { machineNamespace } from '@talosmith/core'
import { clusterIdAttribute } from './domain-xml.ts'
import { editTree, setAttributes } from './domain-tree.ts'
import type { Machine, Origin } from './machine.ts'
import { metadataOf, ownedParts, rebuiltParts, type FormerFiles } from './owned-parts.ts'

/**
 * Updates the XML of an existing domain (`virsh dumpxml --inactive`) to match `machine`. Only the parts in `ownedParts`
 * change: everything else is a decision of the host's owner.
 */
export function editDomain(xml: string, machine: Machine): string {
  return editTree(xml, (domain) => {
    for (const { set } of ownedParts) set(domain, machine)
  })
}

/**
 * Updates the XML of an existing domain for a machine that starts again with an empty disk: with the firmware, the
 * files and the metadata that a new one gets. `former` are the files that the domain's metadata names now.
 */
export function rebuildDomain(
  xml: string,
  machine: Machine,
  { origin, former }: { readonly origin: Origin; readonly former: FormerFiles },
): string {
  return editTree(editDomain(xml, machine), (domain) => {
    for (const { set } of rebuiltParts) set(domain, { machine, origin, former })
  })
}

/** The XML of an existing domain with the cluster's ID in our metadata element, and otherwise as it is. */
export function withClusterId(xml: string, clusterId: string): string {
  return editTree(xml, (domain) => {
    for (const element of metadataOf(domain, machineNamespace, 'machine'))
      setAttributes(element, { [clusterIdAttribute.slice(1)]: clusterId })
  })
}
