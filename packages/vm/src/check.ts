import { codes, commandFor, poolFull, Problem, type Cluster } from '@talosmith/core'
import { hostProblems } from './check-host.ts'
import { nodeProblems } from './check-node.ts'
import { typeFor } from './host-facts.ts'
import type { ObservedHost } from './observe.ts'
import { diskOf, domainOf, hostOf } from './place.ts'

const gib = 2 ** 30

/**
 * Everything about the hosts that would make creating the machines fail half-way, or touch what isn't
 * ours. Empty: go ahead.
 */
export function findProblems(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  return [
    ...hosts
      .filter(({ index }) =>
        cluster.nodes.some((node) => hostOf(cluster, node, hosts)?.index === index),
      )
      .flatMap((seen) => hostProblems(cluster, seen)),
    ...cluster.nodes.flatMap((node) => {
      const seen = hostOf(cluster, node, hosts)
      return seen === undefined ? [] : nodeProblems(cluster, node, seen, hosts)
    }),
    ...findFullPools(cluster, hosts),
  ]
}

/** Throws the first of the problems, with all others below it. */
export function refuse(problems: readonly Problem[]): void {
  const [first, ...others] = problems
  if (first === undefined) return
  if (others.length === 0) throw first
  const also = others.map(({ code, message }) => `besides, ${code}: ${message}`)
  const because = [first.because, ...also].filter((line) => line !== undefined).join('\n')
  const { now, hint, exitCode } = first
  throw new Problem(first.code, first.message, { because, now, hint, exitCode })
}

/** The image is downloaded by a stage of its own, so a plan may well be made before it is there. */
export function findMissingImages(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  const missing = new Set(
    cluster.nodes
      .map((node) => [node, hostOf(cluster, node, hosts)] as const)
      .filter(
        ([node, seen]) => seen?.hasImage === false && diskOf(cluster, node, seen) === undefined,
      )
      .map(([, seen]) => seen),
  )
  return [...missing].flatMap((seen) =>
    seen === undefined
      ? []
      : new Problem(codes.imageMissing, `${seen.host} has no image ${seen.files.image}`, {
          now: 'nothing was changed',
          hint:
            cluster.settings.IMAGE_PATH === undefined
              ? commandFor(cluster, 'image:download')
              : 'put it there, or leave IMAGE_PATH out so that image:download fetches it',
        }),
  )
}

/** Overlays begin small, but a machine whose disk can't grow is paused by QEMU in the middle of its work. */
const roomForOverlay = gib

/** Pools that are too full for the disks that are yet to be made. */
function findFullPools(cluster: Cluster, hosts: readonly ObservedHost[]): Problem[] {
  return hosts.flatMap((seen) => {
    const toMake = cluster.nodes.filter(
      (node) => hostOf(cluster, node, hosts) === seen && diskOf(cluster, node, seen) === undefined,
    )
    if (seen.poolProblem !== undefined || seen.poolFreeBytes >= toMake.length * roomForOverlay)
      return []
    const free = Math.round((seen.poolFreeBytes / gib) * 10) / 10
    return poolFull(
      { pool: cluster.settings.STORAGE_POOL, host: seen.host },
      `${free} GiB left for ${toMake.length} disks`,
      'each takes at least 1 GiB as soon as Talos runs, and grows from there',
    )
  })
}

/** What may go wrong later on a host and is the user's own business. */
export interface HostWarning {
  readonly about: 'kvm' | 'memory'
  readonly text: string
}

/** Said once, before machines are started. */
export function findWarnings(cluster: Cluster, hosts: readonly ObservedHost[]): HostWarning[] {
  return hosts.flatMap((seen): HostWarning[] => {
    const starting = cluster.nodes.filter(
      (node) =>
        hostOf(cluster, node, hosts) === seen && domainOf(node, seen)?.live.state !== 'running',
    )
    const needed = starting.reduce((sum, { memoryMib }) => sum + memoryMib, 0)
    const slow =
      starting.length > 0 && typeFor(cluster.settings.DOMAIN_TYPE, seen.kvmProblem) === 'qemu'
    const warnings: HostWarning[] = []
    if (slow && cluster.settings.DOMAIN_TYPE === 'auto')
      warnings.push({
        about: 'kvm',
        text: `KVM cannot be used on ${seen.host} (${seen.kvmProblem}): machines are emulated, which is slow`,
      })
    if (needed > seen.memoryFreeMib && seen.memoryFreeMib > 0)
      warnings.push({
        about: 'memory',
        text: `${starting.length} machines need ${needed} MiB of memory; ${seen.host} has ${seen.memoryFreeMib} MiB left`,
      })
    return warnings
  })
}
