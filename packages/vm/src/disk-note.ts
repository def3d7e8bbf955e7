/** The note in a domain's metadata of whether its disk was created: after that, a missing disk is lost, not new. */
import { virsh, type Host } from '@talosmith/core'

/** The namespace of the note, an element of its own, so that virsh replaces it without redefining the domain. */
export const diskNamespace = 'https://talosmith.dev/xmlns/disk/1.0'

/**
 * `none`: no disk was created yet, or Talosmith has begun to remove it. A domain without a note is from before
 * there were notes; its disk counts as created.
 */
export type DiskNote = 'none' | 'created'

/** The note as it is in the XML of a new domain. */
export function diskNoteElement(state: DiskNote): Readonly<Record<string, string>> {
  return { '@xmlns:talosmith-disk': diskNamespace, '@state': state }
}

/** Replaces the note in the persistent definition, also while the machine runs (virsh(1), metadata). */
export async function writeDiskNote(host: Host, domain: string, state: DiskNote): Promise<void> {
  const element = `<disk state='${state}'/>`
  const named = ['--uri', diskNamespace, '--key', 'talosmith-disk', '--set', element]
  await virsh(host, 'metadata', domain, '--config', ...named)
}
