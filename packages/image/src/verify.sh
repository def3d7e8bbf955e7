# Hashes an image. Argument: its path. Output: bytes, sha256, modification time, and `disk` or the first four bytes.
image=$1
bytes=$(stat -L -c %s -- "$image")
if [ "$(peek 510 2 "$image" | od -An -tx1 | tr -d ' ')" = 55aa ]; then
  start=disk
else
  start=$(peek 0 4 "$image" | od -An -tx1 | tr -d ' ')
fi
sum=$(peek 0 "$bytes" "$image" | digest | cut -d' ' -f1)
echo "$bytes $sum $(stat -L -c %.9Y -- "$image") $start"
