/** Verifies the file of an etcd snapshot by the checksum that etcd appends to it. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

/** Size and checksum of a snapshot file. */
export interface FileDigest {
  readonly bytes: number
  readonly sha256: string
}

const page = 512
const trailerBytes = 32

/**
 * Reads a snapshot of etcd and verifies the sha256 that etcd appends to its pages (etcd client/v3/snapshot).
 * Throws when the file is truncated or damaged.
 */
export async function checkBackupFile(path: string): Promise<FileDigest> {
  const { size } = await stat(path)
  if (size <= trailerBytes || size % page !== trailerBytes)
    throw new Error(`the snapshot is incomplete (${size} bytes)`)
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
  if (!pages.digest().equals(trailer))
    throw new Error('the snapshot is damaged: its checksum does not match')
  return { bytes: size, sha256: whole.digest('hex') }
}
