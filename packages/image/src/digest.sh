# sha256 of standard input, as "<hex> ...". Without its processor's instructions for it, which coreutils
# uses only when built with OpenSSL, a hash takes five times as long as the rest of the transfer.
nothing=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
if [ "$(openssl dgst -sha256 -r </dev/null 2>/dev/null | cut -d' ' -f1)" = "$nothing" ]; then
  digest() { openssl dgst -sha256 -r; }
else
  digest() { sha256sum; }
fi
# Whether a file starts as a disk does: the last two bytes of its first sector.
is_disk() { [ "$(od -An -tx1 -j510 -N2 -- "$1" | tr -d ' ')" = 55aa ]; }
