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
# ($ARCH: or another processor; $INF_MORE: more in each .inf), signed as signpe.sh can, or `none`, or `changed`
# after it was signed.
virtio_win() { # FOLDER SIGNATURE SYSTEM...
    local top=$1 kind=$2 os d name arch=${ARCH-amd64} to
    local -x KEYS=$SCRATCH/.keys
    shift 2
    python3 "$tools/mkpe.py" drv.sys "${arch/amd64/x64}" native
    case $kind in
    none) ;;
    changed)
        kind=microsoft
        sh "$tools/signpe.sh" drv.sys microsoft
        printf X | dd of=drv.sys bs=1 seek=700 conv=notrunc status=none ;;
    *) sh "$tools/signpe.sh" drv.sys "$kind" ;;
    esac
    for os; do
        printf '; %s\r\n[Version]\r\n%b' "$os" "${INF_MORE-}" >drv.inf
        rm -f drv.cat
        [ "$kind" = none ] || sh "$tools/signpe.sh" drv.cat "$kind" drv.inf drv.sys
        for d in viostor/viostor vioscsi/vioscsi NetKVM/netkvm Balloon/balloon; do
            name=${d#*/}
            to=$top/${d%/*}/$os/$arch
            mkdir -p "$to"
            cp drv.sys "$to/$name.sys"
            cp drv.inf "$to/$name.inf"
            [ ! -e drv.cat ] || cp drv.cat "$to/$name.cat"
            echo >"$to/$name.pdb"
        done
    done
}
