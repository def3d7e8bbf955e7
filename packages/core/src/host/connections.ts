/** The connections of one run to the KVM hosts of its cluster. */
import type { Cluster } from '../cluster.ts'
import { untilStopped } from '../stop.ts'
import type { Host } from './host.ts'
import { openHost } from './open.ts'

/** Connections that are opened at the first call, and closed together. */
export interface Connections {
  /** One promise for each entry of LIBVIRT_URI, in its order. */
  each(): readonly Promise<Host>[]
  /** Closes all of them; one that still opens is closed as soon as it has, and not waited for. */
  close(): Promise<void>
}

/** The connections to the hosts of a cluster; `open` opens one of them. */
export function connectionsOf(
  { settings, root }: Pick<Cluster, 'settings' | 'root'>,
  open: (uri: string) => Promise<Host> = (uri) => openHost(uri, root),
): Connections {
  const opened: Host[] = []
  let closing = false
  let each: readonly Promise<Host>[] | undefined
  const connect = async (uri: string): Promise<Host> => {
    const opening = open(uri).then(async (host) => {
      opened.push(host)
      // The run has ended, for example because another host could not be reached.
      if (closing) await closeQuietly(host)
      return host
    })
    return untilStopped(opening)
  }
  return {
    each: () => (each ??= settings.LIBVIRT_URI.map(connect)),
    async close() {
      closing = true
      await Promise.all(opened.map(closeQuietly))
    },
  }
}

async function closeQuietly(host: Host): Promise<void> {
  await host.close().catch(() => undefined)
}
