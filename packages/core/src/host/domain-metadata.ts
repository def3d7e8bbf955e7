/** What the metadata of a libvirt domain records about the machine: its cluster and files. */
import { elementsAt, textAt, type XmlElement, type XmlNode } from '../xml.ts'

/** The namespace of the machine's element. */
export const machineNamespace = 'https://talosmith.dev/xmlns/machine/1.0'
/** The namespace of the disk note, an element of its own, so that virsh replaces it without redefining the domain. */
export const diskNamespace = 'https://talosmith.dev/xmlns/disk/1.0'

/**
 * `none`: no disk was created yet, or Talosmith has begun to remove it. A domain without a note is from before
 * there were notes; its disk counts as created.
 */
export type DiskNote = 'none' | 'created'

/** The metadata of a domain that Talosmith created. */
export interface DomainMetadata {
  readonly cluster: string
  /** Undefined: created before clusters had IDs. */
  readonly clusterId: string | undefined
  readonly role: string
  /** The libvirt URI it was created through. */
  readonly madeThrough: string
  /** The paths of the files that were created for it, and are removed with it. */
  readonly disk: string
  readonly seed: string
  readonly diskNote: DiskNote
}

/** Reads a parsed `virsh dumpxml`; undefined: not created by Talosmith, or a clone made by hand, which has a copy. */
export function readDomainMetadata(document: XmlNode): DomainMetadata | undefined {
  const [metadata] = elementsAt(document, 'domain', 'metadata')
  const machine = ownElement(metadata, 'machine', machineNamespace)
  if (machine === undefined || machine('@node') !== textAt(document, 'domain', 'name'))
    return undefined
  return {
    cluster: machine('@cluster'),
    clusterId: machine('@cluster-id') || undefined,
    role: machine('@role'),
    madeThrough: machine('@host'),
    disk: machine('disk', '@file'),
    seed: machine('seed', '@file'),
    diskNote:
      ownElement(metadata, 'disk', diskNamespace)?.('@state') === 'none' ? 'none' : 'created',
  }
}

/**
 * Whose a machine is by its metadata. `unknown`: it has the cluster's name, and it or the cluster has no ID, so that
 * only other evidence can tell.
 */
export function ownerByMetadata(
  machine: Pick<DomainMetadata, 'cluster' | 'clusterId'> | undefined,
  { name, id }: { readonly name: string; readonly id: string | undefined },
): 'this cluster' | 'another' | 'unknown' {
  if (machine?.cluster !== name) return 'another'
  if (machine.clusterId === undefined || id === undefined) return 'unknown'
  return machine.clusterId === id ? 'this cluster' : 'another'
}

/** A reader of the element `element`, which is found by its namespace with any prefix; '' for what is not there. */
function ownElement(
  metadata: XmlNode | undefined,
  element: 'machine' | 'disk',
  namespace: string,
): ((...path: readonly string[]) => string) | undefined {
  if (typeof metadata !== 'object') return undefined
  for (const [name, found] of Object.entries(metadata as XmlElement)) {
    const [local = '', prefix] = name.split(':').toReversed()
    const declared = prefix === undefined ? '@xmlns' : `@xmlns:${prefix}`
    if (local !== element || textAt(found, declared) !== namespace) continue
    return (...path) =>
      textAt(
        found,
        ...path.map((key) =>
          key.startsWith('@') || prefix === undefined ? key : `${prefix}:${key}`,
        ),
      ) ?? ''
  }
  return undefined
}
