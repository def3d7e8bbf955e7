/** Observes one KVM host: its domains, networks, pool and files. */
import {
  hostFiles,
  poolPath,
  Problem,
  virshBatch,
  type Cluster,
  type Host,
  type HostFiles,
} from '@talosmith/core'
import {
  kvmProblem,
  offersUefi,
  parseNetworkXml,
  parseStats,
  type LiveFacts,
  type NetworkFacts,
} from './host-facts.ts'
import { observeFiles, type ObservedFiles } from './observe-files.ts'
import { judgeDomains, type Identity, type JudgedDomain } from './ownership.ts'
import { parseDomain, type ParsedDomain } from './parse-domain.ts'

/** A domain with its current state. */
export interface ObservedDomain extends JudgedDomain {
  readonly live: LiveFacts
  readonly autostart: boolean
}

/** The libvirt networks of a host, and the address and DHCP range of the configured one. */
export interface ObservedNetworks extends NetworkFacts {
  readonly all: readonly string[]
  readonly active: readonly string[]
}

/** Everything on one host that concerns the cluster's machines. */
export interface ObservedHost extends ObservedFiles {
  readonly host: string
  /** The host's index in LIBVIRT_URI. */
  readonly index: number
  readonly files: HostFiles
  readonly identity: Identity
  /** Why the pool cannot be used; its files may still be readable. */
  readonly poolProblem: Problem | undefined
  /** All domains of the host, also those of other owners. */
  readonly domains: readonly ObservedDomain[]
  readonly networks: ObservedNetworks
  /** Why KVM cannot be used; undefined when it can. */
  readonly kvmProblem: string | undefined
  readonly hasUefi: boolean
}

type Answers = Awaited<ReturnType<typeof virshBatch>>

/**
 * Observes a host with one virsh process and one command for the files, regardless of the number of machines;
 * with one more virsh process when the host has other domains than the desired ones.
 */
export async function observeHost(
  host: Host,
  cluster: Cluster,
  index: number,
): Promise<ObservedHost> {
  const { settings, nodes } = cluster
  const network = settings.NETWORK_NAME
  const { pool, poolProblem, answers } = await observePool(host, settings.STORAGE_POOL, [
    ['list', '--all', '--name'],
    ['list', '--all', '--autostart', '--name'],
    ['domstats', '--nowait', '--state', '--balloon', '--vcpu'],
    ['domcapabilities', '--machine', 'q35', '--virttype', 'qemu'],
    ['domcapabilities', '--machine', 'q35', '--virttype', 'kvm'],
    ['net-list', '--all', '--name'],
    ['net-list', '--name'],
    network === undefined ? ['echo'] : ['net-dumpxml', network],
    ...nodes.map(({ name }) => dump(name)),
  ])
  const [names, automatic, stats, qemu, kvm, allNetworks, activeNetworks, networkXml] = answers
  const dumps = answers.slice(8)
  const wanted = new Set(nodes.map(({ name }) => name))
  const others = words(names?.stdout).filter((name) => !wanted.has(name))
  const files = hostFiles(cluster, pool)
  const known = parsed(dumps)
  const rest = others.length === 0 ? [] : parsed(await virshBatch(host, others.map(dump)))
  const { identity, domains } = await judgeDomains(cluster, index, [...known, ...rest])
  const observedFiles = await observeFiles(host, cluster, { pool, files, domains, identity })
  const live = parseStats(stats?.stdout ?? '')
  const autostart = new Set(words(automatic?.stdout))
  const { hasKvmDevice: hasDevice, hasKvmFlag: hasFlag } = observedFiles
  return {
    ...observedFiles,
    host: host.name,
    index,
    files,
    identity,
    poolProblem,
    domains: domains.map((domain) => ({
      ...domain,
      live: live.get(domain.name) ?? { state: 'unknown', memoryMib: undefined, cpu: undefined },
      autostart: autostart.has(domain.name),
    })),
    networks: {
      all: words(allNetworks?.stdout),
      active: words(activeNetworks?.stdout),
      ...parseNetworkXml(networkXml?.error === undefined ? (networkXml?.stdout ?? '') : ''),
    },
    kvmProblem: kvmProblem({ hasDevice, hasFlag, libvirtOffers: kvm?.error === undefined }),
    hasUefi: offersUefi(qemu?.stdout ?? ''),
  }
}

/** Finds the pool's folder, and runs `commands` in the same virsh process. */
async function observePool(
  host: Host,
  name: string,
  commands: readonly (readonly string[])[],
): Promise<{ pool: string; poolProblem: Problem | undefined; answers: Answers }> {
  let answers: Answers = []
  let ofPool: Answers = []
  try {
    const pool = await poolPath(host, name, async (_, poolCommands) => {
      const all = await virshBatch(host, [...poolCommands, ...commands])
      answers = all.slice(poolCommands.length)
      ofPool = all.slice(0, poolCommands.length)
      return ofPool
    })
    return { pool, poolProblem: undefined, answers }
  } catch (error) {
    if (!(error instanceof Problem) || answers.length === 0) throw error
    return { pool: await stoppedPool(host, name, ofPool), poolProblem: error, answers }
  }
}

/** The folder of an inactive pool: destroying needs its files, not its volumes. */
async function stoppedPool(host: Host, name: string, [dumped, all]: Answers): Promise<string> {
  const answers = [dumped, all, all].filter((answer) => answer !== undefined)
  return poolPath(host, name, async () => answers).catch(() => '/nonexistent')
}

function dump(name: string): readonly string[] {
  return ['dumpxml', '--inactive', name]
}

/** Skips domains that do not exist, or were removed between two commands. */
function parsed(dumps: Answers): ParsedDomain[] {
  return dumps.filter(({ error }) => error === undefined).map(({ stdout }) => parseDomain(stdout))
}

function words(text: string | undefined): string[] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}
