#!/bin/bash
# fuzz.sh - every fuzz target has seeds, and takes each of them in its stride.
. "$(dirname "$0")/lib.sh"

takes_its_seeds() { # NAME
    local seeds=("$TOP/fuzz/corpus/$1"/*)
    [ -f "${seeds[0]}" ] || fail "fuzz/corpus/$1/ has no seed"
    run timeout 300 "$BUILD/replay-$1" "${seeds[@]}"
    expect_status 0
}

for source in "$TOP"/fuzz/*.c; do
    [ -f "$source" ] || break
    name=$(basename "$source" .c)
    check "$name" takes_its_seeds "$name"
done
finish
