/** Applies the changes of the image. */
import { poolFiles, type Cluster, type Host, type Log, type RunOptions } from '@talosmith/core'
import { postSchematic } from '@talosmith/clients/factory'
import type { ImageChange } from './plan.ts'
import type { TransferTimeouts } from './timeouts.ts'
import { transferImage } from './transfer.ts'
import { verifyImage } from './verify.ts'

/** What applying a change needs; changes at the factory need no `host`. */
export interface ImageApplyContext {
  readonly cluster: Cluster
  readonly host?: Host
  readonly log: Log
  readonly signal: AbortSignal
  /** Receives the progress of a transfer. */
  readonly progress?: (text: string) => void
  readonly timeouts?: TransferTimeouts
}

/** Applies one change; idempotent, and resumes an interrupted transfer. */
export async function applyImageChange(
  change: ImageChange,
  context: ImageApplyContext,
): Promise<void> {
  const { cluster, host, progress = () => undefined } = context
  if (change.kind === 'post-schematic') return postSchematic(cluster, context)
  if (host === undefined) throw new Error(`${change.kind} needs a host`)
  switch (change.kind) {
    case 'verify-image':
      return verifyImage(change.target, host, cluster)
    case 'remove-partial':
      return removePartial(change.target, host, cluster.settings.STORAGE_POOL)
    case 'download-image':
      return transferImage(change.target, { ...context, host, progress })
  }
}

/** Removes the files of an interrupted transfer, unless another run is transferring. */
export async function removePartial(
  image: string,
  host: Host,
  pool: string,
  options: RunOptions = {},
): Promise<void> {
  await host.$({ ...options, ...poolFiles(pool) })`: remove an interrupted transfer
eval "$POOL_FILES"
for folder in ${`${image}.partial`} "$(partial_folder ${image})"; do
  # One that a run of another user has left stays: it may be root's.
  if [ -e "$folder" ] && may_write "$folder"; then
    exec 8>>"$folder/lock"
    if flock -n 8; then rm -rf -- "$folder"; else exit 0; fi
  fi
done
if [ -e ${image}"$pool_marker" ]; then pool_remove ${image} ${image}"$pool_marker"; fi`
}
