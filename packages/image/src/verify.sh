# Hashes an image. Argument: its path. Output: lines with bytes, sha256, modified, and start: `disk` or the first four bytes.
image=$1
bytes=$(stat -L -c %s -- "$image")
if [ "$(peek 510 2 "$image" | od -An -tx1 | tr -d ' ')" = 55aa ]; then
  start=disk
else
  start=$(peek 0 4 "$image" | od -An -tx1 | tr -d ' ')
fi
sum=$(peek 0 "$bytes" "$image" | digest | cut -d' ' -f1)
printf '%s\n' "bytes $bytes" "sha256 $sum" "modified $(stat -L -c %.9Y -- "$image")" "start $start"
