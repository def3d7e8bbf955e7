/** The annotation with which an upgrade records its progress on a Kubernetes node. */
import type { NodeObject } from '@talosmith/clients/kubernetes'
import type { Target } from '@talosmith/clients/talos'

/** Set on a node that an upgrade has cordoned; only such nodes are uncordoned again. */
export const upgradeAnnotation = 'talosmith.dev/upgrading-to'

/** What an upgrade recorded on a node: the target, and the boot ID before the restart. */
export interface Begun extends Target {
  /** Undefined: cordoned, but not restarted yet. */
  readonly boot: string | undefined
}

/** The text of the annotation. */
export function renderUpgradeAnnotation({ version, schematic }: Target, boot?: string): string {
  return [version, schematic ?? 'none', ...(boot === undefined ? [] : [boot])].join(' ')
}

/** Reads the annotation of a node; undefined: no upgrade of it has begun. */
export function readUpgradeAnnotation({
  metadata,
}: Pick<NodeObject, 'metadata'>): Begun | undefined {
  const text = metadata.annotations?.[upgradeAnnotation]
  if (text === undefined) return undefined
  const [version = '', schematic = 'none', boot] = text.split(' ')
  return { version, schematic: schematic === 'none' ? undefined : schematic, boot }
}
