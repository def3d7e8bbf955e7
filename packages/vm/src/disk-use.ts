/** What the machines use as their disks: those created for them, snapshots of these, other disks, or nothing. */
import { hadDisk, type Cluster, type Node } from '@talosmith/core'
import type { ObservedDisk } from './observed-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import type { DiskSource } from './parse-domain.ts'
import { diskOf, domainOf } from './place.ts'

/** A disk that a machine uses, now or from its next start, instead of the one that was created for it. */
export interface OtherDisk {
  /** Its path, or its name in libvirt's XML. */
  readonly source: string
  /** It is an overlay of the created disk: an external snapshot. */
  readonly isOverlay: boolean
}

/** The other disk that a machine of ours uses; undefined: it uses its own. */
export function otherDiskOf(
  { own, attached }: ObservedDomain,
  observed: ObservedHost,
): OtherDisk | undefined {
  const other = attached.find(({ source }) => source !== own?.disk)
  if (other === undefined) return undefined
  const isOverlay = observed.overlays.some(
    ({ path, disk }) => path === other.source && disk === own?.disk,
  )
  return { source: other.source, isOverlay }
}

/** The disk that a node's machine uses, with its size; undefined: it is missing, or not a file. */
export function diskInUse(
  cluster: Cluster,
  node: Node,
  observed: ObservedHost,
): ObservedDisk | undefined {
  const domain = domainOf(node, observed)
  const other = domain?.owner === cluster.name ? otherDiskOf(domain, observed) : undefined
  return other === undefined ? diskOf(cluster, node, observed) : observed.disks.get(other.source)
}

/**
 * Whether a node's disk is to be created: it is missing and never existed. A missing one that did exist is in
 * `lostDiskOf`.
 */
export function needsDisk(cluster: Cluster, node: Node, observed: ObservedHost): boolean {
  if (diskOf(cluster, node, observed) !== undefined) return false
  const domain = domainOf(node, observed)
  return domain?.owner !== cluster.name || !hasHadDisk(domain)
}

/** The path of the disk that a machine of ours had and that is gone, or part of whose backing chain is. */
export function lostDiskOf(domain: ObservedDomain, observed: ObservedHost): string | undefined {
  const { own, attached } = domain
  if (own === undefined) return undefined
  const others = attached.filter(({ source }) => source !== own.disk)
  const gone = others.find(
    ({ type, source }) =>
      (type === 'file' && !observed.disks.has(source)) || observed.brokenChains.has(source),
  )
  if (gone !== undefined) return gone.source
  if (others.length > 0 || observed.disks.has(own.disk)) return undefined
  return hasHadDisk(domain) ? own.disk : undefined
}

function hasHadDisk({ diskNote, live }: ObservedDomain): boolean {
  return hadDisk(diskNote, live.state === 'shut off')
}

/** The machines, apart from `domain`, that use its disk, directly or through an overlay. */
export function otherUsers(domain: ObservedDomain, observed: ObservedHost): ObservedDomain[] {
  const path = domain.own?.disk ?? ''
  const files = ownFilesOf(domain, observed)
  const usesIt = ({ source }: DiskSource): boolean => files.has(source)
  return observed.domains.filter(
    (one) =>
      one !== domain && (one.machine.disk === path || [...one.disks, ...one.attached].some(usesIt)),
  )
}

/** The disks that were added to a machine by hand: nothing of ours removes them. */
export function disksByHand(domain: ObservedDomain, observed: ObservedHost): DiskSource[] {
  const files = ownFilesOf(domain, observed)
  return domain.disks.filter(({ source }) => !files.has(source))
}

/** The disk that was created for a machine, and the overlays of it. */
export function ownFilesOf({ own }: ObservedDomain, { overlays }: ObservedHost): Set<string> {
  const path = own?.disk ?? ''
  return new Set([path, ...overlays.filter(({ disk }) => disk === path).map((one) => one.path)])
}
