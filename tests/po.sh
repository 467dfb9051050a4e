#!/bin/bash
# Messages: every text for people is in po/, and the Japanese are complete.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

# The template without what changes by itself.
plain() {
    msgcat --no-location --sort-output --no-wrap "$1" |
        sed '/^"\(POT-Creation-Date\|PO-Revision-Date\|Project-Id\)/d'
}

test_the_template_holds_every_text_of_the_sources() {
    need xgettext msgcat
    OUT=$PWD/fresh.pot run "$TOP/scripts/po"
    expect_status 0
    plain fresh.pot | grep '^msgid' >fresh
    plain "$TOP/po/rehost.pot" | grep '^msgid' >kept
    expect_equal "$(diff kept fresh)" "" "make po would change po/rehost.pot"
}
test_japanese_is_complete() {
    need msgfmt msgcmp
    run msgfmt --check-format --statistics -o /dev/null "$TOP/po/ja.po"
    expect_status 0
    expect_stderr '^[0-9]+ translated messages\.$'
    run msgattrib --only-fuzzy "$TOP/po/ja.po"
    expect_equal "$(grep -c '^msgid' .stdout)" 0 "fuzzy messages"
    run msgcmp "$TOP/po/ja.po" "$TOP/po/rehost.pot"
    expect_status 0
}
test_japanese_by_option_and_by_locale() {
    local lang
    run "$REHOST" report nothing.ova --to kvm --lang ja
    expect_status 1
    expect_stderr '^rehost: エラー: nothing.ova: .* \[FILE_NOT_FOUND\]$'
    expect_stderr '^  対処: '
    for lang in ja_JP.UTF-8 ja_JP.utf8 ja; do
        run env -u LC_ALL LANG=$lang "$REHOST" report nothing.ova --to kvm
        expect_stderr '^rehost: エラー: '
        grep -q '??' .stderr && fail "a text of libc is broken: $stderr"
    done
    run env -u LC_ALL LANG=ja_JP.UTF-8 "$REHOST" report nothing.ova --to kvm \
        --lang en
    expect_stderr '^rehost: error: '
}
test_ids_and_keys_stay_english() {
    run "$REHOST" report "$TOP/tests/ovf/units_gigabytes.ovf" --to all \
        --no-guest --json --lang ja
    expect_json '[.vms[].targets[].findings[].id | test("^[A-Z0-9-]+$")] | all' \
        true
    expect_json '.lang' ja
    expect_json '[.vms[].targets[].verdict | IN("ready", "caution", "blocked")]
        | all' true
    expect_json '[.vms[].targets[].findings[].message | test("[ぁ-ん]")] | any' \
        true
}

run_tests
