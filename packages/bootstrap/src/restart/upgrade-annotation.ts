/** The annotations with which an upgrade records its progress on a Kubernetes node, and versions that never boot there. */
import type { NodeObject } from '@talosmith/clients/kubernetes'
import type { Target } from '@talosmith/clients/talos'
import type { BootFailureKind } from '@talosmith/core'

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

/** Set on the node of a machine that its host had to return to its previous version. */
export const failedAnnotation = 'talosmith.dev/failed-version'

/** A version that did not boot on a machine, and that Talos did not roll back. */
export interface FailedVersion extends Target {
  /** Undefined: its console no longer shows it. */
  readonly kind: BootFailureKind | undefined
}

/** The text of the annotation. */
export function renderFailedVersion({ version, schematic, kind }: FailedVersion): string {
  return [version, schematic ?? 'none', ...(kind === undefined ? [] : [kind])].join(' ')
}

/** Reads the annotation of a node; undefined: no version has failed there. */
export function readFailedVersion({
  metadata,
}: Pick<NodeObject, 'metadata'>): FailedVersion | undefined {
  const text = metadata.annotations?.[failedAnnotation]
  if (text === undefined) return undefined
  const [version = '', schematic = 'none', kind] = text.split(' ')
  return {
    version,
    schematic: schematic === 'none' ? undefined : schematic,
    kind: kind === 'hangs' || kind === 'panics' ? kind : undefined,
  }
}
