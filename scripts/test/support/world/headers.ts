/** The headers of files on the simulated host, by which the product knows them. */
import type { HostFile } from './host.ts'

const gib = 2 ** 30

/** https://www.qemu.org/docs/master/interop/qcow2.html: magic, version, backing file and its length, size. */
export function qcow2Header({ gib: size, backing }: Extract<HostFile, { kind: 'disk' }>): string {
  const header = Buffer.alloc(104 + backing.length)
  header.write('QFI\xfb', 0, 'latin1')
  header.writeUInt32BE(3, 4)
  header.writeBigUInt64BE(104n, 8)
  header.writeUInt32BE(backing.length, 16)
  header.writeBigUInt64BE(BigInt(size * gib), 24)
  header.write(backing, 104)
  return header.toString('base64')
}

/** The fields of an ISO's volume descriptor that identify a seed: ECMA-119 8.4. */
export function isoDescriptor({
  publisher,
  application,
}: Extract<HostFile, { kind: 'seed' }>): string {
  const sector = Buffer.alloc(2048, 0x20)
  sector.write('CD001', 1, 'latin1')
  sector.write('cidata', 40, 'latin1')
  sector.write(publisher, 318, 'latin1')
  sector.write(application, 574, 'latin1')
  return sector.toString('base64')
}
