/** Plans the changes of machines: create, destroy, start and stop. Pure functions of what was observed. */
import { posix } from 'node:path'
import type { Change, Cluster, Node } from '@talosmith/core'
import { movedFrom } from './check-addresses.ts'
import { lostDiskOf, needsDisk, otherDiskOf, otherUsers } from './disk-use.ts'
import { driftOf, keepChannel } from './drift.ts'
import { typeFor } from './host-facts.ts'
import { describeMachine } from './machine.ts'
import type { ObservedDisk, ObservedLeftover } from './observe-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { diskOf, domainOf, hostOf, clusterDomains, pathsOf, workersFirst } from './place.ts'
import { describeSeed, seedLabels } from './seed-iso.ts'

/** One change of one machine. */
export interface VmChange extends Change {
  readonly kind:
    | 'define-domain'
    | 'update-domain'
    | 'note-cluster-id'
    | 'create-disk'
    | 'record-disk'
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
  /** The host's index in LIBVIRT_URI. */
  readonly host: number
  /** The file to change. */
  readonly path?: string
}

type More = Partial<Pick<VmChange, 'from' | 'to' | 'risk' | 'path'>>
type Make = (kind: VmChange['kind'], summary: string, more?: More) => VmChange

const gib = 2 ** 30

/**
 * Plans that every machine exists, matches the settings, and runs. Machines of other owners are not in the
 * plan. The domain is defined first: its metadata names the files before they are created, so that a killed
 * run leaves no file without a known owner.
 */
export function planCreate(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const planned = cluster.nodes.flatMap((node) => {
    const observed = hostOf(cluster, node, hosts)
    return observed === undefined ? [] : planMachine(cluster, node, observed)
  })
  const created = new Set(planned.map(({ target, kind }) => `${target} ${kind}`))
  const leftovers = planLeftovers(
    hosts,
    // Creating a file removes the incomplete one of the last attempt.
    ({ node, file }) => !created.has(`${node} create-${file}`),
  )
  return [...planned, ...leftovers]
}

function planMachine(cluster: Cluster, node: Node, observed: ObservedHost): VmChange[] {
  const { AUTOSTART: autostart, DOMAIN_TYPE: type } = cluster.settings
  const domain = domainOf(node, observed)
  if (domain !== undefined && domain.owner !== cluster.name) return []
  // check.ts rejects another address.
  if (movedFrom(cluster, node, observed) !== undefined) return []
  // check.ts refuses: an empty disk in place of a lost one would be a new machine.
  if (domain !== undefined && lostDiskOf(domain, observed) !== undefined) return []
  const change = changeOn(observed, node.name)
  const paths = pathsOf(cluster, node, observed)
  const wanted = keepChannel(
    domain?.machine,
    describeMachine(cluster, node, paths, typeFor(type, observed.kvmProblem)),
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
    if (domain.clusterId === undefined)
      changes.push(
        change('note-cluster-id', `Record the ID of cluster ${cluster.name} in ${node.name}`),
      )
  }
  changes.push(...planDisk(cluster, node, observed, change))
  const marker = observed.seeds.get(paths.seed)
  const isDetected = marker !== undefined && seedLabels.includes(marker.label)
  if (!isDetected || marker.digest !== describeSeed(cluster, node).digest)
    changes.push(
      observed.seeds.has(paths.seed)
        ? change('create-seed', `Replace the seed ISO of ${node.name}${later}`, {
            path: paths.seed,
            risk,
          })
        : change('create-seed', `Create the seed ISO of ${node.name}`, { path: paths.seed }),
    )
  else if (marker.clusterId === undefined || marker.clusterId !== observed.identity.clusterId)
    changes.push(
      change(
        'create-seed',
        `Record the ID of cluster ${cluster.name} in the seed ISO of ${node.name}`,
        {
          path: paths.seed,
        },
      ),
    )
  if ((domain?.autostart ?? false) !== autostart)
    changes.push(
      change(
        'set-autostart',
        autostart ? `Enable autostart of ${node.name}` : `Disable autostart of ${node.name}`,
        { from: String(!autostart), to: String(autostart) },
      ),
    )
  if (!isRunning) changes.push(planStarting(domain, change, node))
  return changes
}

/** Removes the guest-agent channels, once every machine runs without the agent's extension. */
export function planDropChannels(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  if (cluster.image.hasGuestAgent) return []
  return cluster.nodes.flatMap((node) => {
    const observed = hostOf(cluster, node, hosts)
    const domain = observed && domainOf(node, observed)
    if (observed === undefined || domain?.owner !== cluster.name || !domain.machine.guestAgent)
      return []
    const summary = `Remove the guest-agent channel of ${node.name}, from its next start`
    return [changeOn(observed, node.name)('drop-channel', summary)]
  })
}

function planDisk(cluster: Cluster, node: Node, observed: ObservedHost, change: Make): VmChange[] {
  const to = `${node.diskGib} GiB`
  const path = pathsOf(cluster, node, observed).disk
  if (needsDisk(cluster, node, observed))
    return [change('create-disk', `Create the disk of ${node.name}`, { to, path })]
  const domain = domainOf(node, observed)
  const record =
    domain?.diskNote === 'none'
      ? [change('record-disk', `Record that the disk of ${node.name} was created`)]
      : []
  // check.ts refuses to shrink a disk, and to grow one below a snapshot.
  if (domain === undefined || otherDiskOf(domain, observed) !== undefined) return record
  const has = diskOf(cluster, node, observed)?.qcow2?.virtualBytes ?? 0
  if (has === 0 || has >= node.diskGib * gib) return record
  const from = `${has / gib} GiB`
  return [...record, change('grow-disk', `Grow the disk of ${node.name}`, { from, to, path })]
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
 * Plans the removal of every machine of this cluster on every host, also of those no longer in the settings.
 * The domain is removed last, because its metadata names the owner of the files.
 */
export function planDestroy(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const machines = hosts.flatMap((observed) =>
    clusterDomains(cluster, observed).flatMap((domain) => {
      const change = changeOn(observed, domain.name)
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
        ...planRemoveDisks(observed, domain, change),
        ...planOutsideSeed(cluster, observed, domain),
        change(
          'undefine-domain',
          `Remove virtual machine ${domain.name}${domain.machine.uefi ? ', its NVRAM' : ''} and its logs`,
          {
            from: describeDomain(domain, observed),
            risk: 'data-loss',
          },
        ),
      ]
    }),
  )
  return [...machines, ...planLeftovers(hosts, ({ file }) => file === 'disk')]
}

/**
 * Removes a machine's disk, after the snapshots above it that the machine uses: without it, they are of no use.
 * The disk stays when another machine uses it or an overlay of it.
 */
function planRemoveDisks(observed: ObservedHost, domain: ObservedDomain, change: Make): VmChange[] {
  const path = domain.own?.disk ?? ''
  if (otherUsers(domain, observed).length > 0) return []
  const overlays = observed.overlays.filter(({ disk, isInUse }) => isInUse && disk === path)
  const disk = observed.disks.get(path)
  const risk = 'data-loss'
  return [
    ...overlays.map((one) => {
      const size = observed.disks.get(one.path)
      return change('remove-disk', `Remove a snapshot of the disk of ${domain.name}: ${one.path}`, {
        path: one.path,
        risk,
        ...(size === undefined ? {} : { from: sizesOf(size) }),
      })
    }),
    ...(disk === undefined
      ? []
      : [
          change('remove-disk', `Remove the disk of ${domain.name}: ${disk.path}`, {
            path: disk.path,
            from: sizesOf(disk),
            risk,
          }),
        ]),
  ]
}

/**
 * The last stage of destroying: removes seed ISOs whose marker names this cluster, also on hosts without
 * machines. A seed ISO that is still attached to a machine is kept.
 */
export function planRemoveSeeds(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  const seeds = hosts.flatMap((observed) =>
    [...observed.seeds.keys()]
      .filter((path) => !isOutsideFolder(observed, path))
      .flatMap((path) => planRemoveSeed(cluster, observed, path)),
  )
  return [...seeds, ...planLeftovers(hosts, ({ file }) => file === 'seed')]
}

/**
 * Removes a machine's seed ISO that is outside the configured folder, because SEED_ISO_DIR or STORAGE_POOL has
 * changed: only the domain knows its path, so it has to be removed before the domain.
 */
function planOutsideSeed(
  cluster: Cluster,
  observed: ObservedHost,
  domain: ObservedDomain,
): VmChange[] {
  const path = domain.own?.seed ?? ''
  const others = observed.domains.filter((one) => one !== domain)
  return isOutsideFolder(observed, path)
    ? planRemoveSeed(cluster, { ...observed, domains: others }, path)
    : []
}

function isOutsideFolder({ files }: ObservedHost, path: string): boolean {
  return posix.dirname(path) !== posix.dirname(files.seed({ name: '' }))
}

function planRemoveSeed(cluster: Cluster, observed: ObservedHost, path: string): VmChange[] {
  const marker = observed.seeds.get(path)
  if (marker?.cluster !== cluster.name) return []
  if (observed.domains.some(({ machine }) => machine.seed === path)) return []
  const summary = `Remove the seed ISO of ${marker.node}: ${path}`
  const from = `${Math.ceil(marker.bytes / 1024)} KiB`
  return [changeOn(observed, marker.node)('remove-seed', summary, { path, from })]
}

/** Starts the machines that are not running, control planes first. */
export function planMachineStart(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return everyMachine(cluster, hosts)
    .sort(([, a], [, b]) => workersFirst(b, a))
    .filter(([, { live }]) => live.state !== 'running')
    .map(([observed, domain]) => planStarting(domain, changeOn(observed, domain.name), domain))
}

/** Stops the machines that are not shut off, workers first. */
export function planMachineStop(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return everyMachine(cluster, hosts)
    .sort(([, a], [, b]) => workersFirst(a, b))
    .filter(([, { live }]) => live.state !== 'shut off')
    .map(([observed, { name, live }]) =>
      changeOn(observed, name)('stop-domain', `Shut ${name} down`, {
        from: live.state,
        to: 'shut off',
        risk: 'restart',
      }),
    )
}

/** The machines on all hosts, also those no longer in the settings: they are still members of the cluster. */
function everyMachine(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
): [ObservedHost, ObservedDomain][] {
  return hosts.flatMap((observed) =>
    clusterDomains(cluster, observed).map((domain): [ObservedHost, ObservedDomain] => [
      observed,
      domain,
    ]),
  )
}

/** Removes incomplete files of killed runs, those that `isIncluded`. */
function planLeftovers(
  hosts: readonly ObservedHost[],
  isIncluded: (leftover: ObservedLeftover) => boolean,
): VmChange[] {
  return hosts.flatMap((observed) =>
    observed.leftovers.filter(isIncluded).map(({ path, node }) => {
      const summary = `Remove an incomplete file of a stopped run: ${path}`
      return changeOn(observed, node)('remove-leftover', summary, { path })
    }),
  )
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
