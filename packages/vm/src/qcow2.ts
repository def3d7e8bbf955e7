/** What the header of a qcow2 file says. */
export interface Qcow2 {
  /** The size that a machine sees. */
  readonly virtualBytes: number
  /** The file it is an overlay of, as written in the header. */
  readonly backing: string | undefined
}

/** Enough of a file for its header and the name of its backing file. */
export const headerBytes = 4096

/**
 * Reads a qcow2 header; undefined for any other file. Fifty `qemu-img info` would be fifty processes.
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
