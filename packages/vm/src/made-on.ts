/** Records on which hosts a cluster's machines were created. */
import { generatedFiles, Problem, type Cluster } from '@talosmith/core'
import { plainUri } from './machine.ts'
import type { ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

/** The record in `generated/<cluster>`. */
export const hostsFile = 'hosts.json'

/**
 * Throws HOSTS_CHANGED when machines were created on a host that is no longer in LIBVIRT_URI: they would keep
 * running there with the same addresses, and no command would find them.
 */
export async function checkHosts(cluster: Cluster): Promise<void> {
  const known = await readHosts(cluster)
  const now = hostsOf(cluster)
  const lost = known.filter((uri) => !now.some((one) => placeOf(one) === placeOf(uri)))
  if (lost.length === 0) return
  throw new Problem(
    'HOSTS_CHANGED',
    `the machines of ${cluster.name} were created on ${known.join(', ')}; LIBVIRT_URI is now ${now.join(', ')}`,
    {
      because: `machines and files on ${lost.join(', ')} may still exist`,
      now: 'nothing was changed',
      hint: `put ${lost.join(', ')} back into LIBVIRT_URI; if nothing of the cluster is left there, remove ${generatedFiles(cluster).path(hostsFile)}`,
    },
  )
}

/** Records the hosts, before the first machine is created. */
export async function rememberHosts(cluster: Cluster): Promise<void> {
  const hosts = hostsOf(cluster)
  const known = await readHosts(cluster)
  if (hosts.length === known.length && hosts.every((uri, index) => uri === known[index])) return
  await generatedFiles(cluster).write(hostsFile, `${JSON.stringify(hosts, null, 2)}\n`)
}

/** Whether the record has a host of LIBVIRT_URI, by its index. */
export async function wasMadeOn(cluster: Cluster, index: number): Promise<boolean> {
  return (await readHosts(cluster)).some(
    (uri) => placeOf(uri) === placeOf(plainUri(cluster, index)),
  )
}

/** Removes the record, once no machine is left on the hosts. */
export async function forgetHosts(cluster: Cluster): Promise<void> {
  const files = generatedFiles(cluster)
  if (await files.has(hostsFile)) await files.remove(hostsFile)
}

/** Machines whose metadata names another host than the one they were found on; a sentence each. */
export function findOtherHosts(cluster: Cluster, hosts: readonly ObservedHost[]): string[] {
  return hosts.flatMap((observed) => {
    const now = plainUri(cluster, observed.index)
    return clusterDomains(cluster, observed)
      .filter(({ madeThrough = now }) => placeOf(madeThrough) !== placeOf(now))
      .map(
        ({ name, madeThrough }) =>
          `${name} was created through ${madeThrough}, but found on ${now}`,
      )
  })
}

async function readHosts(cluster: Cluster): Promise<string[]> {
  const hosts = await generatedFiles(cluster).readJson(hostsFile)
  return Array.isArray(hosts) ? hosts.map(String) : []
}

function hostsOf(cluster: Cluster): string[] {
  return cluster.settings.LIBVIRT_URI.map((_, index) => plainUri(cluster, index))
}

/** A libvirt URI without its user: every user sees the same domains. */
function placeOf(uri: string): string {
  return uri.replace(/\/\/[^@/]*@/, '//')
}
