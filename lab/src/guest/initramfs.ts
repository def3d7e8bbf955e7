/** Builds the guest's initramfs. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { inStep, local, projectRoot, type Log } from '@talosmith/core'
import { cacheFolder } from '../layout.ts'
import type { Kernel } from './kernel.ts'

/** The modules that the lab node loads; lab/tools/node/GUEST.md names them. */
const modules =
  'virtio_pci virtio_blk virtio_net virtio_console virtio_rng virtio_scsi sd_mod ahci sr_mod isofs ext4 crc32c_generic crc32c_intel vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 button evdev i6300esb nfs nfsv4 overlay'.split(
    ' ',
  )

/** Programs of this machine that the guest needs, with the libraries that they load. */
const programs = ['/sbin/mke2fs', '/bin/busybox']

/** The part of the initramfs that every image shares, as a cpio archive compressed with zstd's fast level. */
export async function buildInitramfs(
  kernel: Kernel,
  nodeProgram: string,
  log: Log,
): Promise<string> {
  const recipe = createHash('sha256')
    .update(readFileSync(join(projectRoot, 'lab', 'src', 'guest', 'initramfs.ts')))
    .digest('hex')
  const name = `initramfs-${kernel.release}-${basename(dirname(nodeProgram))}-${recipe.slice(0, 8)}.cpio.zst`
  const path = join(cacheFolder, 'guest', name)
  if (existsSync(path)) return path
  const root = `${path}.${process.pid}.tmp`
  await inStep(log, "Build the guest's initramfs", async () => {
    try {
      for (const folder of ['dev', 'proc', 'sys', 'run', 'tmp', 'system', 'var', 'etc', 'sbin'])
        mkdirSync(join(root, folder), { recursive: true })
      await local.$`install -m 755 ${nodeProgram} ${join(root, 'init')}`
      await local.$`mknod -m 600 ${join(root, 'dev', 'console')} c 5 1`
      await local.$`cp /etc/mke2fs.conf ${join(root, 'etc')}`
      await copyModules(kernel, root)
      for (const program of programs) await copyProgram(program, root)
      await packFolder(root, `${root}.zst`)
      renameSync(`${root}.zst`, path)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
  return path
}

/** Packs a folder as an initramfs; the same files result in the same bytes. */
export async function packFolder(root: string, archive: string): Promise<void> {
  await local.$`cd ${root} && find . -exec touch -h -d @0 {} + && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --reproducible --quiet | zstd -q -3 -f -o ${archive}`
}

/** Copies modules with all their dependencies, by modules.dep. */
async function copyModules({ root: kernelRoot, release }: Kernel, root: string): Promise<void> {
  const source = join(kernelRoot, 'lib', 'modules', release)
  if (!existsSync(join(source, 'modules.dep'))) await local.$`depmod -b ${kernelRoot} ${release}`
  const needs = new Map<string, string[]>()
  for (const line of readFileSync(join(source, 'modules.dep'), 'utf8').split('\n')) {
    const [file = '', needed = ''] = line.split(':')
    if (file !== '') needs.set(file, needed.split(' ').filter(Boolean))
  }
  const plain = (file: string): string =>
    basename(file)
      .replace(/\.ko.*/, '')
      .replaceAll('-', '_')
  const required = new Set(modules.map((name) => name.replaceAll('-', '_')))
  const files = new Set([...needs.keys()].filter((file) => required.has(plain(file))))
  for (const file of [...files]) for (const needed of needs.get(file) ?? []) files.add(needed)
  const target = join(root, 'lib', 'modules', release)
  for (const file of files) {
    mkdirSync(join(target, dirname(file)), { recursive: true })
    await local.$`cp ${join(source, file)} ${join(target, file)}`
  }
  for (const file of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo'])
    if (existsSync(join(source, file))) await local.$`cp ${join(source, file)} ${target}`
  await local.$`depmod -b ${root} ${release}`
}

async function copyProgram(program: string, root: string): Promise<void> {
  // A static program has no libraries: ldd fails.
  const { stdout } = await local.$({ nothrow: true })`ldd ${program}`
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path)
  for (const file of [program, ...libraries]) {
    mkdirSync(join(root, dirname(file)), { recursive: true })
    await local.$`cp -L ${file} ${join(root, file)}`
  }
}
