#!/bin/sh
# signpe.sh FILE microsoft|cross|test [LISTED...] -- put an Authenticode
# signature into a PE file, by certificates that have the names that Windows' own
# or a test certificate would have.  A FILE that ends in .cat is written anew: a
# catalog that lists the other files.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
file=$1 kind=$2
shift 2
# Keys are made once in a folder, for all that is signed there.
w=${KEYS-$(mktemp -d)}
[ -n "${KEYS-}" ] || trap 'rm -rf "$w"' EXIT
mkdir -p "$w"
case $kind in
    microsoft) root='Microsoft Root Certificate Authority 2010' leaf='Microsoft Windows Hardware Compatibility Publisher' ;;
    cross) root='Microsoft Code Verification Root' leaf='Red Hat, Inc.' ;;
    test) root='' leaf='virtio-win' ;;
esac
key='-newkey rsa:2048 -nodes -sha256 -days 3650'
if [ -e "$w/$kind.pem" ]; then
    :
elif [ -n "$root" ]; then
    openssl req -x509 $key -subj "/CN=$root" -keyout "$w/root.key" -out "$w/root.pem" 2>/dev/null
    openssl req $key -subj "/CN=$leaf" -keyout "$w/$kind.key" -out "$w/leaf.csr" 2>/dev/null
    openssl x509 -req -in "$w/leaf.csr" -CA "$w/root.pem" -CAkey "$w/root.key" \
        -set_serial 2 -days 3650 -out "$w/$kind.pem" 2>/dev/null
else
    openssl req -x509 $key -subj "/O=virtio-win/OU=Dev/CN=$leaf" -keyout "$w/$kind.key" \
        -out "$w/$kind.pem" 2>/dev/null
fi
python3 - "$file" "$w/$kind" "$@" <<'EOF'
import hashlib, struct, subprocess, sys
name, key, listed = sys.argv[1], sys.argv[2], sys.argv[3:]


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    head = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else b"\x82" + struct.pack(">H", n)
    return bytes([tag]) + head + body


def entry(pe):
    at, = struct.unpack_from("<I", pe, 60)
    magic, = struct.unpack_from("<H", pe, at + 24)
    return at + 24 + 64, at + 24 + (112 if magic == 0x20b else 96) + 32


def image_digest(pe):                     # of a file that has no signature yet
    checksum, e = entry(pe)
    return hashlib.sha256(pe[:checksum] + pe[checksum + 4:e] + pe[e + 8:]).digest()


SHA256 = der(0x30, bytes.fromhex("0609608648016503040201"), b"\5\0")
SPC_PE = der(0x30, bytes.fromhex("060a2b06010401823702010f"), der(0x30, b"\3\1\0", bytes.fromhex("a004a2028000")))
SPC_INDIRECT = bytes.fromhex("060a2b060104018237020104")


def info(digest):
    return SPC_PE + der(0x30, SHA256, der(4, digest))


def signed(inner, oid):
    """openssl wraps the contents as an OCTET STRING; here they are a SEQUENCE."""
    out = subprocess.run(["openssl", "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256",
                          "-econtent_type", oid, "-outform", "DER", "-signer", key + ".pem", "-inkey",
                          key + ".key"], input=inner, stdout=subprocess.PIPE, check=True).stdout
    wrapped = der(4, inner)
    assert out.count(wrapped) == 1
    return out.replace(wrapped, b"\x30" + wrapped[1:])


if name.endswith(".cat"):
    members = b""
    for f in listed:
        data = open(f, "rb").read()
        digest = hashlib.sha256(data).digest()
        if data[:2] == b"MZ":
            pe = bytearray(data)
            e = entry(pe)[1]
            where, size = struct.unpack_from("<II", pe, e)
            digest = image_digest(pe[:where] + pe[where + size:] if size else pe)
        members += der(0x30, der(4, digest.hex().upper().encode("utf-16-le")),
                       der(0x31, der(0x30, SPC_INDIRECT, der(0x31, der(0x30, info(digest))))))
    ctl = (der(0x30, bytes.fromhex("060a2b060104018237 0c0101".replace(" ", ""))) + der(4, bytes(16)) +
           der(0x17, b"240101000000Z") +
           der(0x30, bytes.fromhex("060a2b060104018237 0c0103".replace(" ", "")), b"\5\0") + der(0x30, members))
    open(name, "wb").write(signed(ctl, "1.3.6.1.4.1.311.10.1"))
else:
    pe = bytearray(open(name, "rb").read())
    pe += bytes(-len(pe) % 8)
    p7 = signed(info(image_digest(pe)), "1.3.6.1.4.1.311.2.1.4")
    size = 8 + len(p7) + -(8 + len(p7)) % 8
    struct.pack_into("<II", pe, entry(pe)[1], len(pe), size)
    pe += struct.pack("<IHH", size, 0x200, 2) + p7 + bytes(size - 8 - len(p7))
    open(name, "wb").write(pe)
EOF
