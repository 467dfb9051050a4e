#!/bin/bash
# forms.sh - the same VM written down in other ways (forms.py) is the same VM.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

same() { # FILE...
    python3 "$TOP/tests/forms.py" "$REHOST" "$@" >out
    grep '^ok ' out >good || fail "nothing was read" "$(cat out)"
    ! grep -v '^ok ' out >bad || fail "$(cat bad)"
    held
}
test_descriptors_of_ours() {
    same "$TOP"/tests/ovf/*.ovf "$TOP"/tests/ovf/*.vmx
}
test_descriptors_of_others() {
    need_shared corpus/ovf
    same "$RH_SHARED"/corpus/ovf/*.ovf "$RH_SHARED"/corpus/ovf/*.vmx
}
run_tests
