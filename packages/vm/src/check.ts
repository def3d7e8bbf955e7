/** Checks the observed hosts before a plan is applied: problems and warnings. */
import { clusterOn, codes, commandFor, poolFull, Problem, type Cluster } from '@talosmith/core'
import { addressProblems } from './check-addresses.ts'
import { hostProblems } from './check-host.ts'
import { nodeProblems } from './check-node.ts'
import { placeProblems } from './check-places.ts'
import { findControlPlanesLeft } from './control-planes-left.ts'
import { needsDisk } from './disk-use.ts'
import { typeFor } from './host-facts.ts'
import { findLostDisks } from './lost-disks.ts'
import type { ObservedHost } from './observe.ts'
import { strangerProblems } from './ownership.ts'
import { domainOf, hostOf } from './place.ts'
import { gib, inGib } from './sizes.ts'

/**
 * What would make creating the machines fail half-way, or touch domains and files of other owners. The machines
 * of `recreated` are about to get new disks, so theirs may be missing; then a control plane that the settings do not
 * name must not start with its host either.
 */
export function findProblems(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  { recreated }: { readonly recreated?: ReadonlySet<string> } = {},
): Problem[] {
  return [
    ...strangerProblems(cluster, hosts),
    ...findControlPlanesLeft(cluster, hosts, { startingWithHost: recreated !== undefined }),
    ...findLostDisks(cluster, hosts, recreated),
    ...hosts
      .filter(({ index }) =>
        cluster.nodes.some((node) => hostOf(cluster, node, hosts)?.index === index),
      )
      .flatMap((observed) => hostProblems(clusterOn(cluster, observed.index), observed, hosts)),
    ...cluster.nodes.flatMap((node) => {
      const observed = hostOf(cluster, node, hosts)
      return observed === undefined
        ? []
        : nodeProblems(clusterOn(cluster, observed.index), node, observed, hosts)
    }),
    ...placeProblems(cluster, hosts, recreated),
    ...addressProblems(cluster, hosts),
    ...findFullPools(cluster, hosts),
  ]
}

/** Throws the first problem, with the others listed in it. */
export function refuse(problems: readonly Problem[]): void {
  const [first, ...others] = problems
  if (first === undefined) return
  if (others.length === 0) throw first
  const also = others.map(({ code, message }) => `also ${code}: ${message}`)
  const because = [first.because, ...also].filter((line) => line !== undefined).join('\n')
  const { now, hint, exitCode } = first
  throw new Problem(first.code, first.message, { because, now, hint, exitCode })
}

/** Checked separately: a separate stage downloads the image, so a plan may be made before it exists. */
export function findMissingImages(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  const missing = new Set(
    cluster.nodes
      .map((node) => [node, hostOf(cluster, node, hosts)] as const)
      .filter(
        ([node, observed]) => observed?.hasImage === false && needsDisk(cluster, node, observed),
      )
      .map(([, observed]) => observed),
  )
  return [...missing].flatMap((observed) =>
    observed === undefined
      ? []
      : new Problem(codes.imageMissing, `${observed.host} has no image ${observed.files.image}`, {
          now: 'nothing was changed',
          hint:
            cluster.settings.IMAGE_PATH === undefined
              ? commandFor(cluster, 'image:download')
              : 'copy it there, or unset IMAGE_PATH so that image:download fetches it',
        }),
  )
}

/** Overlays start small, but QEMU pauses a machine whose disk cannot grow. */
const minimumOverlayBytes = gib

/** Pools without enough free space for the disks to be created. */
function findFullPools(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  return hosts.flatMap((observed) => {
    const newDisks = cluster.nodes.filter(
      (node) => hostOf(cluster, node, hosts) === observed && needsDisk(cluster, node, observed),
    )
    if (
      observed.poolProblem !== undefined ||
      observed.poolFreeBytes >= newDisks.length * minimumOverlayBytes
    )
      return []
    const free = inGib(observed.poolFreeBytes)
    return poolFull(
      { pool: clusterOn(cluster, observed.index).settings.STORAGE_POOL, host: observed.host },
      `${free} GiB left for ${newDisks.length} disks`,
      'each takes at least 1 GiB as soon as Talos runs, and grows from there',
    )
  })
}

/** A possible problem on a host that does not prevent creating the machines. */
export interface HostWarning {
  readonly about: 'kvm' | 'memory'
  readonly text: string
}

/** What to warn of before machines are started. */
export function findWarnings(cluster: Cluster, hosts: readonly ObservedHost[]): HostWarning[] {
  return hosts.flatMap((observed): HostWarning[] => {
    const starting = cluster.nodes.filter(
      (node) =>
        hostOf(cluster, node, hosts) === observed &&
        domainOf(node, observed)?.live.state !== 'running',
    )
    const needed = starting.reduce((sum, { memoryMib }) => sum + memoryMib, 0)
    const slow =
      starting.length > 0 && typeFor(cluster.settings.DOMAIN_TYPE, observed.kvmProblem) === 'qemu'
    const warnings: HostWarning[] = []
    if (slow && cluster.settings.DOMAIN_TYPE === 'auto')
      warnings.push({
        about: 'kvm',
        text: `KVM cannot be used on ${observed.host} (${observed.kvmProblem}): machines are emulated, which is slow`,
      })
    if (needed > observed.memoryFreeMib && observed.memoryFreeMib > 0)
      warnings.push({
        about: 'memory',
        text: `${starting.length} machines need ${needed} MiB of memory; ${observed.host} has ${observed.memoryFreeMib} MiB left`,
      })
    return warnings
  })
}
