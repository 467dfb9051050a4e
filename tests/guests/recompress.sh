#!/bin/sh
# recompress.sh IMAGE gzip|xz|zstd|lz4|none [early]
#
# Rewrites an initramfs as another compressor leaves it, optionally with an
# uncompressed early-microcode archive in front, as initramfs-tools and dracut
# put it there when intel-microcode or amd64-microcode is installed.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
image=$1 form=$2 early=${3-}
t=$(mktemp -d); trap 'rm -rf "$t"' EXIT
case $(od -An -tx1 -N4 "$image" | tr -d ' ') in
    1f8b*) gzip -dc "$image" ;;
    fd377a58) xz -dc "$image" ;;
    28b52ffd) zstd -dqc "$image" ;;
    02214c18) lz4 -dqc "$image" ;;
    *) cat "$image" ;;
esac >"$t/main"
: >"$t/out"
if [ -n "$early" ]; then
    mkdir -p "$t/e/kernel/x86/microcode"
    head -c 12345 /dev/zero | tr '\0' 'm' >"$t/e/kernel/x86/microcode/GenuineIntel.bin"
    (cd "$t/e" && find . | sort | cpio --quiet --reproducible -R 0:0 -o -H newc) >"$t/out"
fi
case $form in
    gzip) gzip -n -6 ;;
    xz) xz --check=crc32 -1 ;;          # what the kernel's decoder knows
    zstd) zstd -q -3 ;;
    lz4) lz4 -q -l -1 ;;
    none) cat ;;
    *) echo "recompress.sh: $form?" >&2; exit 2 ;;
esac <"$t/main" >>"$t/out"
cat "$t/out" >"$image"
