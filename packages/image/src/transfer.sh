# Transfers an image in one pipeline: the network feeds the decompressor, which feeds a sparse file, and
# both streams are hashed on the way. What arrives is kept compressed in a folder beside the image, so
# that a broken transfer is resumed. The image appears under its name when all of it is there and right.
#
# On stderr: `busy`, `waiting <seconds>` for the first byte, `at <bytes> <total>`.
# On stdout, one line: how it ended, and what belongs to that (transfer.ts reads it).
image=$1         # where the image goes
url=$2           # '' when the whole compressed file lies in the folder already
unpacker=$3      # zstd, xz, gzip or cat
expected=$4      # sha256 of the raw bytes, or ''
facts=$5         # the ledger's first members, as JSON without its last brace
offered_sum=$6   # sha256 of the compressed bytes, where the caller asked for it
answer_within=$7 # seconds; the factory builds what nobody asked for before, which takes minutes
stalled_after=$8 # seconds without a byte
folder=$image.partial

ended() {
  printf '%s\n' "$*"
  exit 0
}
forget() { rm -f compressed source raw; }
# What programs complain about goes into a pipe: on a full disk a file could not hold it.
exec 6<> <(:) 9<> <(:)
errors() {
  local line all=''
  while IFS= read -rt 0.05 -u 6 line; do all+=" $line"; done
  [ "${#all}" -le 400 ] || all=${all: -400}
  printf '%s' "${all# }" | tr -s '\r\t ' ' '
}
pause() { read -rt "$1" -u 9 || :; } # nothing ever comes from there

# One transfer at a time: another cluster of this host may want the same image.
while :; do
  mkdir -p -m 700 -- "$folder"
  exec 8>>"$folder/lock"
  flock -n 8 || { echo busy >&2; flock 8; }
  # Who had it before may have removed the folder when done.
  [ "$folder/lock" -ef /proc/self/fd/8 ] && break
done
cd -- "$folder"
[ ! -e "$image" ] || { rm -rf -- "$folder"; ended there; }
rm -f raw raw.sum compressed.sum offered stalled
helpers=()
trap 'kill "${helpers[@]}" 2>/dev/null || :' EXIT

# --- What is here already, and the rest of it from the network
touch compressed
have=$(stat -c %s compressed) total=0 mark='' old_url='' old_mark='' old_total=0
if [ -e source ]; then { read -r old_url; read -r old_mark; read -r old_total; } <source || :; fi
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
    # Above 128 a second went by; otherwise the transfer ended before anything came.
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
      http/*) read -r _ status _ <<<"$line"; mark='' length=0 start=0 total=0 ;;
      content-length:*) length=$value ;;
      content-range:*) total=${value##*/} start=${value#bytes } start=${start%%-*} ;;
      etag:*) mark=$value ;;
      last-modified:*) [ -n "$mark" ] || mark=$value ;;
      # Redirections and 100 Continue are followed by another answer.
      '') case $status in 1?? | 3??) ;; *) break ;; esac ;;
    esac
  done
  case $status in
    200) have=0 total=$length; : >compressed ;;
    206)
      if [ "$start" != "$have" ] || [ "$total" != "$old_total" ] || [ "$mark" != "$old_mark" ]; then
        forget
        ended changed
      fi
      ;;
    416) forget; ended changed ;;
    0 | 1?? | 3??) ended broken "$(errors)" ;;
    *) ended refused "$status" "$(head -c 400 <&3 | tr -s '\r\n\t ' ' ')" ;;
  esac
  printf '%s\n' "$url" "$mark" "$total" >source
fi

# --- Keep, hash, unpack, hash and write while it arrives
arrive() {
  [ "$have" -eq 0 ] || head -c "$have" compressed
  [ -n "$is_complete" ] || tee -a compressed <&3
}
# Passes its input on and writes the sha256 of it to a file; bash waits for no >() by itself.
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
    # Zeros become holes.
    hashed compressed.sum | unpack | hashed raw.sum | dd of=raw bs=128K iflag=fullblock conv=sparse status=none
  } 3<&-
} 2>&6
unpacked=$?
exec 3<&- # or a transfer whose bytes nobody takes would never end
if [ -n "$curl" ]; then wait "$curl"; code=$?; fi
set -e
kill "$watcher" 2>/dev/null || :
arrived=$(stat -c %s compressed)
echo "at $arrived $total" >&2

if [ "$unpacked" != 0 ] || [ "$code" != 0 ]; then
  rm -f raw
  said=$(errors)
  if [[ ${said,,} =~ 'no space left'|'quota exceeded'|'file too large' ]]; then ended full "$said"; fi
  # 23 and 141: it could not hand on its bytes, so the fault lies further down.
  case $code in
    0 | 23 | 141)
      forget
      ended damaged "$said"
      ;;
  esac
  if [ -e stalled ]; then ended broken "no byte came for $stalled_after s"; fi
  ended broken "$said"
fi
if [ "$total" -gt 0 ] && [ "$arrived" != "$total" ]; then ended broken "only $arrived of $total bytes arrived"; fi

sync raw & syncer=$!
offerer=''
if [ -n "$url" ]; then
  # The public factory answers 402: it offers none.
  curl -sSL --proto =http,https --connect-timeout 20 --max-time 120 --retry 3 -w '\n%{http_code}\n' -- "$url.sha256" >offered 2>&6 & offerer=$!
fi
wait "$syncer" || ended full "could not write raw"
read -r compressed_sum _ <compressed.sum
read -r raw_sum _ <raw.sum
raw_sum=${raw_sum:0:64} compressed_sum=${compressed_sum:0:64}
raw_bytes=$(stat -c %s raw)

# --- Is it what it has to be?
if [ -n "$offerer" ]; then
  wait "$offerer" || ended broken "no answer to $url.sha256: $(errors)"
  offered_status=$(tail -n 1 offered)
  case $offered_status in
    200) read -r offered_sum _ <offered ;;
    5?? | 429) ended broken "$url.sha256 answered $offered_status" ;;
  esac
fi
[[ $offered_sum =~ ^[0-9a-f]{64}$ ]] || offered_sum=''
if [ -n "$offered_sum" ] && [ "$offered_sum" != "$compressed_sum" ]; then
  rm -rf -- "$folder"
  ended unlike-offered "$offered_sum" "$compressed_sum"
fi
if ! is_disk raw; then
  rm -rf -- "$folder"
  ended no-disk "$raw_bytes"
fi
if [ -n "$expected" ] && [ "$raw_sum" != "$expected" ]; then
  rm -rf -- "$folder"
  ended unlike-known "$raw_bytes" "$raw_sum"
fi

# --- Put it in place; where this is cut off, the next run looks at what there is
modified=$(stat -c %.9Y raw)
printf '%s,"compressed":{"bytes":%s,"sha256":"%s"},"raw":{"bytes":%s,"sha256":"%s"},"at":"%s","modified":"%s"}\n' \
  "$facts" "$arrived" "$compressed_sum" "$raw_bytes" "$raw_sum" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$modified" >ledger
chmod 0644 raw ledger
sync ledger
mv -f -T -- ledger "$image.ledger.json"
mv -f -T -- raw "$image"
sync -- "$(dirname -- "$image")"
rm -rf -- "$folder"
ended placed "$arrived" "$compressed_sum" "$raw_bytes" "$raw_sum" "${offered_sum:+checked}"
