#!/bin/sh
# signpe.sh FILE microsoft|cross|test -- put a signature into a PE file whose
# certificates have the names that Windows' own or a test certificate would have.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
file=$1 kind=$2
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
case $kind in
    microsoft) root='Microsoft Root Certificate Authority 2010' leaf='Microsoft Windows Hardware Compatibility Publisher' ;;
    cross) root='Microsoft Code Verification Root' leaf='Red Hat, Inc.' ;;
    test) root='' leaf='virtio-win' ;;
esac
key='-newkey rsa:2048 -nodes -sha256 -days 3650'
if [ -n "$root" ]; then
    openssl req -x509 $key -subj "/CN=$root" -keyout "$w/root.key" -out "$w/root.pem" 2>/dev/null
    openssl req $key -subj "/CN=$leaf" -keyout "$w/leaf.key" -out "$w/leaf.csr" 2>/dev/null
    openssl x509 -req -in "$w/leaf.csr" -CA "$w/root.pem" -CAkey "$w/root.key" \
        -set_serial 2 -days 3650 -out "$w/leaf.pem" 2>/dev/null
else
    openssl req -x509 $key -subj "/O=virtio-win/OU=Dev/CN=$leaf" -keyout "$w/leaf.key" \
        -out "$w/leaf.pem" 2>/dev/null
fi
openssl smime -sign -binary -nodetach -outform DER -signer "$w/leaf.pem" \
    -inkey "$w/leaf.key" -in "$file" -out "$w/p7"
python3 - "$file" "$w/p7" <<'EOF'
import struct, sys
pe, p7 = bytearray(open(sys.argv[1], "rb").read()), open(sys.argv[2], "rb").read()
pe += bytes(-len(pe) % 8)
at, = struct.unpack_from("<I", pe, 60)
magic, = struct.unpack_from("<H", pe, at + 24)
entry = at + 24 + (112 if magic == 0x20b else 96) + 32
size = 8 + len(p7) + -(8 + len(p7)) % 8
struct.pack_into("<II", pe, entry, len(pe), size)
pe += struct.pack("<IHH", size, 0x200, 2) + p7 + bytes(size - 8 - len(p7))
open(sys.argv[1], "wb").write(pe)
EOF
