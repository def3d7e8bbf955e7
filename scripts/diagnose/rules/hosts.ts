/** Causes on the KVM hosts themselves: everything on them follows from these. */
import type { Cluster } from '@talosmith/core'
import { type, type Diagnosis } from '../diagnosis.ts'
import { onHost } from '../on-host.ts'
import type { Seen } from '../gather.ts'

/** Less than this, and the next write of a machine may be the last. */
const poolMinimumBytes = 256 * 2 ** 20

export function judgeHosts(cluster: Cluster, seen: Seen): Diagnosis[] {
  return seen.hosts.flatMap((answer, index): Diagnosis[] => {
    const uri = cluster.settings.LIBVIRT_URI[index] ?? ''
    if (!answer.ok)
      return [
        {
          code: 'HOST_SILENT',
          where: uri,
          cause: 'the KVM host cannot be looked at',
          evidence: [answer.reason],
          remedy: ['# make ssh to the host work, then', `virsh -c '${uri}' list --all`],
        },
      ]
    const { host, poolFault, poolFreeBytes, domains, hasUefi, files } = answer.value
    const pool = cluster.settings.STORAGE_POOL
    const found: Diagnosis[] = []
    if (poolFault !== undefined)
      found.push({
        code: 'POOL_STOPPED',
        where: host,
        cause: `the storage pool ${pool} cannot be used`,
        evidence: [poolFault.message, ...(poolFault.because?.split('\n') ?? [])],
        remedy: onHost({ host }, `virsh pool-start ${pool}`),
      })
    else if (poolFreeBytes < poolMinimumBytes)
      found.push({
        code: 'POOL_OUT_OF_SPACE',
        where: host,
        cause: `the storage pool ${pool} is full: machines that write are paused`,
        evidence: [`${mib(poolFreeBytes)} MiB are free beside ${files.image}`],
        remedy: [
          `# free space on ${host}: images that no cluster uses go with`,
          type(cluster, 'image:prune'),
          '# then resume what was paused',
          type(cluster, 'cluster:start'),
        ],
      })
    const wantsUefi = domains.some(
      ({ owner, machine, live }) =>
        owner === cluster.name && machine.uefi && live.state !== 'running',
    )
    if (!hasUefi && wantsUefi)
      found.push({
        code: 'UEFI_MISSING',
        where: host,
        cause: 'the host has no UEFI firmware for its machines',
        evidence: ['virsh domcapabilities --machine q35: no firmware "efi"'],
        remedy: [`# on ${host}: apt install ovmf (Debian), dnf install edk2-ovmf (Fedora)`],
      })
    return found
  })
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20)
}
