/** Causes on the KVM hosts themselves: everything on them follows from these. */
import { codes, firmwareMissing, poolFull, type Cluster, type Problem } from '@talosmith/core'
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
          code: answer.problem?.code ?? 'HOST_SILENT',
          where: uri,
          cause: 'the KVM host cannot be looked at',
          evidence: [answer.reason],
          remedy: ['# make ssh to the host work, then', `virsh -c '${uri}' list --all`],
        },
      ]
    const { host, poolProblem, poolFreeBytes, domains, hasUefi, files } = answer.value
    const pool = cluster.settings.STORAGE_POOL
    const found: Diagnosis[] = []
    if (poolProblem !== undefined)
      found.push({
        ...diagnosisOf(poolProblem, host),
        evidence: [poolProblem.because ?? `virsh pool-info ${pool}: ${poolProblem.message}`],
        ...(poolProblem.code === codes.poolInactive
          ? { remedy: onHost({ host }, `virsh pool-start ${pool}`) }
          : {}),
      })
    else if (poolFreeBytes < poolMinimumBytes)
      found.push({
        ...diagnosisOf(poolFull({ pool, host }, `${mib(poolFreeBytes)} MiB left`), host),
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
    if (!hasUefi && wantsUefi) found.push(diagnosisOf(firmwareMissing(host), host))
    return found
  })
}

/** What stops a command there, as the diagnosis of the same state: one code, one text. */
function diagnosisOf({ code, message, because, hint }: Problem, where: string): Diagnosis {
  return {
    ...{ code, where, cause: message },
    evidence: because?.split('\n') ?? [],
    remedy: hint === undefined ? [] : [`# ${hint}`],
  }
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20)
}
