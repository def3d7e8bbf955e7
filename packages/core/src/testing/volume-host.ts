/** A host whose user may not write in the folder of the pool, with a stand-in for virsh that knows its volumes. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostOver } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { localTransport } from '../process/local-transport.ts'
import { runner } from '../process/run.ts'
import { temporaryFolder } from './temporary-folder.ts'

const mayWrite = 'may_write() { [ -w "$1" ] && [ -x "$1" ]; }'
const mayRead = 'may_read() { [ -r "$1" ]; }'

/**
 * This machine as such a host; `folder` is that of the pool, without characters that a shell would need quotes for. The
 * rights are those that pool-files.sh finds: tests also run as root, whom no folder refuses. While the file
 * `<folder>.breaks` exists, uploads end half-way; while `<folder>.busy` does, the pool cannot be refreshed. The user may
 * neither read nor write files whose names begin with `secret`.
 */
export function volumeHost(folder: string): Host {
  const bin = temporaryFolder('volumes')
  writeFileSync(join(bin, 'virsh'), `#!/bin/bash\nfolder=${folder}\n${virsh}`)
  chmodSync(join(bin, 'virsh'), 0o755)
  writeFileSync(join(bin, 'qemu-img'), `#!/bin/bash\n${qemuImg}`)
  chmodSync(join(bin, 'qemu-img'), 0o755)
  const refused = (text: string): string =>
    text
      .replaceAll(
        mayWrite,
        `may_write() { [ "$1" != ${folder} ] && [[ \${1##*/} != secret* ]] && [ -w "$1" ]; }`,
      )
      .replaceAll(mayRead, 'may_read() { [[ ${1##*/} != secret* ]]; }')
  const run = runner('this machine', localTransport)
  const cache = { XDG_CACHE_HOME: join(bin, 'cache') }
  return hostOver(
    (command, { env = {}, ...options }) =>
      run(`PATH=${bin}:$PATH\n${refused(command)}`, {
        ...options,
        env: {
          ...cache,
          ...Object.fromEntries(Object.entries(env).map(([key, text]) => [key, refused(text)])),
        },
      }),
    { name: 'this machine', isLocal: true, close: async () => undefined },
  )
}

/** Refuses chains that lead to a file that the user may not read. */
const qemuImg = `
PATH=\${PATH#*:}
if [ "$1" = info ] && qemu-img info -U "\${@:2}" | grep -q '^image: .*/secret[^/]*$'; then echo 'Permission denied' >&2; exit 1; fi
exec qemu-img "$@"
`

/** As a real virsh does it, with the texts of its errors (libvirt 9.0). */
const virsh = `
set -euo pipefail
shift 3
verb=$1 from=0 count=99999999999 words=()
shift
while [ $# -gt 0 ]; do
  case $1 in
    --offset) from=$2; shift 2 ;;
    --length) count=$2; shift 2 ;;
    --pool) shift 2 ;;
    --*) shift ;;
    *) words+=("$1"); shift ;;
  esac
done
set -- "\${words[@]}"
volume() { case $1 in /*) file=$1 ;; *) file=$folder/$1 ;; esac; [ -e "$file" ] || { echo "error: failed to get vol '$1'" >&2; exit 1; }; }
text() { sed -n "s|.*<$1[^>]*>\\([^<]*\\)</$1>.*|\\1|p" <<<"$xml"; }
case $verb in
  pool-dumpxml) printf '<pool>\\n  <target>\\n    <path>%s</path>\\n' "$folder" ;;
  pool-refresh)
    if [ -e "$folder.busy" ]; then echo "error: Failed to refresh pool $1" >&2; exit 1; fi
    rm -rf "$folder.known" "$folder.chains" ;;
  vol-list) for file in "$folder"/*; do printf ' %s   %s\\n' "\${file##*/}" "$file"; done ;;
  vol-pool)
    volume "$1"
    if [ "\${file%/*}" != "$folder" ]; then echo "error: failed to get vol '$1'" >&2; exit 1; fi
    echo default ;;
  vol-dumpxml)
    volume "$1"
    mkdir -p "$folder.chains"
    if [ ! -e "$folder.chains/\${file##*/}" ]; then
      PATH=\${PATH#*:} qemu-img info -U "$file" | sed -n 's/^backing file: //p' >"$folder.chains/\${file##*/}"
    fi
    below=$(sed 's/&/\\&amp;/g' "$folder.chains/\${file##*/}")
    echo '<volume>'
    [ -z "$below" ] || printf '  <backingStore>\\n    <path>%s</path>\\n  </backingStore>\\n' "$below"
    echo '</volume>' ;;
  vol-path) volume "$1"; echo "$file" ;;
  vol-create)
    xml=$(cat "$2") name=$(text name)
    if [ -e "$folder/$name" ] || [ -e "$folder.known/$name" ]; then echo "error: storage volume '$name' exists already" >&2; exit 1; fi
    if [[ $xml = *backingStore* ]]; then
      qemu-img create -q -f qcow2 -F raw -b "$(text path)" "$folder/$name" "$(text capacity)G"
    else
      truncate -s "$(text capacity)" "$folder/$name"
      chmod "$(text mode)" "$folder/$name"
    fi
    mkdir -p "$folder.known"
    touch "$folder.known/$name" ;;
  vol-upload)
    volume "$1"
    if [ -e "$folder.breaks" ]; then dd if="$2" of="$file" bs=4096 count=1 conv=notrunc status=none; echo 'error: cannot close volume' >&2; exit 1; fi
    dd if="$2" of="$file" bs=64K conv=notrunc,sparse status=none ;;
  vol-download) volume "$1"; dd if="$file" iflag=skip_bytes,count_bytes skip="$from" count="$count" status=none >"$2" ;;
  vol-delete)
    volume "$1"
    if [ -d "$file" ]; then rmdir -- "$file"; else rm -- "$file"; fi
    rm -rf -- "$folder.known/\${file##*/}" ;;
  vol-resize) volume "$1"; qemu-img resize -q "$file" "\${2%iB}" ;;
  *) echo "error: unknown command: '$verb'" >&2; exit 1 ;;
esac
`
