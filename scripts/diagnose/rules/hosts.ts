/** Problems of the KVM hosts themselves, which affect every machine on them. */
import {
  clusterOn,
  codes,
  commandFor,
  firmwareMissing,
  poolFull,
  type Cluster,
  type Problem,
} from '@talosmith/core'
import type { Diagnosis } from '../diagnosis.ts'
import { onHost } from '../on-host.ts'
import type { Observations } from '../gather.ts'

/** With less than this, the next write of a machine may fail. */
const poolMinimumBytes = 256 * 2 ** 20

export function judgeHosts(cluster: Cluster, observed: Observations): Diagnosis[] {
  return observed.hosts.flatMap((answer, index): Diagnosis[] => {
    const uri = cluster.settings.LIBVIRT_URI[index] ?? ''
    if (!answer.ok)
      return [
        {
          code: answer.problem?.code ?? 'HOST_SILENT',
          where: uri,
          cause: 'the KVM host could not be inspected, so nothing is known about its machines',
          evidence: [answer.reason],
          remedy:
            answer.problem?.hint === undefined
              ? ['# fix SSH access to the host, then check with', `virsh -c '${uri}' list --all`]
              : answer.problem.hint.split('\n').map((line) => `# ${line}`),
        },
      ]
    const { host, poolProblem, poolFreeBytes, domains, hasUefi, files } = answer.value
    const pool = clusterOn(cluster, index).settings.STORAGE_POOL
    const found: Diagnosis[] = []
    if (poolProblem !== undefined)
      found.push({
        ...diagnosisOf(poolProblem, host),
        evidence: [poolProblem.because ?? `virsh pool-info ${pool}: ${poolProblem.message}`],
        ...(poolProblem.code === codes.poolInactive
          ? { remedy: onHost({ host }, `virsh pool-start ${pool}`) }
          : poolProblem.code === codes.poolUnreadable
            ? {
                remedy: onHost(
                  { host },
                  '# mount what is not mounted, or put the folder back',
                  `findmnt --fstab; mount -a; virsh pool-refresh ${pool}`,
                ),
              }
            : {}),
      })
    else if (poolFreeBytes < poolMinimumBytes)
      found.push({
        ...diagnosisOf(poolFull({ pool, host }, `${mib(poolFreeBytes)} MiB left`), host),
        evidence: [`${mib(poolFreeBytes)} MiB free in the file system of ${files.image}`],
        remedy: [
          `# free space on ${host}; to remove images that no cluster uses:`,
          commandFor(cluster, 'image:prune'),
          '# then resume the paused machines',
          commandFor(cluster, 'cluster:start'),
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

/** The Problem that stops other commands in this state, as a diagnosis: same code, same text. */
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
