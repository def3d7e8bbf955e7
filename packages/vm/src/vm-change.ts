/** One change of one machine, and the removal of what killed runs left: parts of every plan. */
import { uploadSuffix, type Change } from '@talosmith/core'
import type { ObservedLeftover } from './observed-files.ts'
import type { ObservedHost } from './observe.ts'

/** One change of one machine. */
export interface VmChange extends Change {
  readonly kind:
    | 'reserve-address'
    | 'define-domain'
    | 'update-domain'
    | 'note-cluster-id'
    | 'create-disk'
    | 'record-disk'
    | 'grow-disk'
    | 'create-seed'
    | 'drop-channel'
    | 'set-autostart'
    | 'start-domain'
    | 'stop-domain'
    | 'cut-power'
    | 'remove-disk'
    | 'undefine-domain'
    | 'remove-seed'
    | 'remove-leftover'
    | 'release-address'
  /** The machine's name, or that of a reservation. */
  readonly target: string
  /** The host's index in LIBVIRT_URI. */
  readonly host: number
  /** The file to change. */
  readonly path?: string
}

type More = Partial<Pick<VmChange, 'from' | 'to' | 'risk' | 'path'>>
/** Makes a change of one machine on one host. */
export type Make = (kind: VmChange['kind'], summary: string, more?: More) => VmChange

/** Changes of a machine on a host, without risk unless they name one. */
export function changeOn({ index }: ObservedHost, target: string): Make {
  return (kind, summary, more = {}) => ({
    kind,
    target,
    summary,
    risk: 'none',
    host: index,
    ...more,
  })
}

/** Removes incomplete files of killed runs, those that `isIncluded`; never a seed ISO that is attached to a machine. */
export function planLeftovers(
  hosts: readonly ObservedHost[],
  isIncluded: (leftover: ObservedLeftover) => boolean,
): VmChange[] {
  return hosts.flatMap((observed) =>
    observed.leftovers.filter(isIncluded).flatMap(({ path, node }) => {
      if (observed.domains.some(({ machine }) => `${machine.seed}${uploadSuffix}` === path))
        return []
      const summary = `Remove an incomplete file of a stopped run: ${path}`
      return changeOn(observed, node)('remove-leftover', summary, { path })
    }),
  )
}
