import {
  hostFiles,
  poolPath,
  Problem,
  virshBatch,
  type Cluster,
  type Host,
  type HostFiles,
  type Node,
} from '@talosmith/core'
import { dhcpRange, offersUefi, parseDomain, type ParsedDomain } from './domain-xml.ts'
import type { DomainType } from './machine.ts'
import { labelOffset } from './seed-iso.ts'

/** A domain with what virsh says of its state. */
export interface ObservedDomain extends ParsedDomain {
  /** libvirt's word: running, shut off, paused, crashed ... */
  readonly state: string
  readonly autostart: boolean
}

/** A disk file in the pool. */
export interface ObservedDisk {
  readonly path: string
  /** The size that the machine sees. */
  readonly virtualBytes: number
  readonly actualBytes: number
  /** The image it is an overlay of. */
  readonly backing: string | undefined
}

/** Everything on one host that has to do with the cluster's machines. */
export interface ObservedHost {
  readonly host: string
  readonly index: number
  readonly files: HostFiles
  readonly domains: readonly ObservedDomain[]
  readonly disks: readonly ObservedDisk[]
  /** Application IDs of the seed ISOs that are there, by path. */
  readonly seeds: ReadonlyMap<string, string>
  readonly hasImage: boolean
  /** What DOMAIN_TYPE=auto means here. */
  readonly usableType: DomainType
  readonly hasUefi: boolean
  readonly missingTools: readonly string[]
  /** Why the network that the settings name can't be joined. */
  readonly networkFault: Problem | undefined
  /** Addresses that the libvirt network gives away. */
  readonly dhcp: readonly [string, string] | undefined
}

/** Looks at a host: two virsh processes and one command for the files, however many machines there are. */
export async function observeHost(
  host: Host,
  cluster: Cluster,
  index: number,
): Promise<ObservedHost> {
  const files = hostFiles(cluster, await poolPath(host, cluster.settings.STORAGE_POOL))
  const nodes = cluster.nodes.filter((node) => node.host === index)
  const [machines, rest] = await Promise.all([
    observeDomains(host, cluster),
    observeFiles(host, cluster, nodes, files),
  ])
  return { host: host.name, index, files, ...machines, ...rest }
}

async function observeDomains(
  host: Host,
  { settings }: Cluster,
): Promise<Pick<ObservedHost, 'domains' | 'networkFault' | 'hasUefi' | 'dhcp'>> {
  const [all, running, automatic, capabilities, networks, network] = await virshBatch(host, [
    ['list', '--all', '--name'],
    ['list', '--all', '--table'],
    ['list', '--all', '--autostart', '--name'],
    ['domcapabilities', '--machine', 'q35', '--virttype', 'qemu'],
    ['net-list', '--name'],
    settings.NETWORK_NAME === undefined ? ['echo'] : ['net-dumpxml', settings.NETWORK_NAME],
  ])
  const names = words(all?.stdout)
  const states = new Map(
    (running?.stdout ?? '').split('\n').map((line) => {
      const [, name = '', state = ''] = /^\s*\S+\s+(\S+)\s+(.+?)\s*$/.exec(line) ?? []
      return [name, state] as const
    }),
  )
  const autostart = new Set(words(automatic?.stdout))
  const dumps =
    names.length === 0
      ? []
      : await virshBatch(
          host,
          names.map((name) => ['dumpxml', '--inactive', name]),
        )
  const domains = dumps
    // A domain that went away between the two questions has no XML any more.
    .filter(({ error }) => error === undefined)
    .map(({ stdout }) => parseDomain(stdout))
    .map((domain) => ({
      ...domain,
      state: states.get(domain.name) ?? 'unknown',
      autostart: autostart.has(domain.name),
    }))
  const active = words(networks?.stdout)
  const name = settings.NETWORK_NAME
  return {
    domains,
    hasUefi: offersUefi(capabilities?.stdout ?? ''),
    dhcp: dhcpRange(network?.stdout ?? ''),
    networkFault:
      name === undefined || active.includes(name)
        ? undefined
        : new Problem(
            'NETWORK_NOT_FOUND',
            `there is no active libvirt network ${name} on ${host.name}`,
            {
              because:
                active.length === 0 ? 'no network is active' : `active: ${active.join(', ')}`,
              now: 'nothing was changed',
              hint: `set NETWORK_NAME to one of them, or: virsh net-start ${name}`,
            },
          ),
  }
}

async function observeFiles(
  host: Host,
  { settings }: Cluster,
  nodes: readonly Node[],
  files: HostFiles,
): Promise<
  Pick<ObservedHost, 'disks' | 'seeds' | 'hasImage' | 'usableType' | 'missingTools'> & {
    networkFault?: Problem
  }
> {
  const disks = nodes.map((node) => files.disk(node))
  const seeds = nodes.map((node) => files.seed(node))
  const bridge = settings.NETWORK_BRIDGE ?? ''
  const { stdout } = await host.$`
    [ -e ${files.image} ] && echo image
    # /dev/kvm alone proves nothing: in a guest without nested virtualisation it is there and does not work.
    [ -c /dev/kvm ] && grep -qEm1 '^flags.* (vmx|svm)( |$)' /proc/cpuinfo && echo kvm
    bridge=${bridge}; [ -z "$bridge" ] || [ -d "/sys/class/net/$bridge/bridge" ] || echo "nobridge $(ls -d /sys/class/net/*/bridge 2>/dev/null | cut -d/ -f5 | tr '\\n' ' ')"
    for tool in qemu-img xorriso; do command -v "$tool" >/dev/null || echo "missing $tool"; done
    for path in ${seeds}; do if [ -e "$path" ]; then echo "seed $path $(dd if="$path" bs=1 skip=${labelOffset} count=128 status=none | tr -d '\\0')"; fi; done
    for path in ${disks}; do if [ -e "$path" ]; then echo "disk $path $(qemu-img info -U --output=json "$path" | tr -d '\\n')"; fi; done
    true`
  const lines = stdout.split('\n').map((line) => line.trim())
  const after = (label: string): string[] =>
    lines.filter((line) => line.startsWith(`${label} `)).map((line) => line.slice(label.length + 1))
  const [noBridge] = lines.filter((line) => line.startsWith('nobridge'))
  return {
    hasImage: lines.includes('image'),
    usableType: lines.includes('kvm') ? 'kvm' : 'qemu',
    missingTools: after('missing'),
    seeds: new Map(
      after('seed').map((line) => [
        line.slice(0, line.indexOf(' ')),
        line.slice(line.indexOf(' ') + 1),
      ]),
    ),
    disks: after('disk').map(parseDisk),
    ...(noBridge === undefined
      ? {}
      : {
          networkFault: new Problem(
            'BRIDGE_NOT_FOUND',
            `there is no bridge ${bridge} on ${host.name}`,
            {
              because: `bridges there: ${noBridge.slice('nobridge '.length).trim() || 'none'}`,
              now: 'nothing was changed',
              hint: 'set NETWORK_BRIDGE to one of them, or NETWORK_NAME to a libvirt network (virsh net-list)',
            },
          ),
        }),
  }
}

function parseDisk(line: string): ObservedDisk {
  const path = line.slice(0, line.indexOf(' '))
  const info = JSON.parse(line.slice(line.indexOf(' ') + 1)) as Record<string, unknown>
  const backing = info['full-backing-filename'] ?? info['backing-filename']
  return {
    path,
    virtualBytes: Number(info['virtual-size']),
    actualBytes: Number(info['actual-size']),
    backing: typeof backing === 'string' ? backing : undefined,
  }
}

function words(text: string | undefined): string[] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}
