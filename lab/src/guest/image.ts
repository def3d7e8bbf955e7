/** Builds the kernel image and the disk image of a guest. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { packFolder } from './initramfs.ts'
import type { Kernel } from './kernel.ts'

/** The contents of an image. */
export interface GuestImage {
  readonly version: string
  readonly schematic: string
  readonly extensions: readonly { readonly name: string; readonly version: string }[]
  readonly kernelArgs: readonly string[]
  /** The factory that the guest pulls from. */
  readonly factory: string
  /** A version that starts and never finishes its boot, to test failing upgrades. */
  readonly broken: boolean
}

/** What every image shares. */
export interface GuestParts {
  readonly kernel: Kernel
  readonly initramfs: string
}

/** The size that Talos' nocloud images have, in MiB. */
const imageMib = 1246
/** The EFI system partition: room for three kernels. */
const espMib = 600
const stub = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub'

/**
 * Builds the kernel image (a UKI: stub, kernel, initramfs and command line in one file) of a guest image
 * into `folder`, unless it exists there.
 */
export async function buildUki(
  image: GuestImage,
  { kernel, initramfs }: GuestParts,
  folder: string,
): Promise<string> {
  const path = join(folder, 'nocloud-amd64-uki.efi')
  if (existsSync(path)) return path
  const work = `${path}.${process.pid}.tmp`
  mkdirSync(join(work, 'root', 'etc'), { recursive: true })
  try {
    const { kernelArgs, ...facts } = image
    writeFileSync(join(work, 'root', 'etc', 'lab-image.json'), JSON.stringify(facts))
    writeFileSync(join(work, 'cmdline'), [...commandLine, ...kernelArgs].join(' '))
    writeFileSync(
      join(work, 'os-release'),
      `ID=talos\nNAME="Talos"\nVERSION_ID=${image.version}\nPRETTY_NAME="Talos (${image.version})"\n`,
    )
    await packFolder(join(work, 'root'), join(work, 'image.cpio.zst'))
    // The kernel unpacks archives that follow each other.
    await local.$`cat ${initramfs} ${join(work, 'image.cpio.zst')} > ${join(work, 'initrd')}`
    const section = (name: string, file: string, address: string): string[] => [
      '--add-section',
      `.${name}=${file}`,
      '--change-section-vma',
      `.${name}=${address}`,
    ]
    const sections = [
      ...section('osrel', join(work, 'os-release'), '0x20000'),
      ...section('cmdline', join(work, 'cmdline'), '0x30000'),
      ...section('linux', kernel.image, '0x2000000'),
      ...section('initrd', join(work, 'initrd'), '0x6000000'),
    ]
    await local.$`objcopy ${sections} ${stub} ${join(work, 'uki')}`
    clearTimestamp(join(work, 'uki'))
    renameSync(join(work, 'uki'), path)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return path
}

/** objcopy writes the time into the header of a PE file, and a checksum over it that firmware ignores. */
function clearTimestamp(path: string): void {
  const file = openSync(path, 'r+')
  const header = Buffer.alloc(4)
  readSync(file, header, 0, 4, 0x3c)
  const signature = header.readUInt32LE()
  for (const offset of [0x08, 0x58]) writeSync(file, Buffer.alloc(4), 0, 4, signature + offset)
  closeSync(file)
}

/** The same for every image: as with Talos' own, the same parts always make the same bytes. */
const identity = {
  disk: '6b1f0e3a-5d0c-4d0e-9a53-7a105a170001',
  partition: '6b1f0e3a-5d0c-4d0e-9a53-7a105a170002',
}

const commandLine = [
  'talos.platform=nocloud',
  'console=tty1',
  'console=ttyS0',
  'net.ifnames=0',
  'panic=10',
  'quiet',
]

/** Builds the raw disk image: a partition table and an EFI system partition that holds the kernel image. */
export async function buildRawImage(uki: string, folder: string): Promise<string> {
  const path = join(folder, 'nocloud-amd64.raw')
  if (existsSync(path)) return path
  const temporary = `${path}.${process.pid}.tmp`
  try {
    await local.$`truncate -s ${imageMib}M ${temporary}`
    const ids = ['-U', identity.disk, '-u', `1:${identity.partition}`]
    await local.$`sgdisk -n ${`1:2048:+${espMib}M`} -t 1:EF00 -c 1:EFI ${ids} ${temporary}`
    const partition = `${temporary}@@1M`
    await local.$`mkfs.vfat --invariant -F 32 -n EFI --offset=2048 ${temporary} ${espMib * 1024}`
    const env = { SOURCE_DATE_EPOCH: '0', TZ: 'UTC' }
    await local.$({ env })`mmd -i ${partition} ::/EFI ::/EFI/BOOT ::/EFI/Linux`
    await local.$({ env })`mcopy -i ${partition} ${uki} ::/EFI/BOOT/BOOTX64.EFI`
    await local.$`fallocate --dig-holes ${temporary}`
    renameSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
  return path
}
