#!/bin/bash
# hives.sh - every real SYSTEM hive of the shared material on every kind of boot
# disk: what differs between the registries' exports is what golden/ holds, a
# second run changes nothing, ntfsfix says of the result what it says of the
# source, and no file differs but those that are recorded.
#
#   ACCEPT=1 tests/wine/hives.sh    write golden/ anew (the review sees the diff)
IN_MEMORY=1
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-windows.sh"

hives=$RH_SHARED/corpus/hives/system
golden=$TOP/tests/wine/golden
jobs=$(nproc)
for need in hivexregedit ntfs-3g ntfscat ntfsfix mkntfs xz; do
    command -v "$need" >/dev/null || {
        skip "hives" "$need is not installed"
        finish
        exit 0
    }
done
[ -d "$hives" ] || {
    skip "hives" "shared material corpus/hives is not here"
    finish
    exit 0
}

# Each hive, the made SOFTWARE that goes with it, and more for mkwindows.sh.
cat >list <<'EOF'
nt4-pdc winxp
xp-sp3 winxp
win7-sp1-x86-vmware win7-32
win10-rtm-onecore win10
win10-1709-dirty win10
win10-21h2-vmware-uefi win10 LAYOUT=gpt
EOF
buses='ide sata nvme virtio-blk virtio-scsi pvscsi xen'

options() { # BUS
    case $1 in
    ide | nvme) echo "--to kvm --set disk0.bus=$1" ;;
    sata) echo "--to kvm --devices emulated" ;;
    virtio-blk) echo "--to kvm --devices virtio --set disk0.bus=virtio-blk --drivers $SCRATCH/drv" ;;
    virtio-scsi) echo "--to kvm --devices virtio --drivers $SCRATCH/drv" ;;
    pvscsi) echo "--to kvm --devices vmware" ;;
    xen) echo "--to xen" ;;
    esac
}
# The export as lines of their own, each with its key.
flat_of() { # HIVE OUT
    hivexregedit --export --unsafe-printable-strings "$1" '\' 2>/dev/null |
        awk '/^\[/ { key = $0; print; next } NF { print key " " $0 }' | sort >"$2"
}
prepare() { # NAME PROFILE [VARIABLE=...]
    local name=$1 profile=$2 e
    shift 2
    for e in '' .LOG1 .LOG2; do
        [ ! -e "$hives/$name.SYSTEM$e.xz" ] ||
            xz -dc "$hives/$name.SYSTEM$e.xz" >"$name.hive$e"
    done
    set -- "$@" SYSTEM_HIVE="$PWD/$name.hive"
    [ ! -e "$hives/$name.SOFTWARE.xz" ] || {
        xz -dc "$hives/$name.SOFTWARE.xz" >"$name.software"
        set -- "$@" SOFTWARE_HIVE="$PWD/$name.software"
    }
    env SIZE_MIB=48 "$@" sh "$tools/mkwindows.sh" "$name.raw" "$profile" >"$name.made" 2>&1 ||
        return 1
    mkdir "$name.source"
    cd "$name.source" || return 1
    hive_of "../$name.raw" SYSTEM SYSTEM
    sums_of ntfs sums
    ntfsfix -n ntfs >fix 2>&1
    # What the logs hold is no edit of ours: it is compared with a replay.
    if [ -e "$hives/$name.SYSTEM.LOG1.xz" ]; then
        python3 "$RH_SHARED/oracles/windows/hivelog.py" replay replayed SYSTEM \
            ../"$name".hive.LOG[12] >oracle 2>&1 || echo "no replay: $(cat oracle)" >&2
    fi
    flat_of "$([ -e replayed ] && echo replayed || echo SYSTEM)" flat
}
# One conversion: what is golden goes to NAME.BUS.txt, what is wrong to .wrong.
one() { # NAME BUS
    local name=$1 bus=$2 raw=out/vm/disk0.raw
    mkdir "$name.$bus" && cd "$name.$bus" || return 1
    # shellcheck disable=SC2046
    "$REHOST" convert "../$name.raw" $(options "$bus") --out out --name vm --format raw \
        --set memory=1GiB --set cpus=1 --set nic0.mac=00:50:56:00:00:01 >said 2>&1
    case $? in
    0) ;;
    4) # shellcheck disable=SC2046
       "$REHOST" report "../$name.raw" $(options "$bus") --set memory=1GiB --set cpus=1 \
            --json - 2>/dev/null | jq -r '"blocked: " + ([.vms[0].targets[0].findings[] |
            select(.severity == "blocker") | .id] | unique | join(" "))' >golden
       [ ! -e out ] || [ -z "$(ls -A out)" ] || echo "something is left of it" >>wrong
       return ;;
    *) cat said >>wrong
       return ;;
    esac
    hive_of "$raw" SYSTEM SYSTEM
    flat_of SYSTEM flat
    diff "../$name.source/flat" flat | grep '^[<>]' >golden
    "$REHOST" report "$raw" $(options "$bus") --set memory=1GiB --set cpus=1 \
        --set nic0.mac=00:50:56:00:00:01 --json - 2>>wrong |
        jq -r '.vms[0].targets[0].edits[] | "a second run edits " + .where' >>wrong
    ntfsfix -n ntfs 2>&1 | diff "../$name.source/fix" - >>wrong
    sums_of ntfs sums
    sort "../$name.source/sums" sums | uniq -u | sed 's/^[0-9a-f]*  .//' | sort -u >differ
    jq -r '.edits[].where' out/vm/receipt.json |
        sed 's|^HKLM.SYSTEM.*|/Windows/System32/config/SYSTEM|; /^.ESP:/d' | sort -u >recorded
    # A replay is told by a finding and is no edit.
    ! grep -q WINDOWS-HIVE-REPLAYED out/vm/report.json ||
        { echo /Windows/System32/config/SYSTEM; cat recorded; } | sort -u -o recorded
    diff recorded differ >>wrong
    rm -rf out ntfs
}
export -f options flat_of prepare one hive_of volume sums_of
export hives tools

virtio_win drv microsoft w10 2k8 2k19 >/dev/null
ARCH=x86 virtio_win drv none w7 >/dev/null
while read -r line; do printf '%s\0' "$line"; done <list |
    xargs -0 -P "$jobs" -I{} bash -c 'set -- {}; prepare "$@"'
while read -r name _; do for bus in $buses; do echo "$name $bus"; done; done <list |
    xargs -P "$jobs" -L 1 bash -c 'one "$@"' one

as_golden() { # NAME
    local bus
    for bus in $buses; do
        echo "== $bus"
        cat "$SCRATCH/$1.$bus/golden"
    done >got
    expect_equal "$(cat "$SCRATCH/$1".*/wrong 2>/dev/null)" ""
    if [ -n "${ACCEPT-}" ]; then
        mkdir -p "$golden" && cp got "$golden/$1.txt"
    fi
    diff -u "$golden/$1.txt" got >differs || fail "$(cat differs)"
    held
}
while read -r name _; do check "$name" as_golden "$name"; done <list
finish
