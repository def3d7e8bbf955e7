/** Observes the files of a cluster on a host, and facts that only a shell can tell. */
import { posix } from 'node:path'
import {
  consoleLog,
  onStorage,
  parseLabelledLines,
  poolFiles,
  readFreeSpace,
  splitFields,
  uploadSuffix,
  type Cluster,
  type Host,
  type HostFiles,
  type Place,
} from '@talosmith/core'
import type { ObservedDomain } from './observe.ts'
import type { Identity } from './ownership.ts'
import type { ParsedDomain } from './parse-domain.ts'
import { headerBytes, readQcow2, type Qcow2 } from './qcow2.ts'
import {
  descriptorSector,
  nameWithId,
  readLabel,
  readSeedAddress,
  readSeedMarker,
  type SeedAddress,
  type SeedMarker,
} from './seed-iso.ts'

/** The suffix of files that are being written. */
export const partialSuffix = '.talosmith-partial'

/** Where libvirt keeps the UEFI variables of a machine, `<name>_VARS.fd`. */
const nvramFolder = '/var/lib/libvirt/qemu/nvram'
/** A seed ISO has four small files; xorriso pads it to some hundred KiB. */
const seedBytes = 2 ** 20
const logFolder = posix.dirname(consoleLog(''))

/** A disk file. */
export interface ObservedDisk {
  readonly path: string
  /** The space that the file uses on the host. */
  readonly actualBytes: number
  /** Undefined: not a qcow2 file. */
  readonly qcow2: Qcow2 | undefined
}

/** A qcow2 file that other programs have created above the disk of a machine: an external snapshot, a clone. */
export interface ObservedOverlay {
  readonly path: string
  /** The machine's disk that it backs onto, directly or through other overlays. */
  readonly disk: string
  /** Whether the machine of that disk uses it, as its disk or as a backing file of that. */
  readonly isInUse: boolean
}

/** A seed ISO that Talosmith created. */
export interface ObservedSeed extends SeedMarker {
  readonly label: string
  readonly bytes: number
}

/** An incomplete file of a killed run. */
export interface ObservedLeftover {
  readonly path: string
  /** The machine that it was written for. */
  readonly node: string
  /** What it was to become. */
  readonly file: 'disk' | 'seed'
}

/** An address of the host on one of its bridges. */
export interface BridgeNetwork {
  readonly bridge: string
  /** With its prefix length. */
  readonly address: string
  readonly gateway: string | undefined
}

/** Files and other facts of a host that only a shell can tell. */
export interface ObservedFiles {
  /** By path; also other files that machines of the cluster use as their disks. */
  readonly disks: ReadonlyMap<string, ObservedDisk>
  /** Overlays of the cluster's disks. */
  readonly overlays: readonly ObservedOverlay[]
  /** Other files that machines of the cluster use as their disks, and whose backing chain is broken. */
  readonly brokenChains: ReadonlySet<string>
  /** Disks of other machines that may be overlays of the cluster's disks: that cannot be read. */
  readonly unknownChains: readonly string[]
  /** The seed ISOs by path; undefined: not created by Talosmith. */
  readonly seeds: ReadonlyMap<string, ObservedSeed | undefined>
  /** The addresses in the seed ISOs of every cluster's machines, by path. */
  readonly seedAddresses: ReadonlyMap<string, SeedAddress>
  /** Other files that libvirt keeps for the cluster's machines: UEFI variables, logs. */
  readonly beside: readonly { readonly path: string; readonly bytes: number }[]
  readonly leftovers: readonly ObservedLeftover[]
  readonly hasImage: boolean
  /** Whether image and pool support O_DIRECT. */
  readonly directIo: boolean
  readonly hasKvmDevice: boolean
  readonly hasKvmFlag: boolean
  readonly missingTools: readonly string[]
  readonly bridges: readonly string[]
  /** The host's addresses on its bridges, and the gateway of its default route over each. */
  readonly bridgeNetworks: readonly BridgeNetwork[]
  readonly hasSeedFolder: boolean
  readonly memoryFreeMib: number
  readonly poolFreeBytes: number
  /** Whether the user may create files in the pool's folder; otherwise they are created as volumes. */
  readonly isPoolWritable: boolean
  readonly isSeedFolderWritable: boolean
  /** Why the pool's folder cannot be read; undefined: it can. */
  readonly poolError: string | undefined
}

interface SearchScope {
  readonly pool: string
  readonly files: HostFiles
  readonly domains: readonly Omit<ObservedDomain, 'live' | 'autostart'>[]
  readonly identity: Identity
}

/** Observes the cluster's files on a host, named in its domains or after its nodes, with one command. */
export async function observeFiles(
  host: Host,
  cluster: Cluster,
  { pool, files, domains, identity }: SearchScope,
): Promise<ObservedFiles> {
  const { name, settings } = cluster
  const machines = domains.filter(({ owner }) => owner === name)
  const ours = machines.flatMap(({ own }) => own ?? [])
  const everySeed = domains.flatMap(({ own }) => own?.seed ?? [])
  const others = machines.flatMap(({ own, attached }) =>
    attached
      .filter(({ type, source }) => type === 'file' && source !== own?.disk)
      .map(({ source }) => source),
  )
  const foreign = domains
    .filter(({ owner }) => owner !== name)
    .flatMap(({ disks, attached }) => [...disks, ...attached])
    .filter(({ source }) => source.startsWith('/'))
  // A line for each file of a known chain, and its end.
  const chains = foreign.map(({ source, backing }) =>
    [source, ...(backing === undefined ? ['?'] : [...backing, ''])].join('\n'),
  )
  // The disks of other clusters' machines back onto an image: they are known without looking.
  const known = domains.flatMap(({ own }) => own?.disk ?? [])
  const seedFolder = settings.SEED_ISO_DIR ?? pool
  const places = [
    { what: `the pool ${settings.STORAGE_POOL}`, folder: pool },
    { what: 'the folder of seed ISOs', folder: seedFolder },
    { what: 'the folder of the image', folder: posix.dirname(files.image) },
    ...[...others, ...ours.map(({ disk }) => disk)].map((path) => disksIn(path)),
    ...[...foreign.map(({ source }) => source), ...known, ...everySeed].map((path) =>
      disksIn(path),
    ),
  ]
  const { stdout } = await onStorage(
    host,
    places,
    (options) => host.$({ ...options, ...poolFiles(settings.STORAGE_POOL) })`
shopt -s nullglob
image=${files.image} pool=${pool} seeds=${seedFolder} cluster=${name}
eval "$POOL_FILES"
if is_complete "$image"; then echo image; fi
if may_write "$pool"; then echo writable; fi
if may_write "$seeds"; then echo seedwritable; fi
if [ -e "$image" ] && dd if="$image" iflag=direct bs=4096 count=1 of=/dev/null status=none 2>/dev/null; then
  case $(stat -f -c %T -- "$pool") in tmpfs|ramfs) ;; *) echo direct ;; esac
fi
[ ! -c /dev/kvm ] || echo kvm
if grep -qEm1 '^flags.* (vmx|svm)( |$)' /proc/cpuinfo; then echo flag; fi
for bridge in /sys/class/net/*/bridge; do bridge=\${bridge%/bridge}; echo "bridge \${bridge##*/}"; done
ip -o -4 address show 2>/dev/null | while read -r _ link _ address _; do echo "link $link $address"; done || true
ip -o -4 route show default 2>/dev/null | sed 's/^/route /' || true
for tool in qemu-img xorriso; do command -v "$tool" >/dev/null || echo "missing $tool"; done
[ ! -d "$seeds" ] || echo seedfolder
while read -r key value _; do [ "$key" != MemAvailable: ] || echo "memory $value"; done < /proc/meminfo
echo "free $(df --output=avail -B1 -- "$pool/." 2>&1 | tail -n 1)"
listed=()
list=$(files_in "$pool") || echo 'unlisted this user may not list its files'
[ -z "$list" ] || mapfile -t listed <<< "$list"
mapfile -t beside_seeds < <(files_in "$seeds" || true)
# Those of the files that are named after machines of the cluster: named <end of the name> <file>...
named() {
  local file end=$1
  shift
  for file; do case \${file##*/} in "$cluster"-cp[0-9]*"$end" | "$cluster"-w[0-9]*"$end") printf '%s\\n' "$file" ;; esac; done
}
mapfile -t found < <(named .qcow2 "\${listed[@]}")
declare -A looked=()
once() { [ -f "$1" ] && [ -z "\${looked[$1]-}" ] && looked[$1]=1; }
for file in "\${found[@]}" ${[...ours.map(({ disk }) => disk), ...others]}; do
  once "$file" || continue
  printf 'disk %s ' "$(stat -c %b -- "$file")"
  peek 0 ${headerBytes} "$file" 2>/dev/null | base64 -w0 || true
  echo " $file"
done
declare -A ours=()
disks=(${ours.map(({ disk }) => disk)})
for at in "\${!disks[@]}"; do ours[$(stat -Lc %d:%i -- "\${disks[at]}" 2>/dev/null || echo none)]=$at; done
# Prints which disk of ours a file is above: overlay <used or unused> <file> [<its chain, as libvirt reports it>]
overlay() {
  local chain link above=() status=0
  chain=$(pool_chain "$2") || status=$?
  if [ $status = 2 ]; then chain=\${3-}; fi
  if [ $status = 1 ]; then echo "broken $1 $2"; return 0; fi
  if [ -z "$chain" ]; then [ "$1" = used ] || echo "unknown $2"; return 0; fi
  while IFS= read -r link; do
    at=\${ours[$(stat -Lc %d:%i -- "$link" 2>/dev/null || echo -)]-}
    if [ -n "$at" ]; then
      for link in "\${above[@]}"; do echo "overlay $1 $at $link"; done
      return 0
    fi
    above+=("$link")
  done <<< "$chain"
}
mapfile -t found < <(named -seed.iso "\${beside_seeds[@]}")
for file in "\${found[@]}" ${ours.map(({ seed }) => seed)}; do
  is_complete "$file" && once "$file" || continue
  printf 'seed '
  peek ${descriptorSector * 2048} 2048 "$file" 2>/dev/null | base64 -w0 || true
  echo " $(stat -c %s -- "$file") $file"
done
for file in ${everySeed}; do
  [ ! -f "$file" ] || echo "addresses $(peek 0 ${seedBytes} "$file" 2>/dev/null | grep -aoE '"(([0-9a-f]{2}:){5}[0-9a-f]{2}|[0-9.]+/[0-9]+)"' | head -n 2 | tr -d '"' | paste -sd, || true) $file"
done
# After the seed ISOs, which may be in the pool too.
if [ \${#disks[@]} != 0 ]; then
  for file in ${others}; do [ ! -e "$file" ] || overlay used "$file"; done
  for file in ${known}; do looked[$file]=1; done
  theirs=(${chains})
  for entry in "\${theirs[@]}" "\${listed[@]}"; do
    file=\${entry%%$'\n'*} chain=''
    case $entry in "$file" | *$'\n?') ;; *) chain=$entry ;; esac
    if [ -n "\${looked[$file]-}" ] || { [ ! -e "$file" ] && is_missing "$file"; }; then continue; fi
    if [ -e "$file" ] && ! once "$file"; then continue; fi
    case $(peek 0 16 "$file" 2>/dev/null | od -An -v -tx1 | tr -d ' ') in
      514649fb????????0000000000000000) ;;
      514649fb*) overlay unused "$file" "$chain" ;;
      '') if [ "$entry" != "$file" ] && { [ -s "$file" ] || [ ! -e "$file" ]; }; then overlay unused "$file" "$chain"; fi ;;
    esac
  done
fi
beside=()
for name in ${machines.map((machine) => machine.name)}; do
  beside+=(${nvramFolder}/"$name"_VARS.* ${logFolder}/"$name"{,-console}.log{,.[0-9]*})
done
[ \${#beside[@]} = 0 ] || stat -c 'beside %s %n' -- "\${beside[@]}" 2>/dev/null || true
for end in ${[partialSuffix, uploadSuffix]}; do named "$end" "\${listed[@]}" "\${beside_seeds[@]}" | sed 's/^/partial /'; done
true`,
  )
  const report = parseLabelledLines(stdout)
  const free = readFreeSpace(report.first('free'))
  const paths = new Set([...ours.flatMap(({ disk, seed }) => [disk, seed]), ...others])
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

function disksIn(path: string): Place {
  return { what: 'a folder of disks', folder: posix.dirname(path) }
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
  user: ParsedDomain | undefined,
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
