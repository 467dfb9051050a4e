# What is written for people agrees with what the program does.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

same_as_made() { # TABLE
    run "$BUILD/tables" "$1"
    expect_status 0
    expect_same_file .stdout "$TOP/docs/$1.md"
}
test_errors_page_is_current() {
    same_as_made errors
}
test_findings_page_is_current() {
    same_as_made findings
}

test_fixes_page_is_current() {
    same_as_made fixes
}

test_man_pages_and_completion_are_current() {
    mkdir made
    MAN_OUT=$PWD/made run "$TOP/scripts/man" "$REHOST"
    expect_status 0
    run diff -r -x ja -x po made/docs/man "$TOP/docs/man"
    expect_status 0
    run diff -r made/completions "$TOP/completions"
    expect_status 0
}
test_japanese_man_pages_are_current() {
    need po4a msgfmt
    mkdir made
    run "$TOP/scripts/man-ja" "$PWD/made"
    expect_status 0
    run diff -r made/docs/man/ja "$TOP/docs/man/ja"
    expect_status 0
    expect_equal "$(ls "$TOP/docs/man/ja")" "$(cd "$TOP/docs/man" && ls -d -- *.[1-8])" "pages"
    run msgfmt --check -o /dev/null "$TOP/docs/man/po/ja.po"
    expect_status 0
    for page in "$TOP"/docs/man/ja/*; do
        run groff -mandoc -Kutf8 -Tutf8 -wmac -wbreak -z "$page"
        expect_status 0
        expect_silent
    done
}
test_completion_completes() {
    # shellcheck disable=SC1091
    . "$TOP/completions/rehost"
    COMP_WORDS=(rehost convert --dev) COMP_CWORD=2
    _rehost
    expect_equal "${COMPREPLY[*]}" --devices
    COMP_WORDS=(rehost convert --devices v) COMP_CWORD=3
    _rehost
    expect_equal "${COMPREPLY[*]}" "virtio vmware"
}
test_completion_completes_in_fish() {
    need fish
    completes() { # LINE REGEX
        HOME=$PWD run fish -c 'source $argv[1]; complete -C $argv[2]' "$TOP/completions/rehost.fish" "$1"
        expect_status 0
        expect_silent
        expect_stdout "$2"
    }
    completes "rehost conv" '^convert'
    completes "rehost batch st" '^status'
    completes "rehost convert --dev" '^--devices'
    completes "rehost convert --devices v" '^virtio'
    completes "rehost batch run --wa" '^--wave'
}
test_completion_completes_in_zsh() {
    need zsh
    run zsh -n "$TOP/completions/_rehost"
    expect_status 0
    cat >try.zsh <<'ZSH'
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D"
zpty -w z "zstyle ':completion:*' list-prompt ''; setopt no_beep"
zpty -w -n z "rehost $2"$'\t'
zpty -r -m z shown "*$3*"
print -r -- "$shown"
zpty -d z
ZSH
    completes() { # WORDS WHOLE
        HOME=$PWD run timeout 60 zsh -f try.zsh "$TOP/completions" "$1" "$2"
        expect_stdout "$2"
    }
    completes "conv" 'rehost convert'
    completes "batch stat" 'rehost batch status'
    completes "convert --devi" 'rehost convert --devices'
}

# Every command answers --help with a usage line, examples, and exit status 0.
commands() {
    "$REHOST" --help | sed -n 's/^  \(disk [a-z]*\|batch [a-z]*\|warm [a-z]*\|[a-z]*\)  .*/\1/p' |
        grep -v '^rehost'
}
help_of() {
    # shellcheck disable=SC2086  # "disk info" is two words
    run "$REHOST" $1 --help
    expect_status 0
    expect_stdout "^usage: rehost $1 "
    expect_stdout "^Examples:"
    expect_silent
}
while read -r command; do
    check "help_of_${command// /_}" help_of "$command"
done < <(commands)

test_no_command_is_usage() {
    run "$REHOST" frobnicate
    expect_status 2
    expect_stderr 'frobnicate'
    expect_stderr '^  hint: '
}
test_unknown_option_is_usage() {
    run "$REHOST" disk info --frobnicate x
    expect_status 2
    expect_stderr '\[USAGE\]'
}
test_usage_errors_come_as_json_too() {
    local words
    for words in "inspect" "inspect a --frobnicate" "frobnicate" "disk" \
        "disk info a b" "inspect a --progress x" "inspect a --threads 0"; do
        # shellcheck disable=SC2086  # several words
        run "$REHOST" $words --json
        expect_status 2
        expect_json .error.code USAGE .stderr
        expect_json '.error | keys | join(" ")' "class code hint message subject" \
            .stderr
    done
}
test_any_bytes_may_be_a_word() {
    run "$REHOST" $'fr\e[31m\xffé'
    expect_error USAGE 2
    expect_stderr '"fr.\[31m\?é"'
    ! grep -q $'[\e\xff]' .stderr || fail "raw bytes: $(cat -v .stderr)"
    run "$REHOST" $'fr\e[31m\xffé' --json
    expect_json .error.message 'there is no command "fr?[31m?é"' .stderr
}
test_a_full_standard_output_is_an_error() {
    local words
    truncate -s 1M d.raw
    for words in --version --help "disk info d.raw" "disk map d.raw" profiles; do
        # shellcheck disable=SC2086  # several words
        run bash -c '"$@" >/dev/full' - "$REHOST" $words
        expect_error FILE_WRITE 1
    done
}
test_profiles_are_listed() {
    run "$REHOST" profiles
    expect_status 0
    expect_stdout '^debian-12 +Debian 12'
    expect_equal "$(wc -l <.stdout)" \
        "$("$REHOST" profiles --json | jq '.profiles | length')" "profiles"
}
test_version_says_what_is_built_in() {
    run "$REHOST" --version
    expect_status 0
    expect_stdout '^rehost [0-9]+\.[0-9]+'
    expect_stdout 'zlib|libdeflate'
    expect_stdout '^libguestfs: (yes|no)'
}
test_the_readme_quotes_the_benchmarks() {
    run "$TOP/bench/run" --readme
    expect_status 0
    [ "$(wc -l <.stdout)" -gt 5 ] || fail "docs/bench.md has no table"
    while read -r row; do
        grep -qxF "$row" "$TOP/README.md" || fail "not in README.md: $row"
    done <.stdout
}
run_tests
