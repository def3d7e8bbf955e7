/** Recreates machines: removes their disks and state, then creates new ones. Their definitions stay. */
import { codes, Problem, quote, type Cluster, type ExitCode } from '@talosmith/core'
import { findMissingImages, findProblems, refuse } from './check.ts'
import { disksByHand, otherUsers, ownFilesOf } from './disk-use.ts'
import { ownTarget } from './domain-xml.ts'
import { runFlow, type FlowContext } from './flow.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { clusterDomains, domainOf, stayingInPlace } from './place.ts'
import { planCreate } from './plan-create.ts'
import { planRebuild } from './plan-destroy.ts'

/**
 * Recreates the machines of `names` with empty disks, creates those that no host has, and starts those that are off;
 * needs CONFIRM.
 * After a run that was stopped in between, the next one continues with the machines that still exist.
 */
export async function recreateMachines(
  context: FlowContext,
  names: ReadonlySet<string>,
): Promise<ExitCode> {
  const nothing = 'none of the machines exists'
  let { cluster } = context
  const exitCode = await runFlow(context, {
    plan: (cluster, observed) =>
      planRebuild(cluster, observed).filter(
        // The new machine has the address of the former one, and its MAC address.
        ({ target, kind }) => names.has(target) && kind !== 'release-address',
      ),
    nothing,
    needsConfirm: true,
    check(observed, placed) {
      cluster = stayingInPlace(placed)
      refuse(findRecreateProblems(placed, observed, names))
    },
  })
  if (context.dryRun) return exitCode
  return runFlow(
    { ...context, cluster },
    {
      // Machines that no host has are created as well, for example the workers of a destroyed cluster; those that are
      // off are finished and started: a killed run may have defined them, and the cluster waits for all.
      plan: (cluster, observed) =>
        planCreate(cluster, observed).filter(
          ({ target }) => names.has(target) || !isUp(target, observed),
        ),
      nothing,
    },
  )
}

/**
 * What would keep the machines of `names` from being created again, with the image and the space for their disks,
 * disks that would stay, and control planes that would go on as the former cluster. Pure.
 */
export function findRecreateProblems(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  names: ReadonlySet<string>,
): Problem[] {
  const after = hosts.map((observed) => without(cluster, observed, names))
  const problemsOf = (observed: readonly ObservedHost[]): Problem[] =>
    findProblems(cluster, observed, { recreated: names })
  const known = problemsOf(hosts)
  const isKnown = ({ code, message }: Problem): boolean =>
    known.some((one) => one.code === code && one.message === message)
  return [
    ...known,
    ...[sharedDisk, movedDisk, goneDisks].flatMap((find) =>
      hosts.flatMap((observed) =>
        clusterDomains(cluster, observed)
          .filter(({ name }) => names.has(name))
          .flatMap((domain) => find(domain, observed)),
      ),
    ),
    ...[...problemsOf(after), ...findMissingImages(cluster, after)].filter(
      // The machines prove that their addresses work, also behind a router; without them nothing does.
      (one) => !isKnown(one) && one.code !== codes.addressOutsideNetwork,
    ),
  ]
}

/** A disk that stays, because another machine uses it: the recreated machine would start with the former data. */
function sharedDisk(domain: ObservedDomain, observed: ObservedHost): Problem[] {
  const users = otherUsers(domain, observed).map(({ name }) => name)
  if (users.length === 0) return []
  return [
    new Problem(
      'DISK_NOT_OURS',
      `${users.join(', ')} on ${observed.host} uses the disk of ${domain.name}, or an overlay of it`,
      {
        because: `${domain.own?.disk} is not removed while another machine uses it, and ${domain.name} would start with it again`,
        now: 'nothing was changed',
        hint: `copy it for ${users.join(', ')} (virsh domblklist ${quote(users[0] ?? '')} names it), detach the original, then run the same command again`,
      },
    ),
  ]
}

/**
 * A machine whose definition, which stays, has another disk in the place of its own, or a snapshot of its own in another
 * place: the new disk would replace the former, and the latter would lose the disk below it.
 */
function movedDisk(domain: ObservedDomain, observed: ObservedHost): Problem[] {
  const { name, own, disks } = domain
  if (own === undefined) return []
  const files = ownFilesOf(domain, observed)
  const isAttached = disks.some(({ source }) => source === own.disk)
  // What is lost is replaced: a restore repairs DISK_LOST.
  const isLost = (source: string): boolean =>
    observed.gone.has(source) || observed.brokenChains.has(source)
  const moved = disks.find(({ target, source }) =>
    target === ownTarget
      ? !isAttached && !files.has(source) && !isLost(source)
      : source !== own.disk && files.has(source),
  )
  if (moved === undefined) return []
  const { target, source } = moved
  return [
    new Problem(
      'DISK_NOT_OURS',
      `${name} on ${observed.host} has ${source} as ${target}, in the place of the disk that was created for it`,
      {
        because: `its definition stays, and its new disk, ${own.disk}, would be attached as ${ownTarget}`,
        now: 'nothing was changed',
        hint: `attach ${own.disk} as ${ownTarget} (virsh edit ${quote(name)}), after merging its snapshots, then run the same command again`,
      },
    ),
  ]
}

/** Disks that were added by hand, stay in the definition, and are missing: the machine would not start again. */
function goneDisks(domain: ObservedDomain, observed: ObservedHost): Problem[] {
  const lost = disksByHand(domain, observed).filter(
    ({ target, source }) => target !== ownTarget && observed.gone.has(source),
  )
  if (lost.length === 0) return []
  const detach = lost.map(
    ({ target }) => `virsh detach-disk ${quote(domain.name)} ${target} --config`,
  )
  return [
    new Problem(
      'DISK_LOST',
      `${lost.map(({ source }) => source).join(', ')}, added to ${domain.name} by hand, is missing on ${observed.host}`,
      {
        because: 'its definition stays, and libvirt starts no machine without its disks',
        now: 'nothing was changed',
        hint: `mount its file system again, or take it out of the definition on ${observed.host}: ${detach.join(' && ')}; then run the same command again`,
      },
    ),
  ]
}

/** A host as it is once machines and their disks are removed. */
function without(
  { name: cluster }: Cluster,
  observed: ObservedHost,
  names: ReadonlySet<string>,
): ObservedHost {
  const removed = observed.domains.filter(({ name, owner }) => owner === cluster && names.has(name))
  const paths = new Set(removed.flatMap(({ own }) => (own ? [own.disk, own.seed] : [])))
  const inPool = new Set(removed.map(({ name }) => observed.files.disk({ name })))
  const freed = [...observed.disks.values()].filter(
    ({ path }) => paths.has(path) && inPool.has(path),
  )
  return {
    ...observed,
    domains: observed.domains.filter((domain) => !removed.includes(domain)),
    disks: new Map([...observed.disks].filter(([path]) => !paths.has(path))),
    seeds: new Map([...observed.seeds].filter(([path]) => !paths.has(path))),
    poolFreeBytes:
      observed.poolFreeBytes + freed.reduce((sum, { actualBytes }) => sum + actualBytes, 0),
  }
}

function isUp(name: string, hosts: readonly ObservedHost[]): boolean {
  return hosts.some((host) => (domainOf({ name }, host)?.live.state ?? 'shut off') !== 'shut off')
}
