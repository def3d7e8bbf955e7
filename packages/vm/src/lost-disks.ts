/** Disks of machines that existed and are gone: never replaced by empty ones. */
import { posix } from 'node:path'
import { codes, commandFor, Problem, quote, type Cluster } from '@talosmith/core'
import { lostDiskOf } from './disk-use.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

interface Lost {
  readonly domain: ObservedDomain
  readonly path: string
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
  return hosts.flatMap((observed) => {
    const lost = clusterDomains(cluster, observed).flatMap((domain): Lost[] => {
      const path = lostDiskOf(domain, observed)
      return path === undefined ? [] : [{ domain, path }]
    })
    const folders = [...new Set(lost.map(({ path }) => posix.dirname(path)))]
    const inFolder = (folder: string): Lost[] =>
      lost.filter(({ path }) => posix.dirname(path) === folder)
    const empty = folders.filter((folder) => isEmptied(folder, inFolder(folder), observed))
    return [
      ...empty.map((folder) => folderLost(cluster, observed, folder, inFolder(folder))),
      ...lost
        .filter(({ domain, path }) => {
          const isInSettings = cluster.nodes.some(({ name }) => name === domain.name)
          return isInSettings && !recreated.has(domain.name) && !empty.includes(posix.dirname(path))
        })
        .map((one) => machineLost(cluster, observed, one, hasOthers(cluster, hosts, one))),
    ]
  })
}

/** Whether a folder holds none of its disks and seed ISOs; of a single disk, only without the image. */
function isEmptied(
  folder: string,
  lost: readonly Lost[],
  { disks, seeds, files, hasImage }: ObservedHost,
): boolean {
  // The image may have been downloaded again.
  const image = hasImage && lost.length === 1 ? [files.image] : []
  const left = [...disks.keys(), ...seeds.keys(), ...image]
  return left.every((path) => posix.dirname(path) !== folder)
}

const unchanged = 'nothing was changed; an empty disk in its place would be a new, empty machine'

function folderLost(
  cluster: Cluster,
  { host, files }: ObservedHost,
  folder: string,
  lost: readonly Lost[],
): Problem {
  const isPool = posix.dirname(files.disk({ name: '' })) === folder
  const place = isPool ? `the pool ${cluster.settings.STORAGE_POOL} at ${folder}` : folder
  const count = lost.length === 1 ? 'the disk of a machine' : `any of the ${lost.length} disks`
  return new Problem(
    'POOL_EMPTY',
    `${place} on ${host} does not hold ${count} of ${cluster.name}: is its file system mounted?`,
    {
      because: `missing: ${lost.map(({ path }) => path).join(', ')}`,
      now: unchanged,
      hint: `on ${host}: findmnt -T ${quote(folder)}; findmnt --fstab; mount it (mount -a) and run the same command again. If the disks cannot be recovered: ${giveUp(lost)}`,
    },
  )
}

/** Whether another control plane still has its disk: etcd may have quorum without the lost one. */
function hasOthers(cluster: Cluster, hosts: readonly ObservedHost[], { domain }: Lost): boolean {
  return hosts.some((observed) =>
    clusterDomains(cluster, observed).some(
      (one) =>
        one.name !== domain.name &&
        one.machine.role === 'controlplane' &&
        lostDiskOf(one, observed) === undefined,
    ),
  )
}

function machineLost(
  cluster: Cluster,
  { host, disks }: ObservedHost,
  lost: Lost,
  hasOthers: boolean,
): Problem {
  const { domain, path } = lost
  const { name } = domain
  const isRunning = domain.live.state === 'running'
  const again = `${commandFor(cluster, 'cluster:up')} creates it again`
  const restore = `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')} restores the control planes from a backup of etcd`
  // With an empty disk it replaces its former member: Talos' addMember (internal/app/machined/pkg/system/services/etcd.go).
  const joins = `${again}, and it joins the others while etcd has quorum; without quorum, ${restore}, on new disks for all of them`
  const next = domain.machine.role !== 'controlplane' ? again : hasOthers ? joins : restore
  // A snapshot is lost, the disk below it is not: vm:create refuses a disk without a machine.
  const below = domain.own?.disk ?? ''
  const aside = disks.has(below) ? `; move ${quote(below)} elsewhere` : ''
  // QEMU keeps the deleted file open.
  const save = `on ${host}: virsh blockcopy ${name} vda --dest ${quote(path)} --format qcow2 --transient-job --wait --pivot`
  const back = `mount the file system or put the file back on ${host}, and run the same command again`
  return new Problem(codes.diskLost, `the disk of ${name} on ${host} is missing: ${path}`, {
    because: isRunning
      ? `the machine still runs on the deleted file: what it holds is lost as soon as it stops`
      : `the file, or its backing file, was removed or moved, or its file system is not mounted`,
    now: unchanged,
    hint: `${isRunning ? `copy it while it runs, ${save}` : back}. If it cannot be recovered: ${giveUp([lost])}${aside}; then ${next}`,
  })
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
