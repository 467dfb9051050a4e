#!/bin/bash
# get.sh [--ova] KIND -- builds a test guest unless it is there, prints its path.
#
#   micro[-zstd|-xz|-lz4|-early|-uefi|-lvm|-usrmerge|-xfs|-btrfs|-boot|-screen]
#                                          mkmicro.sh
#   debian-bios|-uefi|-dracut|-vmtools[-zstd|-xz|-lz4|-early|-static|-networkd
#       |-netplan|-nm]                     mkdebian.sh, as root
#   windows-PROFILE                        mkwindows.sh, as root, not bootable
#   freebsd|openbsd|netbsd                 mkbsd.sh, not bootable
#
# Words combine: micro-uefi-lvm-zstd-early.  --ova gives the guest as a vSphere
# export instead of its raw disk.  Guests are kept below RH_CACHE (default
# build/guests) and built anew when the scripts that make them or the host's
# kernel change.  Several may ask at once.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${RH_CACHE-$(realpath -m "$here/../../build/guests")}
usage() { sed -n '/SPDX/d; 2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
ova=''
[ "${1-}" != --ova ] || { ova=1; shift; }
[ $# = 1 ] || usage
kind=$1
mkdir -p "$cache"

kernel=$(find /boot -name 'vmlinuz-*-amd64' ! -name '*-cloud-*' 2>/dev/null |
    sort -V | tail -1)
stamp_of() {                     # script names -> one line that changes with them
    { (cd "$here" && cat "$@"); echo "$kind $kernel"; } | sha256sum | cut -c1-64
}
IFS=- read -r -a words <<<"$kind"
flags=()
add_flags() {
    local w
    for w in "$@"; do
        case $w in
            zstd|xz|lz4|none) flags+=(--initrd "$w") ;;
            early|uefi|lvm|usrmerge|static|boot|screen) flags+=("--$w") ;;
            networkd|netplan|nm) flags+=(--net "$w") ;;
            xfs|btrfs) flags+=(--fs "$w") ;;
            *) echo "get.sh: no such guest: $kind" >&2; exit 2 ;;
        esac
    done
}
case ${words[0]} in
    micro)
        add_flags "${words[@]:1}"
        stamp=$(cd "$here" && stamp_of mkmicro.sh diskimg.py recompress.sh files/*)
        build() { "$here/mkmicro.sh" "${flags[@]}" "$1"; }
        ;;
    debian)
        variant=${words[1]-}
        add_flags "${words[@]:2}"
        stamp=$(cd "$here" && stamp_of mkdebian.sh diskimg.py recompress.sh files/guest-*)
        build() {
            exec 8>"$cache/debian.lock"; flock 8     # they share one work folder
            [ -f "$cache/debian/base.tar" ] || "$here/mkdebian.sh" base "$cache/debian"
            "$here/mkdebian.sh" "${flags[@]}" "$variant" "$cache/debian" "$1"
        }
        ;;
    windows)
        stamp=$(stamp_of mkwindows.sh mkhive.py mkpe.py diskimg.py)
        build() { "$here/mkwindows.sh" "$1" "${kind#windows-}"; }
        ;;
    freebsd|openbsd|netbsd)
        stamp=$(stamp_of mkbsd.sh diskimg.py)
        build() { "$here/mkbsd.sh" "$kind" "$1"; }
        ;;
    *) usage ;;
esac

exec 9>"$cache/$kind.lock"
flock 9
raw=$cache/$kind.raw
if [ "$(cat "$cache/$kind.stamp" 2>/dev/null)" != "$stamp" ] || [ ! -f "$raw" ]; then
    rm -f "$cache/$kind.stamp" "$raw" "$cache/$kind.ova"
    (build "$raw.part") >"$cache/$kind.log" 2>&1 ||
        { rm -f "$raw.part"; tail -5 "$cache/$kind.log" >&2
          echo "get.sh: building $kind failed, see $cache/$kind.log" >&2; exit 1; }
    for x in vmlinuz initrd; do
        [ ! -f "$raw.part.$x" ] || mv "$raw.part.$x" "$raw.$x"
    done
    mv "$raw.part" "$raw"
    echo "$stamp" >"$cache/$kind.stamp"
fi
if [ -z "$ova" ]; then echo "$raw"; exit 0; fi
if [ ! -f "$cache/$kind.ova" ] || [ "$here/mkova.py" -nt "$cache/$kind.ova" ]; then
    pack=(--name "vmw-$kind" --memory 512)
    case $kind in *uefi*) pack+=(--uefi) ;; esac
    case $kind in
        windows-*) pack+=(--guest windows2019srv_64Guest) ;;
        freebsd) pack+=(--guest freebsd13_64Guest) ;;
        openbsd|netbsd) pack+=(--guest otherGuest64) ;;
    esac
    "$here/mkova.py" "${pack[@]}" "$cache/$kind.ova.part" "$raw"
    mv "$cache/$kind.ova.part" "$cache/$kind.ova"
fi
echo "$cache/$kind.ova"
