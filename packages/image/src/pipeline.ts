/**
 * The transfer, as a bash program that runs on the host: the network feeds the decompressor, which feeds a
 * sparse file; both sides are hashed on the way. What has arrived is kept compressed in the folder, so that
 * a broken transfer is carried on: the kept part goes through the pipe again, then the rest of the network.
 *
 * Arguments: folder, url ('' when the whole compressed file lies in the folder already), decompressor.
 * Progress on stderr: `at <bytes> <total>`. Answer on stdout: bytes and sha256, compressed then raw.
 */
export const pipeline = `
set -euo pipefail
folder=$1 url=$2 tool=$3
mkdir -p "$folder"; cd "$folder"
rm -f raw compressed.fifo raw.fifo compressed.sum raw.sum
touch compressed
have=$(stat -c %s compressed) total=0
if [ -n "$url" ]; then
  # The first byte of an image that nobody asked for before takes minutes: the factory builds it.
  probe=$(curl -fsSL --connect-timeout 20 --max-time 1200 --retry 4 --retry-delay 2 -r 0-0 -D - -o /dev/null "$url")
  total=$(printf %s "$probe" | tr -d '\\r' | sed -n 's|^[Cc]ontent-[Rr]ange: bytes 0-0/||p' | tail -n 1)
  if [ -z "$total" ]; then
    # This server can't carry on in the middle.
    total=0 have=0; : > compressed
  elif [ "$have" -gt "$total" ]; then
    have=0; : > compressed
  fi
else
  total=$have
fi
mkfifo compressed.fifo raw.fifo
sha256sum < compressed.fifo > compressed.sum & c=$!
sha256sum < raw.fifo > raw.sum & r=$!
( while sleep 1; do echo "at $(stat -c %s compressed) $total" >&2; done ) & p=$!
trap 'kill $p $c $r 2>/dev/null || true' EXIT
unpack() {
  case $tool in
    zstd) zstd -dcq ;;
    xz) xz -dcq -T0 ;;
    gzip) gzip -dc ;;
    cat) cat ;;
  esac
}
rest() {
  [ -n "$url" ] || return 0
  if [ "$total" -gt 0 ] && [ "$have" -ge "$total" ]; then return 0; fi
  range=(); [ "$have" -eq 0 ] || range=(-r "$have-")
  curl -fsSL --connect-timeout 20 --speed-limit 1000 --speed-time 60 "\${range[@]}" "$url" | tee -a compressed
}
{ head -c "$have" compressed; rest; } | tee compressed.fifo | unpack | tee raw.fifo | dd of=raw bs=128K iflag=fullblock conv=sparse status=none
wait $c; wait $r
arrived=$(stat -c %s compressed)
if [ "$total" -gt 0 ] && [ "$arrived" -ne "$total" ]; then echo "only $arrived of $total bytes arrived" >&2; exit 18; fi
sync raw
echo "$arrived $(cut -d' ' -f1 compressed.sum)"
echo "$(stat -c %s raw) $(cut -d' ' -f1 raw.sum)"
`
