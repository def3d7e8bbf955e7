# Hashes an image. Argument: its path. Output: bytes, sha256, modification time, and `disk` or the first four bytes.
image=$1
bytes=$(stat -L -c %s -- "$image")
if is_disk "$image"; then start=disk; else start=$(od -An -tx1 -N4 -- "$image" | tr -d ' '); fi
sum=$(digest <"$image" | cut -d' ' -f1)
echo "$bytes $sum $(stat -L -c %.9Y -- "$image") $start"
