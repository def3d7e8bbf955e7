/** Downloads the guest's kernel. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inStep, local, Problem, type Log } from '@talosmith/core'
import { cacheFolder } from '../layout.ts'

/** Debian's kernel, unpacked and not installed. */
export interface Kernel {
  readonly release: string
  /** Path of vmlinuz. */
  readonly image: string
  /** Folder with lib/modules/<release>. */
  readonly root: string
}

/**
 * The kernel of Debian's linux-image-amd64. Not the cloud flavour: it has neither ahci (the CD-ROM with the
 * seed) nor the watchdog.
 */
export async function fetchKernel(log: Log): Promise<Kernel> {
  const folder = join(cacheFolder, 'kernel')
  const known = kernelIn(folder)
  if (known !== undefined) return known
  const temporary = `${folder}.${process.pid}.tmp`
  try {
    await inStep(log, "Download and unpack Debian's kernel (once on this machine)", async () => {
      mkdirSync(temporary, { recursive: true })
      const { stdout } = await local.$`apt-cache depends linux-image-amd64`
      const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1]
      if (name === undefined) throw new Error('linux-image-amd64 depends on no kernel')
      await local.$`cd ${temporary} && apt-get download -q ${name} && dpkg-deb -x ${name}_*.deb . && rm -f *.deb`
      rmSync(folder, { recursive: true, force: true })
      renameSync(temporary, folder)
    })
  } catch (cause) {
    throw new Problem('LAB_KERNEL_FAILED', "could not get Debian's kernel", {
      cause,
      hint: 'apt-get update, then run the same command again',
    })
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  const kernel = kernelIn(folder)
  if (kernel === undefined)
    throw new Problem('LAB_KERNEL_FAILED', `no kernel in ${folder}`, { hint: `rm -r ${folder}` })
  return kernel
}

function kernelIn(folder: string): Kernel | undefined {
  const boot = join(folder, 'boot')
  if (!existsSync(boot)) return undefined
  const name = readdirSync(boot).find((file) => file.startsWith('vmlinuz-'))
  if (name === undefined) return undefined
  return { release: name.slice('vmlinuz-'.length), image: join(boot, name), root: folder }
}
