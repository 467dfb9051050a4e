#!/bin/bash
# make.sh - how the pools here were made: libzpool of OpenZFS 2.1.11 (V21) and
# 2.3.2 (V23), the folders of their libraries.  Of a pool's disks one file each,
# of 64 MiB; what is in them is random here and there, so each run gives others.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")"
long=ROOT/a-name-of-more-than-fifty-characters-which-makes-a-fat-zap
pool() { # NAME LIBRARIES KIND DISKS WORD...
    local name=$1 lib=$2 kind=$3 disks=$4 i files=()
    shift 4
    for i in $(seq "$disks"); do
        rm -f "$name.$i" && truncate -s 64M "$name.$i" && files+=("$name.$i")
    done
    LD_LIBRARY_PATH=$lib python3 ../mkpool.py zroot "$kind" "${files[@]}" -- "$@"
    xz -9ef "${files[@]}"
}
pool encrypted "$V21" disk 1 ROOT ROOT/old --encrypt ROOT/new --bootfs ROOT/new
pool fat "$V23" disk 1 ROOT ROOT/old $long --bootfs $long
pool old "$V21" stripe 2 --version 28 ROOT ROOT/old ROOT/new --bootfs ROOT/new
pool raidz "$V23" raidz 3 --ashift 12 ROOT ROOT/new ROOT/new/sub --bootfs ROOT/new/sub
