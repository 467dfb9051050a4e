#!/bin/bash
# unit.sh - the cmocka programs of tests/unit/, each test by its own name.
. "$(dirname "$0")/lib.sh"

for program in "$BUILD"/unit-*; do
    case $program in *.d | *'*') continue ;; esac
    name=${program##*/unit-}
    CMOCKA_MESSAGE_OUTPUT=TAP "$program" >out 2>&1
    status=$?
    sed -n "s/^ok [0-9]* - /ok $name: /p; s/^not ok [0-9]* - /not ok $name: /p" out
    [ $status = 0 ] || sed 's/^/  /' out | tail -n 40
    # One that died in the middle, or under a sanitizer, failed no test by name.
    if [ $status != 0 ] && ! grep -q '^not ok' out; then
        not_ok "$name: the program ends well" "exit status: $status"
    fi
done
finish
