# lib-node.sh - stubs of a Proxmox VE node's own programs (pvesm, qm, pvesh and
# lvmconfig), which keep volumes as files; after lib.sh, at the top of a script's
# own folder.
# SPDX-License-Identifier: LGPL-2.1-or-later
cd "$SCRATCH" || exit 1
mkdir bin || exit 1
cat >bin/pvesm <<'SH'
#!/bin/bash
# status --storage S | alloc S VMID '' KIB --format raw | path V | list S | free V
set -eu
echo "pvesm $*" >>"$PVE/log"
case $1 in
status)
    [ "$3" = tank ] || { echo "storage '$3' does not exist" >&2; exit 2; }
    echo "Name Type Status Total Used Available %"
    echo "tank ${PVE_TYPE-zfspool} active 1000000 0 ${PVE_FREE-1000000} 0.00%" ;;
alloc)
    [[ $4 = vm-$3-* ]] || { echo "illegal name '$4' - should be 'vm-$3-*'" >&2; exit 255; }
    [ ! -e "$PVE/volumes/$4" ] || { echo "$4 is there" >&2; exit 255; }
    # A thick storage rounds up.
    size=$((($5 * 1024 + 4194303) / 4194304 * 4194304))
    [ -n "${PVE_DIRTY-}" ] || size=$(($5 * 1024))
    truncate -s $size "$PVE/volumes/$4"
    [ -z "${PVE_DIRTY-}" ] || head -c $size /dev/urandom >"$PVE/volumes/$4"
    chmod 600 "$PVE/volumes/$4"
    [ -z "${PVE_KILL-}" ] || kill -9 $PPID
    echo "successfully created '$2:$4'" ;;
path) echo "$PVE/volumes/${2#*:}" ;;
list)
    echo "Volid Format Type Size VMID"
    for f in "$PVE"/volumes/*; do
        id=${f##*/vm-} # vm-N-disk-...
        [ ! -e "$f" ] || echo "tank:${f##*/} raw images 1 ${id%%-*}"
    done ;;
free) rm "$PVE/volumes/${2#*:}" ;;
esac
SH
cat >bin/qm <<'SH'
#!/bin/bash
set -eu
echo "qm $1 ${2-}" >>"$PVE/log"
case $1 in
list)
    printf '%10s %-20s %-10s\n' VMID NAME STATUS
    for f in "$PVE"/conf/*; do
        [ ! -e "$f" ] || printf '%10s %-20s %-10s\n' "${f##*/}" vm stopped
    done ;;
status | config)
    [ -z "${PVE_BROKEN-}" ] || { echo "cluster not ready - no quorum?" >&2; exit 2; }
    [ -e "$PVE/conf/$2" ] || {
        echo "Configuration file 'nodes/pve/qemu-server/$2.conf' does not exist" >&2
        exit 2
    }
    if [ $1 = config ]; then
        cat "$PVE/conf/$2"
    elif [ -e "$PVE/running" ]; then
        echo "status: running"
    else
        echo "status: stopped"
    fi ;;
create)
    [ -z "${PVE_FAIL-}" ] || { echo "unable to create VM $2 - told to fail" >&2; exit 255; }
    id=$2
    shift 2
    while [ $# -gt 0 ]; do
        echo "${1#--}: $2"
        shift 2
    done >"$PVE/conf/$id" ;;
destroy) rm "$PVE/conf/$2" "$PVE"/volumes/vm-"$2"-* ;;
start) echo running >"$PVE/running" ;;
guest) echo '[{"name":"eth0","ip-addresses":[{"ip-address":"10.0.0.5"}]}]' ;;
esac
SH
cat >bin/pvesh <<'SH'
#!/bin/sh
# get /cluster/nextid [--vmid N]
n=${4-100}
while [ -e "$PVE/conf/$n" ]; do
    [ -z "${4-}" ] || { echo "VM $n already exists" >&2; exit 255; }
    n=$((n + 1))
done
echo $n
SH
printf '#!/bin/sh\ncat "$PVE/lvm" 2>/dev/null\n' >bin/lvmconfig
chmod +x bin/*

a_node() { # at $PWD/pve
    export PVE=$PWD/pve PATH=$SCRATCH/bin:$PATH REHOST_LOCK_DIR=$PWD/locks
    mkdir -p pve/volumes pve/conf
}
