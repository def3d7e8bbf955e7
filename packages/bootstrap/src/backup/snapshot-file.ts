import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

/** What the bytes of a snapshot are. */
export interface SnapshotBytes {
  readonly bytes: number
  readonly sha256: string
}

const page = 512
const trailerBytes = 32

/**
 * Reads a snapshot of etcd whole and checks the sha256 that etcd put behind its pages
 * (etcd client/v3/snapshot). Throws with what is wrong.
 */
export async function checkSnapshot(path: string): Promise<SnapshotBytes> {
  const { size } = await stat(path)
  if (size <= trailerBytes || size % page !== trailerBytes)
    throw new Error(`${size} bytes are no whole snapshot`)
  const whole = createHash('sha256')
  const pages = createHash('sha256')
  let trailer = Buffer.alloc(0)
  let left = size - trailerBytes
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    whole.update(chunk)
    const own = chunk.subarray(0, Math.max(0, left))
    pages.update(own)
    left -= own.length
    trailer = Buffer.concat([trailer, chunk.subarray(own.length)])
  }
  if (!pages.digest().equals(trailer)) throw new Error('its bytes are not those that etcd wrote')
  return { bytes: size, sha256: whole.digest('hex') }
}
