#!/bin/bash
# xva.sh [MIB [ROUNDS]] - the XVA against the VHD of the same disk, and against
# Xen Orchestra's own XVA writer; interleaved, medians of wall seconds.
# Prints a row for each: | case | rehost | other | other / rehost |
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/.."
top=$PWD mib=${1:-512} rounds=${2:-5}
build=$top/${REHOST_BUILD:-build} rehost=$top/${REHOST_BUILD:-build}/rehost
work=$(mktemp -d "${TMPDIR:-/var/tmp}/rehost-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
# On a busy machine wall time says nothing unless others wait.
fair=
! chrt -f 10 true 2>/dev/null || fair="chrt -f 10"

# Three quarters data, half of which deflates; the rest zeros in between.
python3 - "$work/in.raw" "$mib" <<'PY'
import random, sys
r = random.Random(1)
block = r.randbytes(1 << 19) + bytes(r.choice(b"abcdefgh ") for _ in range(1 << 19))
with open(sys.argv[1], "wb") as f:
    for i in range(int(sys.argv[2])):
        if i % 4 != 3:
            f.write(i.to_bytes(8, "big") + block[8:])
        else:
            f.seek(1 << 20, 1)
    f.truncate(int(sys.argv[2]) << 20)
PY
qemu-img convert -f raw -O vpc -o force_size=on "$work/in.raw" "$work/in.vhd"

seconds() { # NAME COMMAND...: adds its wall seconds to the file NAME
    local name=$1 start
    shift
    start=$(date +%s.%N)
    "$@" >/dev/null 2>"$work/error" ||
        { cat "$work/error" >&2; echo "xva.sh: $name failed" >&2; exit 1; }
    echo "$(date +%s.%N) $start" | awk '{ print $1 - $2 }' >>"$work/$name"
}
median() {
    sort -n "$work/$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}
row() { # TEXT OURS OTHER
    awk -v t="$1" -v a="$(median "$2")" -v b="$(median "$3")" \
        'BEGIN { printf "| %s | %.2f s | %.2f s | %.2f |\n", t, a, b, b / a }'
}
peer=$build/judges-xen
tests/judges/xen/get.sh "$peer" 2>/dev/null || peer=
convert() { # FORMAT
    rm -rf "$work/$1.out"
    $fair "$rehost" convert "$work/in.vhd" --to xen --format "$1" \
        --no-guest-fix --set memory=1GiB --set cpus=2 --out "$work/$1.out"
}
for _ in $(seq "$rounds"); do
    seconds xva convert xva
    seconds vhd convert vhd
    [ -z "$peer" ] ||
        seconds peer $fair node "$peer/peer-xva.mjs" "$work/peer.xva" "$work/in.vhd"
done
echo "| $mib MiB disk, $((mib * 3 / 4)) MiB data | rehost XVA | other | ratio |"
echo "|---|---|---|---|"
row "XVA with SHA-1 against VHD" xva vhd
if [ -n "$peer" ]; then
    row "XVA against Xen Orchestra's writer" xva peer
else
    echo "| Xen Orchestra's writer | | npm cannot install it | |"
fi
