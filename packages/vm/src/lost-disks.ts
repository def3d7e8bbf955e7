/** Disks of machines that existed and are gone: never replaced by empty ones. */
import { posix } from 'node:path'
import {
  clusterOn,
  codes,
  commandFor,
  isEmptied,
  poolEmpty,
  Problem,
  quote,
  type Cluster,
} from '@talosmith/core'
import { lostDiskOf } from './disk-use.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

interface Lost {
  readonly domain: ObservedDomain
  readonly path: string
}

/** A problem, and the machines that cannot start because of it. */
interface LostDisk {
  readonly machines: readonly string[]
  readonly problem: Problem
}

/**
 * The machines whose disk is lost, except `recreated` ones, which get new disks; and the folders that hold
 * nothing of what they held, probably because a file system is not mounted.
 */
export function findLostDisks(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  recreated: ReadonlySet<string> = new Set(),
): Problem[] {
  return lostDisks(cluster, hosts)
    .filter(({ machines, problem: { code } }) => {
      const isWanted = (name: string): boolean =>
        cluster.nodes.some((node) => node.name === name) && !recreated.has(name)
      return code !== codes.diskLost || machines.some(isWanted)
    })
    .map(({ problem }) => problem)
}

/** DISK_LOST or POOL_EMPTY of one machine; undefined: it has its disk, or never had one. */
export function lostDiskProblem(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  machine: string,
): Problem | undefined {
  return lostDisks(cluster, hosts).find(({ machines }) => machines.includes(machine))?.problem
}

function lostDisks(cluster: Cluster, hosts: readonly ObservedHost[]): LostDisk[] {
  return hosts.flatMap((observed) => {
    const lost = clusterDomains(cluster, observed).flatMap((domain): Lost[] => {
      const path = lostDiskOf(domain, observed)
      return path === undefined ? [] : [{ domain, path }]
    })
    const folders = [...new Set(lost.map(({ path }) => posix.dirname(path)))]
    const inFolder = (folder: string): Lost[] =>
      lost.filter(({ path }) => posix.dirname(path) === folder)
    const { disks, seeds, files, hasImage } = observed
    const there = {
      left: [...disks.keys(), ...seeds.keys()],
      image: hasImage ? files.image : undefined,
    }
    const paths = lost.map(({ path }) => path)
    const empty = folders.filter((folder) => isEmptied(folder, paths, there))
    return [
      ...empty.map((folder) => ({
        machines: inFolder(folder).map(({ domain }) => domain.name),
        problem: folderLost(cluster, observed, folder, { lost: inFolder(folder), hosts }),
      })),
      ...lost
        .filter(({ path }) => !empty.includes(posix.dirname(path)))
        .map((one) => ({
          machines: [one.domain.name],
          problem: machineLost(cluster, observed, one, hosts),
        })),
    ]
  })
}

const unchanged = 'nothing was changed; an empty disk in its place would be a new, empty machine'

function folderLost(
  cluster: Cluster,
  observed: ObservedHost,
  folder: string,
  { lost, hosts }: { readonly lost: readonly Lost[]; readonly hosts: readonly ObservedHost[] },
): Problem {
  const { host, files, poolProblem } = observed
  const isActive = poolProblem === undefined || poolProblem.code === codes.poolUnreadable
  const pool = clusterOn(cluster, observed.index).settings.STORAGE_POOL
  const isPool = posix.dirname(files.disk({ name: '' })) === folder
  const place = isPool ? `the pool ${pool} at ${folder}` : folder
  const running = lost.filter(({ domain }) => domain.live.state === 'running')
  const runsEtcd = running.some(({ domain }) => domain.machine.role === 'controlplane')
  return poolEmpty(
    cluster.name,
    { place, folder, host, ...(isPool && { pool, isActive }) },
    lost.map(({ path }) => path),
    [
      ...(runsEtcd
        ? [
            `${running.map(({ domain }) => domain.name).join(', ')} still run on deleted or hidden files: back up etcd while it answers: ${commandFor(cluster, 'bootstrap:backup')}`,
          ]
        : []),
      `if the disks cannot be recovered: on ${host}: ${giveUp(lost)}${moveAside(lost, observed)}; then ${nextAfter(cluster, lost, hosts)}`,
    ],
  )
}

/** What brings machines back once they are undefined, into which state and with which command. */
function nextAfter(
  cluster: Cluster,
  lost: readonly Lost[],
  hosts: readonly ObservedHost[],
): string {
  const it = lost.length === 1 ? 'it' : 'them'
  const again = `${commandFor(cluster, 'cluster:up')} creates ${it} again`
  const restore = `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')} restores the control planes from a backup of etcd`
  if (lost.every(({ domain }) => domain.machine.role !== 'controlplane')) return again
  if (!hasOthers(cluster, hosts, lost)) return restore
  // With an empty disk it replaces its former member: Talos' addMember (internal/app/machined/pkg/system/services/etcd.go).
  const joins = lost.length === 1 ? 'it joins' : 'control planes join'
  return `${again}, and ${joins} the others while etcd has quorum; without quorum, ${restore}, on new disks for all of them`
}

/** Whether another control plane still has its disk: etcd may have quorum without the lost ones. */
function hasOthers(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  lost: readonly Lost[],
): boolean {
  return hosts.some((observed) =>
    clusterDomains(cluster, observed).some(
      (one) =>
        lost.every(({ domain }) => domain.name !== one.name) &&
        one.machine.role === 'controlplane' &&
        lostDiskOf(one, observed) === undefined,
    ),
  )
}

function machineLost(
  cluster: Cluster,
  observed: ObservedHost,
  lost: Lost,
  hosts: readonly ObservedHost[],
): Problem {
  const { host } = observed
  const { domain, path } = lost
  const { name } = domain
  const isRunning = domain.live.state === 'running'
  // QEMU keeps the deleted file open.
  const save = `on ${host}: virsh blockcopy ${name} vda --dest ${quote(path)} --format qcow2 --transient-job --wait --pivot`
  const back = `mount the file system or put the file back on ${host}, and run the same command again`
  return new Problem(codes.diskLost, `the disk of ${name} on ${host} is missing: ${path}`, {
    because: isRunning
      ? `the machine still runs on the deleted file: what it holds is lost as soon as it stops`
      : `the file, or its backing file, was removed or moved, or its file system is not mounted`,
    now: unchanged,
    hint: `${isRunning ? `copy it while it runs, ${save}` : back}. If it cannot be recovered: ${giveUp([lost])}${moveAside([lost], observed)}; then ${nextAfter(cluster, [lost], hosts)}`,
  })
}

/** A snapshot is lost, the disk below it is not: vm:create refuses a disk without a machine. */
function moveAside(lost: readonly Lost[], { disks }: ObservedHost): string {
  const below = lost.flatMap(({ domain }) => domain.own?.disk ?? []).filter((one) => disks.has(one))
  return below.map((path) => `; move ${quote(path)} elsewhere`).join('')
}

function giveUp(lost: readonly Lost[]): string {
  return lost
    .map(({ domain: { name, live } }) => {
      // A running domain that is undefined stays until it ends (virsh(1), undefine).
      const end = live.state === 'shut off' ? '' : `virsh destroy ${name}; `
      return `${end}virsh undefine --nvram --managed-save --snapshots-metadata ${name}`
    })
    .join('; ')
}
