/** What an upgrade notes on the Kubernetes node of a machine. */
import type { NodeObject } from '@talosmith/clients/kubernetes'
import type { Target } from '@talosmith/clients/talos'

/** On a node that an upgrade has cordoned: only such a node is uncordoned again. */
export const upgradeAnnotation = 'talosmith.dev/upgrading-to'

/** What an upgrade has written on a machine's node: what it is to run, and the boot it was restarted from. */
export interface Begun extends Target {
  /** Undefined: it was cordoned, but not restarted yet. */
  readonly boot: string | undefined
}

/** The mark as it stands in the annotation. */
export function renderUpgradeAnnotation({ version, schematic }: Target, boot?: string): string {
  return [version, schematic ?? 'none', ...(boot === undefined ? [] : [boot])].join(' ')
}

/** Reads the mark of a node; undefined: no upgrade has begun with it. */
export function readUpgradeAnnotation({
  metadata,
}: Pick<NodeObject, 'metadata'>): Begun | undefined {
  const text = metadata.annotations?.[upgradeAnnotation]
  if (text === undefined) return undefined
  const [version = '', schematic = 'none', boot] = text.split(' ')
  return { version, schematic: schematic === 'none' ? undefined : schematic, boot }
}
