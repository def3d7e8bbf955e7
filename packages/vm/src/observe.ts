/** Observes one KVM host: its domains, networks, pool and files. */
import {
  clusterOn,
  hostFiles,
  poolPath,
  poolUnreadable,
  Problem,
  virshBatch,
  type Cluster,
  type Host,
  type HostFiles,
} from '@talosmith/core'
import { kvmProblem, offersUefi, parseStats, type LiveFacts } from './host-facts.ts'
import { networkCommands, readNetwork, type LibvirtNetwork } from './libvirt-network.ts'
import { observeFiles } from './observe-files.ts'
import type { ObservedFiles } from './observed-files.ts'
import { judgeDomains, type Identity, type JudgedDomain } from './ownership.ts'
import { ownTarget } from './domain-xml.ts'
import { parseDomain, type DiskSource, type ParsedDomain } from './parse-domain.ts'

/** A domain with its current state. */
export interface ObservedDomain extends JudgedDomain {
  readonly live: LiveFacts
  readonly autostart: boolean
  /** What it uses as its disk: now, if it runs, and from its next start. */
  readonly attached: readonly DiskSource[]
}

/** The libvirt networks of a host, and what the configured one has. */
export interface ObservedNetworks extends LibvirtNetwork {
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
  /** Why libvirt offers no x86_64 machine, not even an emulated one; undefined when it does. */
  readonly emulatorProblem: string | undefined
  readonly hasUefi: boolean
}

type Answers = Awaited<ReturnType<typeof virshBatch>>

/**
 * Observes a host with one virsh process and one command for the files, regardless of the number of machines;
 * with one more virsh process when the host has other domains than the desired ones.
 */
export async function observeHost(
  host: Host,
  described: Cluster,
  index: number,
): Promise<ObservedHost> {
  const cluster = clusterOn(described, index)
  const { settings, nodes } = cluster
  const network = settings.NETWORK_NAME
  const { pool, poolProblem, answers } = await observePool(host, settings.STORAGE_POOL, [
    ['list', '--all', '--uuid'],
    ['list', '--all', '--autostart', '--name'],
    ['domstats', '--nowait', '--state', '--balloon', '--vcpu'],
    ['domcapabilities', '--machine', 'q35', '--virttype', 'qemu'],
    ['domcapabilities', '--machine', 'q35', '--virttype', 'kvm'],
    ['net-list', '--all', '--name'],
    ['net-list', '--name'],
    ...nodes.flatMap(({ name }) => dump(name)),
    ...(network === undefined ? [] : networkCommands(network)),
  ])
  const [ids, automatic, stats, qemu, kvm, allNetworks, activeNetworks] = answers
  const dumps = answers.slice(7, 7 + 2 * nodes.length)
  const ofNetwork = answers.slice(7 + dumps.length)
  const files = hostFiles(cluster, pool)
  const macs = new Map(nodes.map(({ name, mac }) => [name, mac]))
  const known = parsed(dumps, macs)
  const others = words(ids?.stdout).filter((id) => known.every(({ uuid }) => uuid !== id))
  // By UUID: virsh takes a name that is a number for the ID of another machine.
  const rest = parsed(await virshBatch(host, others.flatMap(dump)), macs)
  const { identity, domains } = await judgeDomains(cluster, index, [...known, ...rest])
  const observedFiles = await observeFiles(host, cluster, { pool, files, domains, identity })
  const unreadable =
    observedFiles.poolError === undefined
      ? undefined
      : poolUnreadable(
          { pool: settings.STORAGE_POOL, folder: pool, host: host.name },
          observedFiles.poolError,
        )
  const live = parseStats(stats?.stdout ?? '')
  const autostart = new Set(words(automatic?.stdout))
  const active = words(activeNetworks?.stdout)
  const { hasKvmDevice: hasDevice, hasKvmFlag: hasFlag } = observedFiles
  return {
    ...observedFiles,
    host: host.name,
    index,
    files,
    identity,
    poolProblem: poolProblem ?? unreadable,
    domains: domains.map((domain) => ({
      ...domain,
      live: live.get(domain.name) ?? { state: 'unknown', memoryMib: undefined, cpu: undefined },
      autostart: autostart.has(domain.name),
    })),
    networks: {
      all: words(allNetworks?.stdout),
      active,
      ...readNetwork(
        ofNetwork.map(({ stdout, error }) => (error === undefined ? stdout : '')),
        { isActive: network !== undefined && active.includes(network) },
      ),
    },
    // On ARM, or without the package of QEMU's x86_64 emulator, libvirt refuses both.
    emulatorProblem: kvm?.error === undefined ? undefined : qemu?.error,
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

/**
 * The persistent definition of a domain, and the one that it runs with. virsh domblklist is of no use for its disks:
 * in the C locale it prints letters other than ASCII as \xff (tools/vsh-table.c, vshTableSafeEncode).
 */
function dump(domain: string): readonly (readonly string[])[] {
  return [
    ['dumpxml', '--inactive', domain],
    ['dumpxml', domain],
  ]
}

/** Skips domains that do not exist, or were removed between two commands. */
function parsed(
  dumps: Answers,
  macs: ReadonlyMap<string, string>,
): (ParsedDomain & Pick<ObservedDomain, 'attached'>)[] {
  return dumps.flatMap(({ stdout, error }, index) => {
    if (index % 2 !== 0 || error !== undefined) return []
    const domain = parseDomain(stdout, macs)
    const running = dumps[index + 1]
    const now =
      running === undefined || running.error !== undefined ? [] : parseDomain(running.stdout).disks
    const all = [...now, ...domain.disks]
    const sources = all.filter(({ target }) => target === ownTarget)
    const attached = [...new Map(sources.map((one) => [one.source, one])).values()]
    const known = new Map(now.map(({ source, backing }) => [source, backing]))
    const withBacking = (one: DiskSource): DiskSource => {
      const backing = known.get(one.source) ?? one.backing
      return backing === undefined ? one : { ...one, backing }
    }
    return {
      ...domain,
      disks: domain.disks.map(withBacking),
      attached: attached.map(withBacking),
    }
  })
}

function words(text: string | undefined): string[] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}
