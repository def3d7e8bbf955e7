/** Plans what destroying a cluster removes from its hosts. Pure. */
import { posix } from 'node:path'
import { Problem, quote, type Cluster } from '@talosmith/core'
import { disksByHand, otherUsers } from './disk-use.ts'
import type { ObservedDisk } from './observed-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { clusterDomains, domainOf } from './place.ts'
import { planReleases } from './reservations.ts'
import { inGib } from './sizes.ts'
import { changeOn, planLeftovers, type Make, type VmChange } from './vm-change.ts'

/**
 * Plans the removal of every machine of this cluster on every host, also of those no longer in the settings.
 * The domain is removed last, because its metadata names the owner of the files, then the reservation of its address.
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
          `Remove virtual machine ${domain.name}${domain.machine.uefi ? ', its NVRAM' : ''} and its logs${otherDisks(domain, observed)}`,
          {
            from: describeDomain(domain, observed),
            risk: 'data-loss',
          },
        ),
      ]
    }),
  )
  return [
    ...machines,
    ...planReleases(cluster, hosts),
    ...planLeftovers(hosts, ({ file }) => file === 'disk'),
  ]
}

/** Names the disks of a machine that stay; '' when there are none. */
function otherDisks(domain: ObservedDomain, observed: ObservedHost): string {
  const others = disksByHand(domain, observed).map(({ source }) => source)
  return others.length === 0 ? '' : `; disks that were added by hand stay: ${others.join(', ')}`
}

/**
 * Removes a machine's disk, after the snapshots above it that the machine uses: without it, they are of no use.
 * The disk stays when another machine uses it or an overlay of it. Throws DISK_USE_UNKNOWN when one may do so.
 */
function planRemoveDisks(observed: ObservedHost, domain: ObservedDomain, change: Make): VmChange[] {
  const path = domain.own?.disk ?? ''
  if (otherUsers(domain, observed).length > 0) return []
  const overlays = observed.overlays.filter(({ disk, isInUse }) => isInUse && disk === path)
  const disk = observed.disks.get(path)
  const [unknown] = observed.unknownChains
  if (disk !== undefined && unknown !== undefined)
    throw new Problem(
      'DISK_USE_UNKNOWN',
      `cannot determine whether the disk of ${domain.name} is in use on ${observed.host}`,
      {
        because: observed.unknownChains
          .map((path) => `cannot read ${path}, which may be an overlay of it`)
          .join('\n'),
        now: 'nothing was changed',
        hint: `start the machine of that disk, because libvirt reports the overlays of running machines; or as root there: setfacl -m u:<user>:r ${quote(unknown)}. Then run the same command again`,
      },
    )
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
 * Plans that machines of the settings lose their disks and start again from nothing, with the definition that they
 * have: only the parts that are ours are replaced. Machines that are no longer in the settings are removed.
 */
export function planRebuild(cluster: Cluster, hosts: readonly ObservedHost[]): VmChange[] {
  return planDestroy(cluster, hosts).map((planned) => {
    const observed = hosts.find(({ index }) => index === planned.host)
    const isDesired = cluster.nodes.some(({ name }) => name === planned.target)
    if (planned.kind !== 'undefine-domain' || observed === undefined || !isDesired) return planned
    const domain = domainOf({ name: planned.target }, observed)
    if (domain === undefined) return planned
    return {
      ...planned,
      kind: 'rebuild-domain',
      summary: `Reset virtual machine ${domain.name}: remove its saved state, snapshots${domain.machine.uefi ? ', NVRAM' : ''} and logs, keep its definition${otherDisks(domain, observed)}`,
    }
  })
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
  const show = (bytes: number): string => `${inGib(bytes)} GiB`
  return qcow2 === undefined
    ? show(actualBytes)
    : `${show(qcow2.virtualBytes)}, ${show(actualBytes)} written`
}
