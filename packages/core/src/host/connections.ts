/** The connections of one run to the KVM hosts of its cluster. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster.ts'
import { exitCodes, Problem } from '../problem.ts'
import { untilStopped } from '../stop.ts'
import type { Host } from './host.ts'
import type { HostLock } from './host-lock.ts'
import { openHost } from './open.ts'

const lockingMs = 2000

/** Connections that are opened at the first call, and closed together. */
export interface Connections {
  /** One promise for each entry of LIBVIRT_URI, in its order. */
  each(): readonly Promise<Host>[]
  /** Closes all of them; one that still opens is closed as soon as it has, and not waited for. */
  close(): Promise<void>
}

/** The connections to the hosts of a cluster; with `lock`, each opens with the cluster locked there. */
export function connectionsOf(
  { settings, root }: Pick<Cluster, 'settings' | 'root'>,
  lock?: HostLock,
): Connections {
  const opened: Host[] = []
  const uris = settings.LIBVIRT_URI
  /** The URI of each machine, where there are several. */
  const machines = new Map<string, string>()
  let closing = false
  let each: readonly Promise<Host>[] | undefined
  const connect = async (uri: string): Promise<Host> => {
    const opening = openHost(uri, root, undefined, lock).then(async (host) => {
      opened.push(host)
      // The run has ended, for example because another host could not be reached.
      if (closing) await closeQuietly(host)
      else if (uris.length > 1) await refuseTwin(host, uri, machines)
      return host
    })
    return untilStopped(opening)
  }
  return {
    each: () => (each ??= uris.map(connect)),
    async close() {
      closing = true
      // A lock that is just being taken would be left behind.
      if (lock !== undefined && each !== undefined)
        await Promise.race([Promise.allSettled(each), sleep(lockingMs, undefined, { ref: false })])
      await Promise.all(opened.map(closeQuietly))
    },
  }
}

/**
 * Throws HOST_TWICE when two URIs reach the same machine, by different names: machines would be made there twice. The
 * machine's ID alone does not tell, because clones of a machine share it.
 */
async function refuseTwin(host: Host, uri: string, machines: Map<string, string>): Promise<void> {
  const { stdout: id, exitCode } = await host.$({
    nothrow: true,
    timeoutMs: 20_000,
  })`cat /etc/machine-id /proc/sys/kernel/random/boot_id`
  if (exitCode !== 0) return
  const other = machines.get(id)
  if (other !== undefined)
    throw new Problem('HOST_TWICE', `${other} and ${uri} are the same machine`, {
      because: `both have the machine ID ${id.split('\n')[0]} and were started at the same time`,
      now: 'nothing was changed',
      hint: 'remove one of them from LIBVIRT_URI',
      exitCode: exitCodes.wrongSetting,
    })
  machines.set(id, uri)
}

async function closeQuietly(host: Host): Promise<void> {
  await host.close().catch(() => undefined)
}
