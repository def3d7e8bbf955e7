# Files in a storage pool: in its folder for a user who may write there; for others as volumes, which libvirt
# creates, fills and removes. Needs $pool_name. File names contain no line break.
#
# The calls and their options are those of virsh(1), "Volume commands"; --sparse is from libvirt 3.4. A volume has its
# name before its content, and libvirt cannot rename one (include/libvirt/libvirt-storage.h has no call for it). While one is uploaded, an empty volume
# <name>.talosmith-upload is beside it: the file does not count, and the next run uploads it again.
pool_marker=.talosmith-upload
pool_virsh() { virsh -q -c qemu:///system "$@"; }
# What the kernel allows this user: access lists and read-only file systems count, names of groups do not.
may_write() { [ -w "$1" ] && [ -x "$1" ]; }
may_read() { [ -r "$1" ]; }
is_complete() { [ -e "$1" ] && [ ! -e "$1$pool_marker" ]; }
in_pool() {
  [ "${1%/*}" = "$(pool_virsh pool-dumpxml "$pool_name" | sed -n 's|^ *<path>\(.*\)</path>$|\1|p' | head -n 1 | xml_decoded)" ]
}
# Files that others have created or removed are so for libvirt after a refresh; it fails while a volume is created.
pool_refresh() { pool_virsh pool-refresh "$pool_name" >/dev/null 2>&1 || true; }
pool_known() { pool_virsh vol-path "$1" >/dev/null 2>&1 || pool_refresh; }
xml_text() { sed 's/&/\&amp;/g; s/</\&lt;/g' <<<"$1"; }
xml_decoded() { sed "s/&lt;/</g; s/&gt;/>/g; s/&quot;/\"/g; s/&apos;/'/g; s/&amp;/\&/g"; }

# The files of a folder, a line each; fails if the user may not list it and it is not the pool's.
files_in() {
  local file line
  if may_read "$1" || [ ! -d "$1" ]; then
    for file in "$1"/*; do
      if [ -e "$file" ] && [[ $file != *[[:cntrl:]]* ]]; then printf '%s\n' "$file"; fi
    done
    return 0
  fi
  in_pool "$1/" || return 1
  pool_refresh
  pool_virsh vol-list "$pool_name" | while IFS= read -r line; do
    case $line in *"   $1/"*) printf '%s\n' "$1/${line##*"   $1/"}" ;; esac
  done
}

# Part of a file: peek <first byte> <bytes> <file>. The standard output must be a pipe.
peek() {
  if may_read "$3"; then
    dd if="$3" iflag=skip_bytes,count_bytes,fullblock skip="$1" count="$2" bs=64K status=none
  else
    pool_known "$3"
    pool_virsh vol-download --offset "$1" --length "$2" "$3" /dev/stdout
  fi
}

# Whether a file does not exist; fails also if a folder above it hides that.
is_missing() {
  local folder=${1%/*}
  while [ -n "$folder" ] && [ ! -d "$folder" ]; do folder=${folder%/*}; done
  [ ! -e "$1" ] && [ -x "${folder:-/}" ]
}

# The files of a disk's backing chain, from its top, a line each. Returns 1 if one is missing, 2 if that is not known.
pool_chain() {
  local link=$1 links='' hidden='' xml pool
  local -A fresh=()
  if links=$(qemu-img info -U --backing-chain -- "$1" 2>/dev/null | sed -n 's/^image: //p'); then
    printf '%s\n' "$links"
    return 0
  fi
  links=''
  for _ in {1..200}; do
    if [[ $link != /* ]]; then return 2; fi
    if [ ! -e "$link" ]; then
      if is_missing "$link"; then return 1; fi
      return 2
    fi
    links+=$link$'\n'
    if may_read "$link"; then
      xml=$(qemu-img info -U -- "$link" 2>/dev/null) || return 1
      link=$(sed -n -e 's/^backing file: .*(actual path: \(.*\))$/\1/p' -e t -e 's/^backing file: //p' <<<"$xml")
    else
      hidden=1
      pool_known "$link"
      pool=$(pool_virsh vol-pool "$link" 2>/dev/null) || return 2
      # libvirt reads the backing files only when it refreshes the pool; an older answer may name a former one.
      if [ -z "${fresh[$pool]-}" ]; then pool_virsh pool-refresh "$pool" >/dev/null 2>&1 || return 2; fi
      fresh[$pool]=1
      xml=$(pool_virsh vol-dumpxml "$link" 2>/dev/null) || return 2
      link=$(sed -n '/<backingStore>/,/<\/backingStore>/s|.*<path>\(.*\)</path>.*|\1|p' <<<"$xml" | xml_decoded)
    fi
    [ -n "$link" ] || break
  done
  # qemu-img has read all of it, and calls it broken.
  [ -n "$hidden" ] || return 1
  printf %s "$links"
}

# Removes files and folders.
pool_remove() {
  local file
  for file in "$@"; do
    if may_write "${file%/*}"; then
      rm -rf -- "$file" || return 1
    elif [ -e "$file" ]; then
      pool_known "$file"
      if ! pool_virsh vol-delete "$file" >/dev/null; then
        # libvirt removes only empty folders; a run of root that was killed leaves others.
        [ ! -d "$file" ] || echo "$file is a folder that only root may remove: rm -rf it as root" >&2
        return 1
      fi
    elif [ -d "${file%/*}" ] && [ ! -x "${file%/*}" ]; then
      echo "$file: Permission denied" >&2
      return 1
    fi
  done
}

# The folder of an unfinished transfer of an image: beside it, or in the user's cache on the host.
partial_folder() {
  if may_write "${1%/*}"; then
    printf '%s\n' "$1.partial"
  else
    printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/talosmith/images/${1##*/}.partial"
  fi
}

# An empty volume: pool_volume <file> <bytes>
pool_volume() {
  if ! in_pool "$1"; then
    echo "${1%/*}: Permission denied, and it is not the folder of the pool $pool_name" >&2
    return 1
  fi
  [ -e "$1" ] || pool_refresh
  pool_virsh vol-create "$pool_name" <(printf '<volume><name>%s</name><capacity unit="bytes">%s</capacity><allocation>0</allocation><target><format type="raw"/><permissions><mode>0644</mode></permissions></target></volume>' "${1##*/}" "$2") >/dev/null
}

# Uploads a local file as a volume that counts after pool_finish: pool_upload <local file> <file>
pool_upload() {
  # Chained, because `set -e` does not hold in a function of which the caller checks the result.
  { [ -e "$2$pool_marker" ] || pool_volume "$2$pool_marker" 0; } &&
    pool_remove "$2" &&
    # Another user's upload may have been finished since, which removes the marker.
    { [ -e "$2$pool_marker" ] || pool_volume "$2$pool_marker" 0; } &&
    pool_volume "$2" "$(stat -c %s -- "$1")" &&
    pool_virsh vol-upload --sparse --pool "$pool_name" "${2##*/}" "$1" >/dev/null
}
# Differs once another upload has replaced the file.
pool_identity() { stat -c '%d:%i %s %.9Y' -- "$1"; }
# pool_finish <file> [<its identity>]
pool_finish() {
  if [ -n "${2-}" ] && [ "$(pool_identity "$1")" != "$2" ]; then
    echo "another user is uploading $1" >&2
    return 1
  fi
  pool_remove "$1$pool_marker"
}

# A folder in which a file is made before pool_put: <folder of the file>/<name>, or a temporary one.
pool_work() {
  if may_write "${1%/*}"; then
    rm -rf -- "$1" && mkdir -- "$1" && printf '%s\n' "$1"
  else
    mktemp -d
  fi
}
# Moves a file from such a folder to the pool, where it replaces another one: pool_put <local file> <file>
pool_put() {
  chmod 0644 -- "$1"
  if may_write "${2%/*}"; then
    mv -fT -- "$1" "$2"
    rm -f -- "$2$pool_marker"
  else
    pool_upload "$1" "$2"
    pool_finish "$2"
  fi
}

# An overlay of an image; never replaces a file: pool_overlay <image> <file> <temporary file> <GiB>
pool_overlay() {
  if may_write "${2%/*}"; then
    rm -rf -- "$3"
    qemu-img create -q -f qcow2 -F raw -b "$1" "$3" "$4G"
    mv -nT -- "$3" "$2"
    if [ -e "$3" ]; then echo "$2 already exists: another process has created it" >&2; return 1; fi
  elif in_pool "$2"; then
    [ -e "$2" ] || pool_refresh
    pool_virsh vol-create "$pool_name" <(printf '<volume><name>%s</name><capacity unit="GiB">%s</capacity><allocation>0</allocation><target><format type="qcow2"/><compat>1.1</compat></target><backingStore><path>%s</path><format type="raw"/></backingStore></volume>' "${2##*/}" "$4" "$(xml_text "$1")") >/dev/null
  else
    echo "${2%/*}: Permission denied, and it is not the folder of the pool $pool_name" >&2
    return 1
  fi
}
# Grows a disk that no machine has open: pool_resize <file> <GiB>
pool_resize() {
  if [ -w "$1" ]; then
    qemu-img resize -q "$1" "$2G"
  else
    pool_known "$1"
    pool_virsh vol-resize "$1" "$2GiB" >/dev/null
  fi
}
