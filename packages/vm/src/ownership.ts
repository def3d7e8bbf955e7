/** Which machines that bear the cluster's name are its own: the ID in their metadata, or evidence in generated/. */
import { probe, talosAuthorities } from '@talosmith/clients/talos'
import {
  codes,
  generatedFiles,
  ownerByMetadata,
  Problem,
  readClusterId,
  restoreFile,
  type Cluster,
} from '@talosmith/core'
import { hostsFile, wasMadeOn } from './made-on.ts'
import type { ObservedHost } from './observe.ts'
import type { ParsedDomain } from './parse-domain.ts'
import { nameWithId } from './seed-iso.ts'

/** What is known of the cluster before its machines are looked at. */
export interface Identity {
  /** The cluster's ID; undefined: neither `generated/` nor a machine of the cluster has one yet. */
  readonly clusterId: string | undefined
  /** Whether files in `generated/` show that this checkout created machines on this host. */
  readonly hasEvidence: boolean
  /** Whether the cluster has run: its addresses are fixed. */
  readonly hasRun: boolean
  /** Whether files in `generated/` show that etcd was bootstrapped, also when the machines are gone. */
  readonly wasBootstrapped: boolean
  /** Why the ID in `generated/` is not known: commands that only look go on without it. */
  readonly unreadable?: Problem
}

/** A domain, and why it is another cluster's although it has this cluster's name. */
export interface JudgedDomain extends ParsedDomain {
  readonly strangerBecause: string | undefined
}

/** A machine that is to be taken over answers within a second, or is off. */
const probeMs = 2500

/**
 * Decides which domains are the cluster's. An ID decides alone. Machines without one, from before IDs, and
 * machines on a computer whose `generated/` has no ID, are the cluster's if Talos there has a certificate of
 * one of its CAs; if nothing answers or no config is applied yet, only if this checkout created machines on
 * the host. A domain of another cluster gets that cluster's ID in `owner`.
 */
export async function judgeDomains<T extends ParsedDomain>(
  cluster: Cluster,
  index: number,
  domains: readonly T[],
): Promise<{ readonly identity: Identity; readonly domains: (T & JudgedDomain)[] }> {
  const { kept, unreadable } = await readKept(cluster)
  const hasEvidence = await hasEvidenceOn(cluster, index)
  const judge = async (domain: T, cas: readonly string[]): Promise<T & JudgedDomain> => {
    const because =
      domain.owner === cluster.name
        ? await strangerBecause(cluster, domain, { kept, hasEvidence, cas })
        : undefined
    const owner = because === undefined ? domain.owner : nameWithId(cluster.name, domain.clusterId)
    return { ...domain, owner, strangerBecause: because }
  }
  const isOpen = ({ owner, clusterId }: ParsedDomain): boolean =>
    owner !== undefined &&
    ownerByMetadata({ cluster: owner, clusterId }, { name: cluster.name, id: kept }) === 'unknown'
  const cas = domains.some(isOpen) ? await knownCas(cluster) : []
  const judged = await Promise.all(domains.map((domain) => judge(domain, cas)))
  const taken = judged.flatMap(({ owner, clusterId }) =>
    owner === cluster.name ? (clusterId ?? []) : [],
  )
  return {
    identity: {
      clusterId: kept ?? taken[0],
      ...{ hasEvidence, hasRun: await hasRun(cluster) },
      wasBootstrapped: await wasBootstrapped(cluster),
      ...(unreadable !== undefined && { unreadable }),
    },
    domains: judged,
  }
}

async function readKept(
  cluster: Cluster,
): Promise<{ readonly kept: string | undefined; readonly unreadable?: Problem }> {
  try {
    return { kept: await readClusterId(cluster) }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return { kept: undefined, unreadable: error }
  }
}

async function strangerBecause(
  { name, nodes, generated }: Cluster,
  domain: ParsedDomain,
  known: {
    readonly kept: string | undefined
    readonly hasEvidence: boolean
    readonly cas: readonly string[]
  },
): Promise<string | undefined> {
  const { kept, hasEvidence, cas } = known
  const { clusterId } = domain
  const owner = ownerByMetadata({ cluster: name, clusterId }, { name, id: kept })
  if (owner !== 'unknown')
    return owner === 'this cluster'
      ? undefined
      : `it belongs to another cluster ${name}: its metadata has the ID ${clusterId}, ${generated} has ${kept}`
  const node = nodes.find((one) => one.name === domain.name)
  const answers = await Promise.all(
    node === undefined ? [] : cas.map((ca) => probe(node.address, ca, { timeoutMs: probeMs })),
  )
  if (answers.some(({ kind }) => kind === 'ours')) return undefined
  if (answers.some(({ kind }) => kind === 'foreign'))
    return `Talos at ${node?.address} has a certificate of a CA that is not in ${generated}`
  if (hasEvidence) return undefined
  const id = clusterId === undefined ? 'no cluster ID' : `the ID ${clusterId}`
  return `its metadata has ${id}, it does not show a certificate of this cluster, and nothing in ${generated} shows that it was created from here`
}

/** hosts.json names the hosts; a cluster from before it, or one whose destroy was interrupted, has its secrets. */
async function hasEvidenceOn(cluster: Cluster, index: number): Promise<boolean> {
  const files = generatedFiles(cluster)
  if (await files.has(hostsFile)) return wasMadeOn(cluster, index)
  for (const name of ['secrets.owner.json', 'secrets.yaml'])
    if ((await files.has(name)) || (await files.has(`removed/${name}`))) return true
  return false
}

/**
 * A kubeconfig exists once etcd was bootstrapped. Without the record of the hosts the machines were created from
 * another computer, and may have run for years.
 */
async function hasRun(cluster: Cluster): Promise<boolean> {
  const files = generatedFiles(cluster)
  if ((await files.has('kubeconfig')) || (await files.has('removed/kubeconfig'))) return true
  return !(await files.has(hostsFile))
}

/** A kubeconfig, also one that was set aside or archived, and a backup of etcd: a new cluster has neither. */
const fileOfBootstrapped = /(?:^|\/)kubeconfig(?:\.\d+)?$|^backups\/etcd-[^/]+\.(?:db|json)$/

async function wasBootstrapped(cluster: Cluster): Promise<boolean> {
  // A folder that cannot be read is reported with the ID.
  const listed = await generatedFiles(cluster)
    .list()
    .catch(() => [])
  return listed.some(({ name }) => fileOfBootstrapped.test(name) || name === restoreFile)
}

/** The CAs of Talos in every secrets file and talosconfig in `generated/`, also in archived ones. */
async function knownCas(cluster: Cluster): Promise<string[]> {
  const files = generatedFiles(cluster)
  // A folder that cannot be read is reported with the ID.
  const listed = await files.list().catch(() => [])
  const names = listed
    .map(({ name }) => name)
    .filter((name) => /(?:^|[/.])(?:secrets\.yaml|talosconfig)(?:\.\d+)?$/.test(name))
  const cas = new Set<string>()
  for (const name of names)
    try {
      for (const ca of talosAuthorities((await files.read(name)) ?? '')) cas.add(ca)
    } catch {
      // Cut short, or another kind of file: bootstrap reports it.
    }
  return [...cas]
}

/**
 * Domains with the cluster's name that are another cluster's: no command touches anything beside them, nor where the
 * cluster's ID cannot be read, which alone tells them apart.
 */
export function strangerProblems(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  const unreadable = hosts.flatMap(({ identity }) => identity.unreadable ?? [])
  if (unreadable.length > 0) return unreadable.slice(0, 1)
  const found = hosts.flatMap(({ host, domains }) =>
    domains.flatMap(({ name, strangerBecause: because }) =>
      because === undefined ? [] : [{ at: `${name} on ${host}`, because }],
    ),
  )
  const ids = new Set(hosts.flatMap(({ identity }) => identity.clusterId ?? []))
  if (ids.size > 1)
    found.push({
      at: `the machines on ${hosts.map(({ host }) => host).join(' and ')}`,
      because: `they have different cluster IDs: ${[...ids].join(', ')}`,
    })
  if (found.length === 0) return []
  const folder = cluster.generated
  return [
    new Problem(
      codes.vmNotOurs,
      `${found.map(({ at }) => at).join(', ')} ${found.length === 1 ? 'has' : 'have'} the name of cluster ${cluster.name}, but not its identity`,
      {
        because: [...new Set(found.map(({ because }) => because))].join('\n'),
        now: 'nothing was changed',
        hint: `for another operator's cluster: choose another CLUSTER_NAME. If it is yours: work in the checkout that created it, or copy generated/${cluster.name} from there to ${folder}; if that is lost, put the ID of the machines (virsh dumpxml <machine>: cluster-id) into ${folder}/cluster-id, or, if they have none, create ${folder}/${hostsFile} with the URIs of LIBVIRT_URI as a JSON list`,
      },
    ),
  ]
}
