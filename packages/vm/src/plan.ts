import { Problem, type Change, type Cluster, type Node } from '@talosmith/core'
import { checkHost } from './check.ts'
import { describeMachine, type DomainType, type Machine } from './machine.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { describeSeed, seedLabel } from './seed-iso.ts'

/** What has to happen to one machine; `host` is its host's place in LIBVIRT_URI. */
export interface VmChange extends Change {
  readonly kind:
    | 'create-disk'
    | 'grow-disk'
    | 'create-seed'
    | 'define-domain'
    | 'update-domain'
    | 'set-autostart'
    | 'start-domain'
    | 'stop-domain'
    | 'remove-domain'
    | 'remove-disk'
    | 'remove-seed'
  readonly host: number
}

const gib = 2 ** 30

/** What DOMAIN_TYPE means on a host. */
export function domainType(
  { settings }: Cluster,
  seen: Pick<ObservedHost, 'usableType'>,
): DomainType {
  return settings.DOMAIN_TYPE === 'auto' ? seen.usableType : settings.DOMAIN_TYPE
}

/**
 * What to do so that every machine exists, is as the settings ask, and runs. Machines that are not ours
 * are never mentioned. Throws, before anything is changed, for a host on which it can't work.
 */
export function planCreate(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  for (const seen of hosts) checkHost(cluster, seen)
  return cluster.nodes.flatMap((node) => {
    const seen = hosts.find(({ index }) => index === node.host)
    return seen === undefined ? [] : planMachine(cluster, node, seen)
  })
}

function planMachine(cluster: Cluster, node: Node, seen: ObservedHost): VmChange[] {
  const change = changeOf(node)
  const domain = seen.domains.find(({ name }) => name === node.name)
  const wanted = describeMachine(cluster, node, seen.files, domainType(cluster, seen))
  const label = seedLabel(describeSeed(cluster, node).digest)
  const seed = seen.seeds.get(wanted.seed)
  const changes = [...planDisk(node, seen)]
  if (seed !== label)
    changes.push(
      change(
        'create-seed',
        `${seed === undefined ? 'Create' : 'Replace'} the seed ISO of ${node.name}`,
        {
          risk: seed === undefined ? 'none' : 'restart',
        },
      ),
    )
  if (domain === undefined)
    changes.push(change('define-domain', `Define virtual machine ${node.name}`))
  else changes.push(...planDrift(domain, wanted, change))
  if ((domain?.autostart ?? false) !== cluster.settings.AUTOSTART)
    changes.push(
      change(
        'set-autostart',
        `${cluster.settings.AUTOSTART ? 'Start' : 'Do not start'} ${node.name} with the host`,
        {
          to: String(cluster.settings.AUTOSTART),
        },
      ),
    )
  if (domain?.state !== 'running')
    changes.push(
      change(
        'start-domain',
        `Start ${node.name}`,
        domain === undefined ? {} : { from: domain.state, to: 'running' },
      ),
    )
  return changes
}

function planDisk(node: Node, seen: ObservedHost): VmChange[] {
  const change = changeOf(node)
  const disk = seen.disks.find(({ path }) => path === seen.files.disk(node))
  if (disk === undefined) {
    if (!seen.hasImage)
      throw new Problem('IMAGE_MISSING', `${seen.host} has no image ${seen.files.image}`, {
        now: 'nothing was changed',
        hint: 'npx nx run image:download',
      })
    return [change('create-disk', `Create the disk of ${node.name}`, { to: `${node.diskGib} GiB` })]
  }
  const has = disk.virtualBytes / gib
  if (has > node.diskGib)
    throw new Problem(
      'DISK_SHRINK',
      `the disk of ${node.name} has ${has} GiB and would shrink to ${node.diskGib} GiB`,
      {
        because: 'a smaller disk would cut off data',
        now: 'nothing was changed',
        hint: `set ${node.role === 'worker' ? 'WORKER' : 'CONTROL_PLANE'}_DISK_GIB to at least ${Math.ceil(has)}`,
      },
    )
  if (has === node.diskGib) return []
  return [
    change('grow-disk', `Grow the disk of ${node.name}`, {
      from: `${has} GiB`,
      to: `${node.diskGib} GiB`,
    }),
  ]
}

/** What of a machine can differ, and what it is called. */
const compared = {
  cpu: 'CPUs',
  memoryMib: 'memory in MiB',
  cpuModel: 'CPU model',
  type: 'domain type',
  network: 'network',
  mac: 'MAC address',
  guestAgent: 'guest-agent channel',
  seed: 'seed ISO',
  disk: 'disk',
} as const satisfies Partial<Record<keyof Machine, string>>

function planDrift(
  domain: ObservedDomain,
  wanted: Machine,
  change: ReturnType<typeof changeOf>,
): VmChange[] {
  const keys = (Object.keys(compared) as (keyof typeof compared)[]).filter(
    (key) => domain.machine[key] !== wanted[key],
  )
  if (keys.length === 0) return []
  const show = (machine: Machine): string =>
    keys.map((key) => `${compared[key]} ${machine[key]}`).join(', ')
  return [
    change('update-domain', `Change ${wanted.name}, effective at its next start`, {
      from: show(domain.machine),
      to: show(wanted),
      risk: 'restart',
    }),
  ]
}

/** The mirror of planCreate: every domain and disk of this cluster, workers first. */
export function planDestroy(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return hosts.flatMap((seen) => {
    const ours = seen.domains.filter(({ owner }) => owner === cluster.name)
    const domains = [...ours].sort(
      (a, b) =>
        Number(a.machine.role === 'controlplane') - Number(b.machine.role === 'controlplane'),
    )
    const ownDisks = new Set(domains.map(({ machine }) => machine.disk))
    const at = (kind: VmChange['kind'], target: string, summary: string): VmChange => ({
      kind,
      target,
      summary,
      risk: 'data-loss',
      host: seen.index,
    })
    return [
      ...domains.map(({ name }) =>
        at('remove-domain', name, `Remove virtual machine ${name} and its NVRAM`),
      ),
      ...domains.map(({ machine }) =>
        at('remove-disk', machine.disk, `Remove the disk ${machine.disk}`),
      ),
      ...leftoverDisks(cluster, seen, ownDisks).map((path) =>
        at('remove-disk', path, `Remove the left-over disk ${path}`),
      ),
    ]
  })
}

/** Disks that a killed create or destroy left: named for our nodes, over a Talos image, used by no domain. */
function leftoverDisks(cluster: Cluster, seen: ObservedHost, known: ReadonlySet<string>): string[] {
  const used = new Set(seen.domains.map(({ machine }) => machine.disk))
  const mine = new Set(
    cluster.nodes.filter(({ host }) => host === seen.index).map((node) => seen.files.disk(node)),
  )
  return seen.disks
    .filter(
      ({ path, backing }) =>
        mine.has(path) &&
        !used.has(path) &&
        !known.has(path) &&
        /\/talos-[^/]*\.raw$/.test(backing ?? ''),
    )
    .map(({ path }) => path)
}

/** The seed ISOs of this cluster; one that a foreign domain uses, or that we did not write, stays. */
export function planRemoveSeeds(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return hosts.flatMap((seen) => {
    const foreign = new Set(
      seen.domains.filter(({ owner }) => owner !== cluster.name).map(({ machine }) => machine.seed),
    )
    return [...seen.seeds]
      .filter(([path, label]) => label.startsWith('TALOSMITH SEED ') && !foreign.has(path))
      .map(([path]) => ({
        kind: 'remove-seed' as const,
        target: path,
        summary: `Remove the seed ISO ${path}`,
        risk: 'none' as const,
        host: seen.index,
      }))
  })
}

/** Starts what does not run, control planes first. */
export function planStart(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return inOrder(cluster, hosts, ({ state }) => state !== 'running').map(([node, { state }]) =>
    changeOf(node)('start-domain', `Start ${node.name}`, { from: state, to: 'running' }),
  )
}

/** Stops what runs, workers first. */
export function planStop(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return inOrder(cluster, hosts, ({ state }) => state === 'running')
    .reverse()
    .map(([node, { state }]) =>
      changeOf(node)('stop-domain', `Shut ${node.name} down`, {
        from: state,
        to: 'shut off',
        risk: 'restart',
      }),
    )
}

function inOrder(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  wanted: (domain: ObservedDomain) => boolean,
): [Node, ObservedDomain][] {
  return cluster.nodes.flatMap((node): [Node, ObservedDomain][] => {
    const domain = hosts
      .find(({ index }) => index === node.host)
      ?.domains.find(({ name, owner }) => name === node.name && owner === cluster.name)
    return domain !== undefined && wanted(domain) ? [[node, domain]] : []
  })
}

function changeOf(node: Node) {
  return (
    kind: VmChange['kind'],
    summary: string,
    more: Partial<Pick<Change, 'from' | 'to' | 'risk'>> = {},
  ): VmChange => ({
    kind,
    target: node.name,
    summary,
    risk: 'none',
    host: node.host,
    ...more,
  })
}
