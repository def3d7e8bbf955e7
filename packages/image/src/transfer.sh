# Transfers an image in one pipeline: download, decompress, write a sparse file, and hash both streams. The
# compressed download is kept in a folder, beside the image if the user may write there, so that an interrupted
# transfer can be resumed. The image gets its final name, or is uploaded as a volume, when it is complete and verified.
#
# On stderr: `busy`, `waiting <seconds>` for the first byte, `at <bytes> <total>`.
# On stdout, one line: the result and its details (transfer.ts parses it).
image=$1         # path of the image
folder=$2        # of the unfinished transfer
url=$3           # '' if the complete compressed file is already in the folder
unpacker=$4      # zstd, xz, gzip or cat
expected=$5      # sha256 of the raw bytes, or ''
facts=$6         # the first members of the ledger, as JSON without the closing brace
offered_sum=$7   # sha256 of the compressed bytes, if the caller has fetched it, or ''
answer_within=$8 # seconds; the factory builds an image when it is first requested, which takes minutes
stalled_after=$9 # seconds without data

ended() {
  printf '%s\n' "$*"
  exit 0
}
forget() { rm -f compressed source raw; }
# Errors of programs are kept in a pipe: on a full disk a file could not hold them.
exec 6<> <(:) 9<> <(:)
errors() {
  local line all=''
  while IFS= read -rt 0.05 -u 6 line; do all+=" $line"; done
  [ "${#all}" -le 400 ] || all=${all: -400}
  printf '%s' "${all# }" | tr -s '\r\t ' ' '
}
pause() { read -rt "$1" -u 9 || :; } # never readable: sleeps without a process

# One transfer at a time: another cluster on this host may use the same image.
while :; do
  # Not the folder that it is in: a pool that is not there, or not mounted, must not be created.
  [ -d "$folder" ] || mkdir -m 700 -- "$folder" || [ -d "$folder" ] || exit 1
  exec 8>>"$folder/lock"
  flock -n 8 || until echo busy >&2; flock -w 5 8; do :; done
  # The previous owner of the lock may have removed the folder.
  [ "$folder/lock" -ef /proc/self/fd/8 ] && break
done
cd -- "$folder"
if is_complete "$image"; then
  rm -rf -- "$folder"
  ended exists
fi
rm -f raw raw.sum compressed.sum offered stalled
helpers=()
trap 'kill "${helpers[@]}" 2>/dev/null || :' EXIT

# --- Resume a partial download, or start one
touch compressed
have=$(stat -c %s compressed) total=0 validator='' old_url='' old_validator='' old_total=0
if [ -e source ]; then { read -r old_url; read -r old_validator; read -r old_total; } <source || :; fi
is_complete=''
if [ -z "$url" ]; then
  is_complete=1 total=$have
else
  if [ "$old_url" != "$url" ]; then have=0 old_total=0; : >compressed; fi
  if [ "$have" -gt 0 ] && [ "$have" = "$old_total" ]; then is_complete=1 total=$have; fi
fi

curl=''
if [ -z "$is_complete" ]; then
  range=()
  [ "$have" -eq 0 ] || range=(-r "$have-")
  exec 3< <(exec curl -sS -N -i -L --suppress-connect-headers --proto =http,https --connect-timeout 20 "${range[@]}" -- "$url" 2>&6)
  curl=$!
  helpers+=("$curl")
  waited=0
  until IFS= read -rN 1 -t 1 -u 3 first; do
    # Above 128: the read timed out; otherwise curl ended before the first byte.
    if [ $? -le 128 ]; then ended unanswered "$(errors)"; fi
    waited=$((waited + 1))
    echo "waiting $waited" >&2
    [ "$waited" -lt "$answer_within" ] || ended unanswered "no answer for $waited s"
  done
  status=0 length=0 start=0
  while IFS= read -r line <&3; do
    line=$first${line%$'\r'} first=''
    value=${line#*: }
    case ${line,,} in
      http/*) read -r _ status _ <<<"$line"; validator='' length=0 start=0 total=0 ;;
      content-length:*) length=$value ;;
      content-range:*) total=${value##*/} start=${value#bytes } start=${start%%-*} ;;
      etag:*) validator=$value ;;
      last-modified:*) [ -n "$validator" ] || validator=$value ;;
      # Redirects and 100 Continue are followed by another response.
      '') case $status in 1?? | 3??) ;; *) break ;; esac ;;
    esac
  done
  case $status in
    200) have=0 total=$length; : >compressed ;;
    206)
      if [ "$start" != "$have" ] || [ "$total" != "$old_total" ] || [ "$validator" != "$old_validator" ]; then
        forget
        ended changed
      fi
      ;;
    416) forget; ended changed ;;
    0 | 1?? | 3??) ended broken "$(errors)" ;;
    *) ended refused "$status" "$(head -c 400 <&3 | tr -s '\r\n\t ' ' ')" ;;
  esac
  printf '%s\n' "$url" "$validator" "$total" >source
fi

# --- Store, hash, decompress, hash and write in one pipeline
arrive() {
  [ "$have" -eq 0 ] || head -c "$have" compressed
  [ -n "$is_complete" ] || tee -a compressed <&3
}
# Copies stdin to stdout and writes its sha256 to a file; bash does not wait for >() by itself.
hashed() { tee >(digest >"$1") && wait $!; }
unpack() {
  case $unpacker in
    zstd) zstd -dcq ;;
    xz) xz -dcq -T0 ;;
    gzip) gzip -dc ;;
    cat) cat ;;
  esac
}
watch() {
  local size last=-1 idle=0
  while kill -0 $$ 2>/dev/null; do
    size=$(stat -c %s compressed)
    echo "at $size $total" >&2
    if [ "$size" != "$last" ]; then last=$size idle=0; else idle=$((idle + 1)); fi
    if [ "$idle" -ge "$stalled_after" ] && [ -n "$curl" ]; then
      touch stalled
      kill "$curl" 2>/dev/null || :
    fi
    pause 1
  done
}
(trap - EXIT; watch) 3<&- & watcher=$!
helpers+=("$watcher")
code=0
set +e
{
  arrive | {
    # Blocks of zeros become holes.
    hashed compressed.sum | unpack | hashed raw.sum | dd of=raw bs=128K iflag=fullblock conv=sparse status=none
  } 3<&-
} 2>&6
unpacked=$?
exec 3<&- # otherwise curl would block forever when the pipeline has failed
if [ -n "$curl" ]; then wait "$curl"; code=$?; fi
set -e
kill "$watcher" 2>/dev/null || :
arrived=$(stat -c %s compressed)
echo "at $arrived $total" >&2

if [ "$unpacked" != 0 ] || [ "$code" != 0 ]; then
  rm -f raw
  output=$(errors)
  if [[ ${output,,} =~ 'no space left'|'quota exceeded'|'file too large' ]]; then ended full "$output"; fi
  # 23 and 141: curl could not write its output, so a later program of the pipeline failed.
  case $code in
    0 | 23 | 141)
      forget
      ended damaged "$output"
      ;;
  esac
  if [ -e stalled ]; then ended broken "no data for $stalled_after s"; fi
  ended broken "$output"
fi
if [ "$total" -gt 0 ] && [ "$arrived" != "$total" ]; then ended broken "only $arrived of $total bytes arrived"; fi

sync raw & syncer=$!
offerer=''
if [ -n "$url" ]; then
  # The public factory responds with 402: it offers no checksums.
  curl -sSL --proto =http,https --connect-timeout 20 --max-time 120 --retry 3 -w '\n%{http_code}\n' -- "$url.sha256" >offered 2>&6 & offerer=$!
fi
wait "$syncer" || ended full "could not write raw"
read -r compressed_sum _ <compressed.sum
read -r raw_sum _ <raw.sum
raw_sum=${raw_sum:0:64} compressed_sum=${compressed_sum:0:64}
raw_bytes=$(stat -c %s raw)

# --- Verify
if [ -n "$offerer" ]; then
  wait "$offerer" || ended broken "no response to $url.sha256: $(errors)"
  offered_status=$(tail -n 1 offered)
  case $offered_status in
    200) read -r offered_sum _ <offered ;;
    5?? | 429) ended broken "$url.sha256 responded with $offered_status" ;;
  esac
fi
[[ $offered_sum =~ ^[0-9a-f]{64}$ ]] || offered_sum=''
if [ -n "$offered_sum" ] && [ "$offered_sum" != "$compressed_sum" ]; then
  rm -rf -- "$folder"
  ended checksum-differs "$offered_sum" "$compressed_sum"
fi
if ! is_disk raw; then
  rm -rf -- "$folder"
  ended not-raw "$raw_bytes"
fi
if [ -n "$expected" ] && [ "$raw_sum" != "$expected" ]; then
  rm -rf -- "$folder"
  ended sha256-differs "$raw_bytes" "$raw_sum"
fi

ledger() {
  printf '%s,"compressed":{"bytes":%s,"sha256":"%s"},"raw":{"bytes":%s,"sha256":"%s"},"at":"%s","modified":"%s"}\n' \
    "$facts" "$arrived" "$compressed_sum" "$raw_bytes" "$raw_sum" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(stat -c %.9Y "$1")" >ledger
}
if may_write "$(dirname -- "$image")"; then
  # --- Rename into place; if this is interrupted, the next run verifies what exists
  ledger raw
  chmod 0644 raw ledger
  sync ledger
  mv -f -T -- ledger "$image.ledger.json"
  mv -f -T -- raw "$image"
  rm -f -- "$image$pool_marker"
  sync -- "$(dirname -- "$image")"
else
  if is_complete "$image"; then # another user was faster
    rm -rf -- "$folder"
    ended exists
  fi
  # --- Upload; if this is interrupted, the image does not count, and the next run uploads it again
  beat() { while kill -0 $$ 2>/dev/null; do echo "at $arrived $total" >&2; pause 1; done; }
  (trap - EXIT; beat) & helpers+=("$!")
  pool_upload raw "$image" 2>&6 || upload_failed=1
  if [ -n "${upload_failed-}" ]; then
    output=$(errors)
    if [[ ${output,,} =~ 'no space left'|'quota exceeded'|'file too large' ]]; then ended full "$output"; fi
    echo "$output" >&2
    exit 1
  fi
  uploaded=$(pool_identity "$image")
  uploaded_sum=$(peek 0 "$raw_bytes" "$image" | digest)
  if [ "${uploaded_sum:0:64}" != "$raw_sum" ] || [ "$(stat -c %s -- "$image")" != "$raw_bytes" ]; then
    echo "the volume differs from what was uploaded: $(stat -c %s -- "$image") bytes, sha256 ${uploaded_sum:0:64}" >&2
    exit 1
  fi
  ledger "$image"
  pool_put ledger "$image.ledger.json"
  pool_finish "$image" "$uploaded"
fi
rm -rf -- "$folder"
ended placed "$arrived" "$compressed_sum" "$raw_bytes" "$raw_sum" "${offered_sum:+checked}"
