/** Observes the files of a cluster on a host, and facts that only a shell can tell. */
import { posix } from 'node:path'
import {
  consoleLog,
  onStorage,
  parseLabelledLines,
  poolFiles,
  uploadSuffix,
  type Cluster,
  type Host,
  type HostFiles,
  type Place,
} from '@talosmith/core'
import { partialSuffix, type ObservedFiles } from './observed-files.ts'
import type { Identity } from './ownership.ts'
import type { DiskSource, ParsedDomain } from './parse-domain.ts'
import { parseFiles } from './parse-files.ts'
import { headerBytes } from './qcow2.ts'
import { descriptorSector } from './seed-iso.ts'

/** Where libvirt keeps the UEFI variables of a machine, `<name>_VARS.fd`. */
const nvramFolder = '/var/lib/libvirt/qemu/nvram'
/** A seed ISO has four small files; xorriso pads it to some hundred KiB. */
const seedBytes = 2 ** 20
const logFolder = posix.dirname(consoleLog(''))

interface SearchScope {
  readonly pool: string
  readonly files: HostFiles
  readonly domains: readonly (ParsedDomain & { readonly attached: readonly DiskSource[] })[]
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
  const filesBesideOwn = (key: 'attached' | 'disks'): string[] =>
    machines.flatMap(({ own, [key]: disks }) =>
      disks
        .filter(({ type, source }) => type === 'file' && source !== own?.disk)
        .map(({ source }) => source),
    )
  const others = filesBesideOwn('attached')
  const further = filesBesideOwn('disks')
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
# A folder that may not be searched hides what is in it.
for file in ${further}; do [ -e "$file" ] || [ ! -x "\${file%/*}" ] || echo "gone $file"; done
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
  return parseFiles(parseLabelledLines(stdout), cluster, { identity, domains, ours, others })
}

function disksIn(path: string): Place {
  return { what: 'a folder of disks', folder: posix.dirname(path) }
}
