import { mark, type NodeObject } from '@talosmith/clients/kubernetes'
import type { Target } from '@talosmith/clients/talos'

/** What an upgrade has written on a machine's node: what it is to run, and the boot it was restarted from. */
export interface Begun extends Target {
  /** Undefined: it was cordoned, but not restarted yet. */
  readonly boot: string | undefined
}

/** The mark as it stands in the annotation. */
export function renderMark({ version, schematic }: Target, boot?: string): string {
  return [version, schematic ?? 'none', ...(boot === undefined ? [] : [boot])].join(' ')
}

/** Reads the mark of a node; undefined: no upgrade has begun with it. */
export function readMark({ metadata }: Pick<NodeObject, 'metadata'>): Begun | undefined {
  const text = metadata.annotations?.[mark]
  if (text === undefined) return undefined
  const [version = '', schematic = 'none', boot] = text.split(' ')
  return { version, schematic: schematic === 'none' ? undefined : schematic, boot }
}
