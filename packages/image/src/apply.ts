import type { Cluster, Host, Log } from '@talosmith/core'
import { postSchematic } from '@talosmith/clients/factory'
import { partialFolder } from './observe.ts'
import type { ImageChange } from './plan.ts'
import type { TransferTimeouts } from './timeouts.ts'
import { transferImage } from './transfer.ts'
import { verifyImage } from './verify.ts'

/** What carrying out a change needs; `host` is missing for what happens at the factory. */
export interface ApplyContext {
  readonly cluster: Cluster
  readonly host?: Host
  readonly log: Log
  readonly signal: AbortSignal
  /** Told where a transfer stands. */
  readonly progress?: (text: string) => void
  readonly timeouts?: TransferTimeouts
}

/** Carries out one change; may be repeated, and carries on what a killed run left. */
export async function applyChange(change: ImageChange, context: ApplyContext): Promise<void> {
  const { cluster, host, progress = () => undefined } = context
  if (change.kind === 'post-schematic') return postSchematic(cluster, context)
  if (host === undefined) throw new Error(`${change.kind} needs a host`)
  switch (change.kind) {
    case 'verify-image':
      return verifyImage(change.target, host, cluster)
    case 'remove-partial':
      return removePartial(change.target, host)
    case 'download-image':
      return transferImage(change.target, { ...context, host, progress })
  }
}

/** Removes what a transfer left, unless one is at work there. */
export async function removePartial(image: string, host: Host): Promise<void> {
  const folder = partialFolder(image)
  await host.$`if [ -e ${folder} ]; then
      exec 8>>${folder}/lock
      if flock -n 8; then rm -rf -- ${folder}; fi
    fi`
}
