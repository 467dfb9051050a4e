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

# --- disks of scripts, and what rehost says of them
hives=$RH_SHARED/corpus/hives
corpus=$RH_SHARED/corpus/windows-disks
# One disk of each kind is made; the registries of others are put into copies.
disk() { # NAME PROFILE [VARIABLE=...]
    local name=$1 profile=$2
    shift 2
    [ -e "$SCRATCH/$name.raw" ] ||
        env SIZE_MIB=64 "$@" sh "$tools/mkwindows.sh" "$SCRATCH/$name.raw" \
            "$profile" >"$SCRATCH/mkwindows.log" 2>&1 ||
        fail "$(cat "$SCRATCH/mkwindows.log")"
}
real() { # NAME PROFILE HIVE [VARIABLE=...]
    local name=$1 profile=$2 hive=$3 e
    shift 3
    need_shared "corpus/hives/$hive.xz"
    for e in '' .LOG1 .LOG2; do
        [ ! -e "$hives/$hive$e.xz" ] ||
            xz -dc "$hives/$hive$e.xz" >"$SCRATCH/$name.hive$e"
    done
    disk "$name" "$profile" SYSTEM_HIVE="$SCRATCH/$name.hive" "$@"
}
report() { # NAME TARGET [OPTION...]
    local name=$1 to=$2
    shift 2
    run "$REHOST" report "$SCRATCH/$name.raw" --to "$to" --set memory=2GiB \
        --set cpus=2 "$@" --json -
}
convert() { # NAME TARGET [OPTION...]
    local name=$1 to=$2
    shift 2
    run "$REHOST" convert "$SCRATCH/$name.raw" --to "$to" --out out \
        --format raw --set memory=2GiB --set cpus=2 "$@"
}
nic='--set nic0.model=vmxnet3 --set nic0.slot=192 --set nic0.mac=00:50:56:8a:01:02'
edited='.vms[0].targets[0].edits | map(select(.fix == "windows.boot-start") | .where | sub(".*\\\\Services\\\\";"")) | sort | join(" ")'
guest='.vms[0].targets[0].guest'
boot_findings='[.vms[0].targets[0].findings[].id | select(test("WINDOWS-(BOOT|VHD|SAFE|HYPERV)"))] | join(" ")'
flat() { # NAME SECTORS
    printf '%s\n' '# Disk DescriptorFile' 'version=1' 'CID=fffffffe' 'parentCID=ffffffff' \
        'createType="monolithicFlat"' "RW $2 FLAT \"$1-flat.vmdk\" 0" \
        'ddb.adapterType = "lsilogic"'
}
# Findings of the files given, one line each: NAME VERDICT IDS
findings() { # FILE...
    run "$REHOST" report "$@" --to kvm --set memory=1GiB --set cpus=1 --json -
    jq -r '.vms[] | (.source | split("/")[-1]) + " " + .targets[0].verdict + " " +
        ([.targets[0].findings[].id | select(test("^(WINDOWS-(?!ACTIVATION)|GUEST-(HIB|DIRTY))"))] |
        unique | join(","))' .stdout | sort
}
# What these tests need; without it the script ends, visibly.
needs_windows_tools() { # NAME
    local tool
    [ -x "$BUILD/rehost-ntfs" ] || {
        skip "$1" "built without the NTFS helper"
        finish
        exit 0
    }
    for tool in ntfs-3g ntfscp ntfscat ntfsfix hivexregedit mkntfs; do
        command -v "$tool" >/dev/null || {
            skip "$1" "$tool is not installed"
            finish
            exit 0
        }
    done
}
