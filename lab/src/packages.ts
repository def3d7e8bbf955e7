/** Installs the Debian packages that the lab needs. */
import { access, readFile, rm } from 'node:fs/promises'
import { inStep, local, Problem, type Log } from '@talosmith/core'

/** Debian's package for each program or file that the lab needs. */
const needed: Readonly<Record<string, string>> = {
  '/usr/sbin/libvirtd': 'libvirt-daemon-system',
  '/usr/bin/virsh': 'libvirt-clients',
  '/usr/bin/qemu-system-x86_64': 'qemu-system-x86',
  '/usr/bin/qemu-img': 'qemu-utils',
  '/usr/share/OVMF/OVMF_CODE_4M.fd': 'ovmf',
  '/usr/bin/xorriso': 'xorriso',
  '/usr/sbin/sshd': 'openssh-server',
  '/usr/bin/ganesha.nfsd': 'nfs-ganesha',
  '/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so': 'nfs-ganesha-vfs',
  '/usr/sbin/mkfs.vfat': 'dosfstools',
  '/usr/bin/mcopy': 'mtools',
  '/usr/sbin/sgdisk': 'gdisk',
  '/usr/lib/systemd/boot/efi/linuxx64.efi.stub': 'systemd-boot-efi',
  '/usr/bin/zstd': 'zstd',
  '/usr/bin/xz': 'xz-utils',
  '/usr/sbin/ip': 'iproute2',
  '/usr/bin/cpio': 'cpio',
  '/usr/bin/objcopy': 'binutils',
  '/usr/sbin/depmod': 'kmod',
  '/usr/sbin/mke2fs': 'e2fsprogs',
  '/usr/bin/curl': 'curl',
  // Not /bin/busybox: the package without -static has one too, which needs its libraries.
  '/usr/share/doc/busybox-static/copyright': 'busybox-static',
}

/** What the chapters on other hosts and networks need besides. */
export const neededByOtherHosts: Readonly<Record<string, string>> = {
  '/usr/bin/fish': 'fish',
  '/usr/sbin/dnsmasq': 'dnsmasq-base',
  '/usr/sbin/iptables': 'iptables',
}

/** Installs the Debian packages that are missing. Throws LAB_PACKAGES with the command when not root. */
export async function installPackages(log: Log, programs = needed): Promise<void> {
  const missing: string[] = []
  for (const [path, name] of Object.entries(programs))
    await access(path).catch(() => missing.push(name))
  if (missing.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0)
    throw new Problem('LAB_PACKAGES', `the lab needs ${missing.length} Debian packages`, {
      hint: `sudo ${command}, and run the lab as root`,
    })
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const text = `Install ${missing.length} Debian packages: ${missing.join(' ')}`
  try {
    await inStep(log, text, async (step) => {
      await local.$({ env })`apt-get update -qq`
      await withoutServices(async () => {
        const onLine = (line: string): void => step.progress(line)
        await local.$({ env, onLine })`apt-get install -y --no-install-recommends ${missing}`
      })
    })
  } catch (cause) {
    throw new Problem('LAB_PACKAGES', 'apt-get could not install what the lab needs', {
      cause,
      hint: command,
    })
  }
}

/** Read by Debian's packages before they start a service. The comment distinguishes it from the operator's own. */
const noServices = '#!/bin/sh\n# Written by lab:start while it installs packages.\nexit 101\n'

/**
 * Runs `work` while no package may start its service on this machine: the lab runs its own in its namespace.
 * The operator's own policy is kept; one that a killed run left behind is removed.
 */
export async function withoutServices(
  work: () => Promise<void>,
  policy = '/usr/sbin/policy-rc.d',
): Promise<void> {
  const found = await readFile(policy, 'utf8').catch(() => noServices)
  const isOurs = found === noServices
  if (isOurs) await local.write(policy, noServices, { mode: 0o755 })
  try {
    await work()
  } finally {
    if (isOurs) await rm(policy, { force: true })
  }
}
