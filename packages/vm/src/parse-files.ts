/** Parses what a host reports about the files of a cluster. Pure. */
import { posix } from 'node:path'
import { readFreeSpace, splitFields, type Cluster, type LabelledLines } from '@talosmith/core'
import type {
  BridgeNetwork,
  ObservedDisk,
  ObservedFiles,
  ObservedLeftover,
  ObservedOverlay,
  ObservedSeed,
} from './observed-files.ts'
import type { Identity } from './ownership.ts'
import type { OwnFiles, ParsedDomain } from './parse-domain.ts'
import { readQcow2 } from './qcow2.ts'
import { nameWithId, readLabel, readSeedAddress, readSeedMarker } from './seed-iso.ts'

/** Whose files they may be: the cluster's machines, and what they use. */
interface Users {
  readonly identity: Identity
  /** All domains of the host. */
  readonly domains: readonly Pick<ParsedDomain, 'own' | 'owner'>[]
  /** The files of the cluster's machines. */
  readonly ours: readonly OwnFiles[]
  /** Other files that they use as their disks. */
  readonly others: readonly string[]
}

/** The files and facts in the report of observeFiles. */
export function parseFiles(
  report: LabelledLines,
  cluster: Cluster,
  { identity, domains, ours, others }: Users,
): ObservedFiles {
  const { name } = cluster
  const paths = new Set([...ours.flatMap(({ disk, seed }) => [disk, seed]), ...others])
  const free = readFreeSpace(report.first('free'))
  const mine = (path: string): boolean => paths.has(path) || readFileName(name, path) !== undefined
  return {
    disks: new Map(
      report
        .all('disk')
        .map(readDisk)
        .filter(({ path }) => mine(path))
        .map((disk) => [disk.path, disk]),
    ),
    overlays: readOverlays(
      report.all('overlay'),
      ours.map(({ disk }) => disk),
    ),
    brokenChains: new Set(
      report
        .all('broken')
        .map((line) => splitFields(line, 2))
        .flatMap(([who, path = '']) => (who === 'used' ? path : [])),
    ),
    gone: new Set(report.all('gone')),
    unknownChains: [...new Set(report.all('unknown'))],
    seeds: new Map(
      report
        .all('seed')
        .map(threeFields)
        .filter(([, , path]) => mine(path))
        .map(([descriptor, bytes, path]) => [
          path,
          ownedBy(
            cluster,
            identity,
            readSeed(descriptor, Number(bytes)),
            domains.find(({ own }) => own?.seed === path),
          ),
        ]),
    ),
    seedAddresses: new Map(
      report.all('addresses').flatMap((line) => {
        const [text = '', path = ''] = splitFields(line, 2)
        const addresses = readSeedAddress(text)
        return addresses === undefined ? [] : [[path, addresses] as const]
      }),
    ),
    beside: report.all('beside').map((line) => {
      const [bytes = '', path = ''] = splitFields(line, 2)
      return { path, bytes: Number(bytes) }
    }),
    leftovers: [...new Set(report.all('partial'))].flatMap(
      (path) => readFileName(name, path) ?? [],
    ),
    hasImage: report.has('image'),
    directIo: report.has('direct'),
    hasKvmDevice: report.has('kvm'),
    hasKvmFlag: report.has('flag'),
    missingTools: report.all('missing'),
    bridges: report.all('bridge'),
    bridgeNetworks: readBridgeNetworks(
      report.all('bridge'),
      report.all('link'),
      report.all('route'),
    ),
    hasSeedFolder: report.has('seedfolder'),
    memoryFreeMib: Math.floor(Number(report.first('memory') ?? 0) / 1024),
    poolFreeBytes: free.bytes,
    isPoolWritable: report.has('writable'),
    isSeedFolderWritable: report.has('seedwritable'),
    poolError: free.error ?? report.first('unlisted'),
  }
}

/**
 * `home-cp1.qcow2` belongs to cluster home; `home-cp1-w1.qcow2` does not, but to a cluster home-cp1. Disks are not
 * uploaded.
 */
function readFileName(cluster: string, path: string): ObservedLeftover | undefined {
  const base = posix.basename(path)
  if (!base.startsWith(`${cluster}-`)) return undefined
  const [, node, suffix] =
    /^((?:cp|w)\d+)(\.qcow2|-seed\.iso)(?:\.talosmith-partial|(?<=-seed\.iso)\.talosmith-upload)?$/.exec(
      base.slice(cluster.length + 1),
    ) ?? []
  if (node === undefined) return undefined
  return { path, node: `${cluster}-${node}`, file: suffix === '.qcow2' ? 'disk' : 'seed' }
}

/** Reads `<link> <address>`, and default routes as `ip route` prints them, best first. */
function readBridgeNetworks(
  bridges: readonly string[],
  links: readonly string[],
  routes: readonly string[],
): BridgeNetwork[] {
  return links.flatMap((line) => {
    const [bridge = '', address = ''] = splitFields(line, 2)
    const byDefault = routes.find((route) => / dev (\S+)/.exec(route)?.[1] === bridge)
    const gateway = /^default \w+ ([\d.]+) /.exec(byDefault ?? '')?.[1]
    return bridges.includes(bridge) ? [{ bridge, address, gateway }] : []
  })
}

function readDisk(line: string): ObservedDisk {
  const [blocks, header, path] = threeFields(line)
  return {
    path,
    actualBytes: Number(blocks) * 512,
    qcow2: readQcow2(Buffer.from(header, 'base64')),
  }
}

/** Reads `<used or unused> <index of the disk> <path>`, the used ones from the top down; each file counts once. */
function readOverlays(lines: readonly string[], disks: readonly string[]): ObservedOverlay[] {
  const read = lines.map(threeFields).map(([who, at, path]) => {
    return { path, disk: disks[Number(at)] ?? '', isInUse: who === 'used' }
  })
  const used = read.filter(({ isInUse }) => isInUse)
  const paths = new Set(used.map(({ path }) => path))
  return [...used, ...read.filter(({ path, isInUse }) => !isInUse && !paths.has(path))]
}

function readSeed(descriptor: string, bytes: number): ObservedSeed | undefined {
  const sector = Buffer.from(descriptor, 'base64')
  const marker = readSeedMarker(sector)
  return marker === undefined ? undefined : { ...marker, label: readLabel(sector) ?? '', bytes }
}

/**
 * A seed ISO goes with the machine that it is attached to. One of another cluster of this name gets that
 * cluster's ID in `cluster`, as its domain does.
 */
function ownedBy(
  { name }: Cluster,
  { clusterId, hasEvidence }: Identity,
  seed: ObservedSeed | undefined,
  user: Pick<ParsedDomain, 'owner'> | undefined,
): ObservedSeed | undefined {
  if (seed?.cluster !== name) return seed
  const isKnown = seed.clusterId !== undefined && clusterId !== undefined
  const isOurs =
    user !== undefined ? user.owner === name : isKnown ? seed.clusterId === clusterId : hasEvidence
  return isOurs ? seed : { ...seed, cluster: nameWithId(name, seed.clusterId) }
}

function threeFields(line: string): readonly [string, string, string] {
  const [first = '', second = '', third = ''] = splitFields(line, 3)
  return [first, second, third]
}
