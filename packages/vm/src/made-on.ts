import { generatedFiles, Problem, type Cluster } from '@talosmith/core'
import { plainUri } from './machine.ts'
import type { ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

/** In `generated/<cluster>`: on which hosts the machines were made. */
export const hostsFile = 'hosts.json'

/**
 * Throws HOSTS_CHANGED when machines were made on a host that LIBVIRT_URI no longer names: they run on
 * there, with the same addresses, and nothing would ever find them.
 */
export async function checkHosts(cluster: Cluster): Promise<void> {
  const known = await readHosts(cluster)
  const now = hostsOf(cluster)
  const lost = known.filter((uri) => !now.some((one) => placeOf(one) === placeOf(uri)))
  if (lost.length === 0) return
  throw new Problem(
    'HOSTS_CHANGED',
    `the machines of ${cluster.name} were made on ${known.join(', ')}; LIBVIRT_URI now says ${now.join(', ')}`,
    {
      because: `what was made on ${lost.join(', ')} may still be there`,
      now: 'nothing was changed',
      hint: `put ${lost.join(', ')} back into LIBVIRT_URI; if nothing of the cluster is there any more, remove ${generatedFiles(cluster).path(hostsFile)}`,
    },
  )
}

/** Remembers where the machines are made, before the first of them is. */
export async function rememberHosts(cluster: Cluster): Promise<void> {
  const hosts = hostsOf(cluster)
  const known = await readHosts(cluster)
  if (hosts.length === known.length && hosts.every((uri, index) => uri === known[index])) return
  await generatedFiles(cluster).write(hostsFile, `${JSON.stringify(hosts, null, 2)}\n`)
}

/** Forgets it, when nothing is left there. */
export async function forgetHosts(cluster: Cluster): Promise<void> {
  const files = generatedFiles(cluster)
  if (await files.has(hostsFile)) await files.remove(hostsFile)
}

/** Machines whose metadata names another host than the one that they were found on; a sentence each. */
export function findOtherHosts(cluster: Cluster, hosts: readonly ObservedHost[]): string[] {
  return hosts.flatMap((seen) => {
    const now = plainUri(cluster, seen.index)
    return clusterDomains(cluster, seen)
      .filter(({ madeThrough = now }) => placeOf(madeThrough) !== placeOf(now))
      .map(
        ({ name, madeThrough }) => `${name} was made through ${madeThrough}, and found on ${now}`,
      )
  })
}

async function readHosts(cluster: Cluster): Promise<string[]> {
  const text = await generatedFiles(cluster).read(hostsFile)
  if (text === undefined) return []
  try {
    const hosts: unknown = JSON.parse(text)
    return Array.isArray(hosts) ? hosts.map(String) : []
  } catch {
    return []
  }
}

function hostsOf(cluster: Cluster): string[] {
  return cluster.settings.LIBVIRT_URI.map((_, index) => plainUri(cluster, index))
}

/** The machine in a libvirt address; another user on it finds the same domains. */
function placeOf(uri: string): string {
  return uri.replace(/\/\/[^@/]*@/, '//')
}
