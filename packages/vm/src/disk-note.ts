/** The note in a domain's metadata of whether its disk was created: after that, a missing disk is lost, not new. */
import { diskNamespace, virsh, type DiskNote, type Host } from '@talosmith/core'

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
