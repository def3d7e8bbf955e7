/** Reads the header of qcow2 files. */

/** The contents of a qcow2 header. */
export interface Qcow2 {
  /** The virtual size of the disk. */
  readonly virtualBytes: number
  /** The backing file, as written in the header. */
  readonly backing: string | undefined
}

/** The size of the header with the name of the backing file. */
export const headerBytes = 4096

/**
 * Parses a qcow2 header; undefined for any other file. `qemu-img info` would need one process per disk.
 * https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function readQcow2(header: Uint8Array): Qcow2 | undefined {
  const bytes = Buffer.from(header)
  if (bytes.length < 72 || bytes.toString('latin1', 0, 4) !== 'QFI\xfb') return undefined
  const start = Number(bytes.readBigUInt64BE(8))
  const length = bytes.readUInt32BE(16)
  return {
    virtualBytes: Number(bytes.readBigUInt64BE(24)),
    backing: start === 0 ? undefined : bytes.toString('utf8', start, start + length),
  }
}
