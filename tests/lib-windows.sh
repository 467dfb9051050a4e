# lib-windows.sh - Windows-like disks, and what outside tools see on them.
# SPDX-License-Identifier: LGPL-2.1-or-later
tools=$TOP/tests/guests

# The NTFS volume of a disk, and files in it, read by ntfs-3g's own tools.
volume() { # RAW
    local start size
    read -r start size < <(sfdisk -J "$1" |
        jq -r '.partitiontable.partitions[-1] | "\(.start) \(.size)"')
    rm -f ntfs
    dd if="$1" of=ntfs bs=1M skip=$((start / 2048)) count=$((size / 2048)) \
        conv=sparse status=none
    truncate -s $((size * 512)) ntfs
}
hive_of() { # RAW NAME OUT
    volume "$1"
    ntfscat -f ntfs "Windows/System32/config/$2" >"$3"
}
export_of() { # HIVE OUT
    hivexregedit --export --unsafe-printable-strings "$1" '\' >"$2"
}

# Files of an NTFS volume with their sums, sorted by name.
sums_of() { # NTFS OUT
    local mnt
    mnt=$(mktemp -d) && ntfs-3g -o ro "$1" "$mnt" || return 1
    (cd "$mnt" && find . -type f -exec sha256sum {} + | sort -k 2) >"$2"
    fusermount -u "$mnt" && rmdir "$mnt"
}

# A virtio-win in the ISO's layout: DRIVER/SYSTEM/amd64 for the systems named
# ($ARCH: or another processor).
virtio_win() { # FOLDER SIGNATURE SYSTEM...
    local top=$1 kind=$2 os d name arch=${ARCH-amd64}
    shift 2
    python3 "$tools/mkpe.py" drv.sys x64 native
    [ "$kind" = none ] || sh "$tools/signpe.sh" drv.sys "$kind"
    for os; do
        for d in viostor/viostor vioscsi/vioscsi NetKVM/netkvm Balloon/balloon; do
            name=${d#*/}
            mkdir -p "$top/${d%/*}/$os/$arch"
            cp drv.sys "$top/${d%/*}/$os/$arch/$name.sys"
            printf '; %s\r\n[Version]\r\n' "$os" >"$top/${d%/*}/$os/$arch/$name.inf"
            echo >"$top/${d%/*}/$os/$arch/$name.pdb"
        done
    done
}
