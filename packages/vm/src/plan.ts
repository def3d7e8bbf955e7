import { posix } from 'node:path'
import type { Change, Cluster, Node } from '@talosmith/core'
import { driftOf, keepChannel } from './drift.ts'
import { typeFor } from './host-facts.ts'
import { describeMachine } from './machine.ts'
import type { ObservedDisk } from './observe-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { diskOf, domainOf, hostOf, clusterDomains, pathsOf, workersFirst } from './place.ts'
import { describeSeed, seedLabels } from './seed-iso.ts'

/** One thing to do to one machine. */
export interface VmChange extends Change {
  readonly kind:
    | 'define-domain'
    | 'update-domain'
    | 'create-disk'
    | 'grow-disk'
    | 'create-seed'
    | 'drop-channel'
    | 'set-autostart'
    | 'start-domain'
    | 'stop-domain'
    | 'cut-power'
    | 'remove-disk'
    | 'undefine-domain'
    | 'remove-seed'
    | 'remove-leftover'
  /** The machine's name. */
  readonly target: string
  /** The host's place in LIBVIRT_URI. */
  readonly host: number
  /** The file it is about. */
  readonly path?: string
}

type More = Partial<Pick<VmChange, 'from' | 'to' | 'risk' | 'path'>>
type Make = (kind: VmChange['kind'], summary: string, more?: More) => VmChange

const gib = 2 ** 30

/**
 * What to do so that every machine exists, is as the settings ask, and runs. Machines that are not ours
 * are never mentioned. The domain comes first: its metadata claims the files before they are made, so
 * that a run killed anywhere leaves nothing whose owner is unknown.
 */
export function planCreate(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const planned = cluster.nodes.flatMap((node) => {
    const seen = hostOf(cluster, node, hosts)
    return seen === undefined ? [] : planMachine(cluster, node, seen)
  })
  const made = new Set(planned.map(({ target, kind }) => `${target} ${kind}`))
  const leftovers = planLeftovers(hosts).filter(
    // Making a file anew removes what is left of the last attempt.
    ({ target, path }) =>
      !made.has(`${target} ${path?.includes('-seed.iso') ? 'create-seed' : 'create-disk'}`),
  )
  return [...planned, ...leftovers]
}

function planMachine(cluster: Cluster, node: Node, seen: ObservedHost): VmChange[] {
  const { AUTOSTART: autostart, DOMAIN_TYPE: type } = cluster.settings
  const domain = domainOf(node, seen)
  if (domain !== undefined && domain.owner !== cluster.name) return []
  const change = changeOn(seen, node.name)
  const paths = pathsOf(cluster, node, seen)
  const wanted = keepChannel(
    domain?.machine,
    describeMachine(cluster, node, paths, typeFor(type, seen.kvmProblem)),
  )
  const isRunning = domain?.live.state === 'running'
  const later = isRunning ? ', from its next start' : ''
  const risk = isRunning ? 'restart' : 'none'
  const changes: VmChange[] = []
  if (domain === undefined)
    changes.push(change('define-domain', `Define virtual machine ${node.name}`))
  else {
    const drift = driftOf(domain.machine, wanted)
    if (drift !== undefined)
      changes.push(change('update-domain', `Change ${node.name}${later}`, { ...drift, risk }))
  }
  changes.push(...planDisk(node, diskOf(cluster, node, seen), paths.disk, change))
  const mark = seen.seeds.get(paths.seed)
  const isRead = mark !== undefined && seedLabels.includes(mark.label)
  if (!isRead || mark.digest !== describeSeed(cluster, node).digest)
    changes.push(
      seen.seeds.has(paths.seed)
        ? change('create-seed', `Replace the seed ISO of ${node.name}${later}`, {
            path: paths.seed,
            risk,
          })
        : change('create-seed', `Create the seed ISO of ${node.name}`, { path: paths.seed }),
    )
  if ((domain?.autostart ?? false) !== autostart)
    changes.push(
      change(
        'set-autostart',
        autostart
          ? `Let ${node.name} start with its host`
          : `Keep ${node.name} from starting with its host`,
        { from: String(!autostart), to: String(autostart) },
      ),
    )
  if (!isRunning) changes.push(planStarting(domain, change, node))
  return changes
}

/** Channels that are left over once every machine runs without the agent's extension. */
export function planDropChannels(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  if (cluster.image.hasGuestAgent) return []
  return cluster.nodes.flatMap((node) => {
    const seen = hostOf(cluster, node, hosts)
    const domain = seen && domainOf(node, seen)
    if (seen === undefined || domain?.owner !== cluster.name || !domain.machine.guestAgent)
      return []
    const summary = `Take the guest-agent channel of ${node.name} away, from its next start`
    return [changeOn(seen, node.name)('drop-channel', summary)]
  })
}

function planDisk(
  node: Node,
  disk: ObservedDisk | undefined,
  path: string,
  change: Make,
): VmChange[] {
  const to = `${node.diskGib} GiB`
  if (disk === undefined)
    return [change('create-disk', `Create the disk of ${node.name}`, { to, path })]
  const has = disk.qcow2?.virtualBytes ?? 0
  // A larger one is refused by check.ts.
  if (has === 0 || has >= node.diskGib * gib) return []
  const from = `${has / gib} GiB`
  return [change('grow-disk', `Grow the disk of ${node.name}`, { from, to, path })]
}

function planStarting(
  domain: ObservedDomain | undefined,
  change: Make,
  { name }: Pick<Node, 'name'>,
): VmChange {
  const from = domain === undefined ? {} : { from: domain.live.state, to: 'running' }
  return change('start-domain', `Start ${name}`, from)
}

/**
 * The mirror of planCreate: every machine of this cluster on every host, also those that the settings no
 * longer ask for. The domain goes last, because it says whose the files are.
 */
export function planDestroy(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const machines = hosts.flatMap((seen) =>
    clusterDomains(cluster, seen).flatMap((domain) => {
      const change = changeOn(seen, domain.name)
      const path = domain.own?.disk ?? ''
      const isShared = seen.domains.some((one) => one !== domain && one.machine.disk === path)
      const disk = isShared ? undefined : seen.disks.get(path)
      return [
        ...(domain.live.state === 'shut off'
          ? []
          : [
              change('cut-power', `Cut the power of ${domain.name}`, {
                from: domain.live.state,
                to: 'shut off',
                risk: 'restart',
              }),
            ]),
        ...(disk === undefined
          ? []
          : [
              change('remove-disk', `Remove the disk of ${domain.name}: ${disk.path}`, {
                path: disk.path,
                from: sizesOf(disk),
                risk: 'data-loss',
              }),
            ]),
        ...planDistantSeed(cluster, seen, domain),
        change(
          'undefine-domain',
          `Remove virtual machine ${domain.name}${domain.machine.uefi ? ', its NVRAM' : ''} and its logs`,
          {
            from: describeDomain(domain, seen),
            risk: 'data-loss',
          },
        ),
      ]
    }),
  )
  return [...machines, ...planLeftovers(hosts).filter(isOfDisk)]
}

/**
 * The last stage of destroying: seed ISOs that say of themselves that they are of this cluster, also on a
 * host whose machines are gone. One that a machine still has attached stays.
 */
export function planRemoveSeeds(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const seeds = hosts.flatMap((seen) =>
    [...seen.seeds.keys()]
      .filter((path) => !isDistant(seen, path))
      .flatMap((path) => planRemoveSeed(cluster, seen, path)),
  )
  return [...seeds, ...planLeftovers(hosts).filter((change) => !isOfDisk(change))]
}

/**
 * The seed ISO of a machine, where the settings no longer point to it: SEED_ISO_DIR or STORAGE_POOL have
 * changed since. It goes with the machine, for afterwards nothing would say where it is.
 */
function planDistantSeed(cluster: Cluster, seen: ObservedHost, domain: ObservedDomain): VmChange[] {
  const path = domain.own?.seed ?? ''
  const others = seen.domains.filter((one) => one !== domain)
  return isDistant(seen, path) ? planRemoveSeed(cluster, { ...seen, domains: others }, path) : []
}

function isDistant({ files }: ObservedHost, path: string): boolean {
  return posix.dirname(path) !== posix.dirname(files.seed({ name: '' }))
}

function planRemoveSeed(cluster: Cluster, seen: ObservedHost, path: string): VmChange[] {
  const mark = seen.seeds.get(path)
  if (mark?.cluster !== cluster.name) return []
  if (seen.domains.some(({ machine }) => machine.seed === path)) return []
  const summary = `Remove the seed ISO of ${mark.node}: ${path}`
  const from = `${Math.ceil(mark.bytes / 1024)} KiB`
  return [changeOn(seen, mark.node)('remove-seed', summary, { path, from })]
}

/** Starts what doesn't run, control planes first. */
export function planMachineStart(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return everyMachine(cluster, hosts)
    .sort(([, a], [, b]) => workersFirst(b, a))
    .filter(([, { live }]) => live.state !== 'running')
    .map(([seen, domain]) => planStarting(domain, changeOn(seen, domain.name), domain))
}

/** Stops what is not off, workers first. */
export function planMachineStop(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return everyMachine(cluster, hosts)
    .sort(([, a], [, b]) => workersFirst(a, b))
    .filter(([, { live }]) => live.state !== 'shut off')
    .map(([seen, { name, live }]) =>
      changeOn(seen, name)('stop-domain', `Shut ${name} down`, {
        from: live.state,
        to: 'shut off',
        risk: 'restart',
      }),
    )
}

/** The machines of all hosts, also those that the settings no longer ask for: they are in the cluster all the same. */
function everyMachine(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
): [ObservedHost, ObservedDomain][] {
  return hosts.flatMap((seen) =>
    clusterDomains(cluster, seen).map((domain): [ObservedHost, ObservedDomain] => [seen, domain]),
  )
}

/** What killed runs left half-made; its name says whose it is. */
function planLeftovers(hosts: readonly ObservedHost[]): VmChange[] {
  return hosts.flatMap((seen) =>
    seen.leftovers.map((path) => {
      const name = /([^/]*?)(?:-seed\.iso|\.qcow2)\.talosmith-partial$/.exec(path)?.[1] ?? path
      return changeOn(seen, name)('remove-leftover', `Remove what a stopped run left: ${path}`, {
        path,
      })
    }),
  )
}

function isOfDisk({ path }: VmChange): boolean {
  return path?.includes('.qcow2') === true
}

function describeDomain({ name, machine }: ObservedDomain, { beside }: ObservedHost): string {
  const sizeOf = (what: string, suffix: RegExp): string[] => {
    const bytes = beside
      .map((one) => ({ ...one, file: posix.basename(one.path) }))
      .filter(({ file }) => file.startsWith(name) && suffix.test(file.slice(name.length)))
      .reduce((sum, one) => sum + one.bytes, 0)
    return bytes === 0 ? [] : [`${what} ${Math.ceil(bytes / 1024)} KiB`]
  }
  return [
    `${machine.cpu} CPUs`,
    `${machine.memoryMib} MiB`,
    ...sizeOf('NVRAM', /^_VARS\./),
    ...sizeOf('logs', /^(?:-console)?\.log/),
  ].join(', ')
}

function sizesOf({ qcow2, actualBytes }: ObservedDisk): string {
  const show = (bytes: number): string => `${Math.round((bytes / gib) * 10) / 10} GiB`
  return qcow2 === undefined
    ? show(actualBytes)
    : `${show(qcow2.virtualBytes)}, ${show(actualBytes)} written`
}

function changeOn({ index }: ObservedHost, target: string): Make {
  return (kind, summary, more = {}) => ({
    kind,
    target,
    summary,
    risk: 'none',
    host: index,
    ...more,
  })
}
