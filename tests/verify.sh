#!/bin/bash
# rehost verify: 100 single bytes of each kind of result are changed, one at a
# time, in disks, headers, tables, padding and documents; each is found.
# SPDX-License-Identifier: LGPL-2.1-or-later
IN_MEMORY=1
. "$(dirname "$0")/lib.sh"

: "${CHANGES:=100}"
make_disk "$SCRATCH/disk.raw" 2097152
python3 - "$SCRATCH/disk.raw" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:  # what packs well, and a hole
    f.truncate(7 << 20)
    f.seek(5 << 20)
    f.write(b"".join(b"line %d\n" % (i % 999) for i in range(60000)))
PY
OVA=$SCRATCH/box.ova
python3 "$TOP/tests/guests/mkova.py" --name box "$OVA" "$SCRATCH/disk.raw" >/dev/null || exit 1
cat >"$SCRATCH/change.py" <<'PY'
import os, random, subprocess, sys
rehost, ova, result, count = sys.argv[1:4] + [int(sys.argv[4])]
random.seed(17)
files = sorted(os.listdir(result))
big = max(files, key=lambda f: os.path.getsize(os.path.join(result, f)))
size = os.path.getsize(os.path.join(result, big))
small = [f for f in files if f != big]
places = [(big, p) for p in (0, 5, 511, 512, size - 1, size - 512)]
places += [(f, random.randrange(os.path.getsize(os.path.join(result, f))))
           for f in small for _ in range(2)]
rest = count - len(places)  # a third where headers and tables are, the others all over
places += [(big, random.randrange(min(size, 400000))) for _ in range(rest // 3)]
rest -= rest // 3
places += [(big, size * i // rest + random.randrange(size // rest)) for i in range(rest)]
missed = []
for name, at in places:
    with open(os.path.join(result, name), "r+b") as f:
        f.seek(at)
        was = f.read(1)
        now = bytes([was[0] ^ 1 << random.randrange(8)])
        f.seek(at)
        f.write(now)
        f.flush()
        status = subprocess.run([rehost, "verify", ova, result],
                                capture_output=True).returncode
        if status not in (1, 3):
            missed.append("%s at %d: %s -> %s: %d" % (name, at, was.hex(), now.hex(), status))
        f.seek(at)
        f.write(was)
print(len(places), *missed, sep="\n")
PY

found_everywhere() { # OPTION...
    run "$REHOST" convert "$OVA" --out out --no-guest-fix "$@"
    expect_status 0
    run "$REHOST" verify "$OVA" out/box
    expect_status 0
    expect_stdout '^verified$'
    run python3 "$SCRATCH/change.py" "$REHOST" "$OVA" out/box "$CHANGES"
    expect_status 0
    expect_equal "$(cat .stdout)" "$CHANGES" "changes, and those that were missed"
    run "$REHOST" verify "$OVA" out/box
    expect_status 0
}
test_qcow2() { found_everywhere --to kvm; }
test_qcow2_zlib() { found_everywhere --to kvm --compress zlib; }
test_qcow2_zstd() { found_everywhere --to kvm --compress zstd; }
test_qcow2_kept() { found_everywhere --to kvm --compress keep; }
test_raw() { found_everywhere --to kvm --format raw; }
test_vhd() { found_everywhere --to xen --format vhd; }
test_xva() { found_everywhere --to xen; }
test_xva_zstd() { found_everywhere --to xen --compress zstd; }

# What a digest says is a promise, in old receipts and new ones: here all of the
# file is frame, by another hand.
cat >"$SCRATCH/frame.py" <<'PY'
import ctypes, struct, sys
class Hash(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]
xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_128bits
xxh3.restype, xxh3.argtypes = Hash, [ctypes.c_char_p, ctypes.c_size_t]
how, data = sys.argv[1], open(sys.argv[2], "rb").read()
if how == "2":
    total = 0
    for at in range(0, len(data), 512):
        sector = data[at:at + 512].ljust(512, b"\0")
        if any(sector):
            h = xxh3(sector, 512)
            h = xxh3(struct.pack("<QQQ", at, h.low, h.high), 24)
            total += h.low + (h.high << 64)
    print("2:%032x" % (total % (1 << 128)))
else:
    steps = [(at, data[at:at + 65536]) for at in range(0, len(data), 65536)]
    text = b"".join(struct.pack("<QQ", at, len(s)) + s for at, s in steps if any(s))
    h = xxh3(text, len(text))
    print("%016x%016x" % (h.high, h.low))
PY
with_digest() { # HEX: the receipt, sealed anew
    python3 - "$1" <<'PY'
import hashlib, json, re, sys
receipt = json.load(open("out/box/receipt.json"))
(receipt["archive"] or receipt["disks"][0])["frame_digest"] = sys.argv[1]
receipt["seal"] = "0" * 64
text = json.dumps(receipt, indent=2)
text = text.replace('"seal": "' + "0" * 64, '"seal": "' + hashlib.sha256(text.encode()).hexdigest())
open("out/box/receipt.json", "w").write(text)
PY
}
test_old_receipts_count() {
    run "$REHOST" convert "$OVA" --out out --no-guest-fix --to kvm --compress keep
    expect_json '.disks[0].frame_digest' "$(python3 "$SCRATCH/frame.py" 2 out/box/disk0.qcow2)" out/box/receipt.json
    with_digest "$(python3 "$SCRATCH/frame.py" 1 out/box/disk0.qcow2)"
    run "$REHOST" verify "$OVA" out/box
    expect_status 0
    CHANGES=30
    run python3 "$SCRATCH/change.py" "$REHOST" "$OVA" out/box "$CHANGES"
    expect_equal "$(cat .stdout)" "$CHANGES" "changes, and those that were missed"
}

# Two disks in one archive, with the guest's own bytes in neither's frame.
test_two_disks() {
    make_disk two.raw 3145728 two
    python3 "$TOP/tests/guests/mkova.py" --name box two.ova "$SCRATCH/disk.raw" two.raw >/dev/null
    OVA=$PWD/two.ova CHANGES=30
    found_everywhere --to xen
}
test_a_file_that_is_longer_or_gone() {
    run "$REHOST" convert "$OVA" --to kvm --out out --no-guest-fix
    expect_status 0
    printf x >>out/box/disk0.qcow2
    run "$REHOST" verify "$OVA" out/box
    expect_error VERIFY_DIFFERS 1
    truncate -s -1 out/box/disk0.qcow2
    rm out/box/proxmox.conf
    run "$REHOST" verify "$OVA" out/box
    expect_stderr 'proxmox\.conf'
}
# Files that a user adds are his own; sparse or not is no difference.
test_a_copy_is_as_good() {
    run "$REHOST" convert "$OVA" --to kvm --format raw --out out --no-guest-fix
    expect_status 0
    cp -r --sparse=never out/box copy
    touch copy/notes
    run "$REHOST" verify "$OVA" copy
    expect_status 0
}
run_tests
