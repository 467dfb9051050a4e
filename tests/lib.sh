# lib.sh - what test scripts are written with.
#
#   . "$(dirname "$0")/lib.sh"
#
#   test_stream_vmdk_reads_back() {
#       need qemu-img
#       run "$REHOST" disk convert in.vmdk out.raw
#       expect_status 0
#       expect_same_disk in.vmdk out.raw
#   }
#   run_tests
#
# Every function named test_... is one test, run in the order written, in a
# subshell and in a folder of its own below the script's ($PWD; $SCRATCH is the
# script's, for what several tests share).  The first expectation that does not
# hold ends the test and shows what was expected and what was there.  A test
# counts as passed when it returned, at least one expectation was checked, and
# none failed.  What must be made once comes before run_tests, in plain shell.
# Loops that know their cases only at run time call `check NAME COMMAND...`.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
set -o pipefail
export LC_ALL=C.UTF-8 TZ=UTC
unset LANGUAGE
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${REHOST_BUILD:=build}"
SCRIPT=$(realpath "$0")
BUILD=$(cd "$TOP" && cd "$REHOST_BUILD" && pwd) || exit 1
REHOST=$BUILD/rehost
: "${RH_SHARED:=$TOP/../shared}"
# Scripts that write many small results set IN_MEMORY=1: there nothing waits for
# a medium.
[ -z "${IN_MEMORY-}" ] || [ ! -w /dev/shm ] || : "${TMPDIR:=/dev/shm}"
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/rehost-test.XXXXXX") || exit 1
# Nothing of a test's goes into the user's cache.
: "${REHOST_APPLIANCE:=$BUILD/appliance}"
export TOP BUILD REHOST RH_SHARED SCRATCH REHOST_BUILD REHOST_APPLIANCE
trap 'cd /; chmod -R u+w "$SCRATCH" 2>/dev/null; rm -rf "$SCRATCH"' EXIT
trap 'exit 1' INT TERM HUP
# A shim before Python (pyenv's starts shells) takes longer than what most tests
# have Python do: the system's own, whose modules scripts/deps brings, goes first.
if [ -x /usr/bin/python3 ] && [ "$(type -P python3)" != /usr/bin/python3 ]; then
    mkdir "$SCRATCH/.bin" && ln -s /usr/bin/python3 "$SCRATCH/.bin/" || exit 1
    PATH=$SCRATCH/.bin:$PATH
fi
cd "$SCRATCH" || exit 1

# --- results -----------------------------------------------------------------
# Names are the test's own words: underscores read as spaces elsewhere.
ok() {
    echo "ok $1"
}
not_ok() { # NAME [LINE...]
    echo "not ok $1"
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@"
}
# As a whole script's or a test's line; in a test, prefer `skip_test REASON`.
skip() { # NAME REASON
    echo "skip $1 # $2"
}
# End the running test: 77 is "not here", 1 is "does not hold".
skip_test() {
    echo "$*" >"$SCRATCH/.skip"
    exit 77
}
fail() { # LINE...
    printf '  %s\n' "$@"
    exit 1
}
held() {
    echo >"$SCRATCH/.held"
}

# A helper whose name is misspelt must not pass for one whose words held.  Bash
# calls this in a process of its own, which cannot end the test.
command_not_found_handle() { # COMMAND...
    case $1 in
    expect_* | need | need_*) echo "$1" >>"$SCRATCH/.unknown" ;;
    esac
    echo "$1: command not found" >&2
    return 127
}

_try() { # NAME COMMAND...
    local name=$1 out=$SCRATCH/.out status
    shift
    : >"$SCRATCH/.held" >"$SCRATCH/.skip" >"$SCRATCH/.unknown"
    mkdir -p "$SCRATCH/$name"
    (cd "$SCRATCH/$name" && "$@") >"$out" 2>&1
    status=$?
    if [ $status = 0 ] && [ ! -s "$SCRATCH/.held" ]; then
        echo "  nothing was expected in this test" >>"$out"
        status=1
    fi
    if [ -s "$SCRATCH/.unknown" ]; then
        sed 's/^/  there is no /' "$SCRATCH/.unknown" >>"$out"
        status=1
    fi
    case $status in
    0) ok "$name" ;;
    77) skip "$name" "$(cat "$SCRATCH/.skip" 2>/dev/null)" ;;
    *) not_ok "$name"
       # Indented, so that nothing a test prints passes for a result.
       tail -n 40 "$out" | sed 's/^\(ok\|not ok\|skip\|done\)\b/  &/' ;;
    esac
    rm -rf "${SCRATCH:?}/$name" 2>/dev/null || {
        chmod -R u+w "$SCRATCH/$name" 2>/dev/null
        rm -rf "${SCRATCH:?}/$name"
    }
}
check() {
    _try "$@"
}
# Every test_... function of this script, then the mark that the end was reached.
run_tests() {
    local name
    for name in $(grep -o '^test_[a-zA-Z0-9_]*' "$SCRIPT"); do
        _try "${name#test_}" "$name"
    done
    finish
}
# Scripts without test_ functions end with this.
finish() {
    echo "done"
}

# --- needs -------------------------------------------------------------------
need() { # TOOL...
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip_test "$tool is not installed"
    done
}
# A file or folder of the shared material: its path is $RH_SHARED/$1.
need_shared() {
    [ -e "$RH_SHARED/$1" ] || skip_test "shared material $1 is not here"
}
# What the build holds, by its name in rehost --version (libguestfs, libcurl).
need_built_with() {
    "$REHOST" --version | grep -qi "$1" || skip_test "built without $1"
}

# --- doing and expecting -----------------------------------------------------
# A file's text without its last newlines, into a variable.  As $(<FILE), but
# without a process, which costs more than most of our commands.
_slurp() { # VARIABLE FILE
    local IFS='' text
    mapfile -d '' text <"$2" # bytes of zero are left out
    text="${text[*]}"
    while [ "${text: -1}" = $'\n' ]; do text=${text%$'\n'}; done
    printf -v "$1" %s "$text"
}
# Has the file a line that fits?  As grep -E, which long files are left to.
_fits() { # REGEX FILE
    local line lines
    mapfile -t -n 500 lines <"$2"
    [ ${#lines[@]} -lt 500 ] || { grep -qE -- "$1" "$2"; return; }
    for line in "${lines[@]}"; do
        [[ $line =~ $1 ]] && return
        [ $? = 1 ] || { grep -qE -- "$1" "$2"; return; }
    done
    return 1
}
# Runs a command; leaves $status, $stdout and $stderr (files: .stdout .stderr).
run() {
    ran="$*"
    "$@" >.stdout 2>.stderr </dev/null
    status=$?
    _slurp stdout .stdout
    _slurp stderr .stderr
    case $stderr in
    *"Sanitizer: "* | *"runtime error: "*)
        fail "ran: $ran" "a sanitizer spoke:" "$stderr" ;;
    esac
}
# Wait until COMMAND succeeds: half a minute at most.
soon() { # COMMAND...
    local tries
    for tries in {1..600}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    fail "this did not come true: $*"
}
# strace of a command, its log in ./trace.  Under it nothing can look for leaks.
STRACE=(env "ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0" strace -f -qq -o trace)
_shown() { # what the last command was and said
    printf '  ran: %s\n' "$ran"
    head -c 3000 .stdout | sed 's/^/  stdout: /'
    head -c 3000 .stderr | sed 's/^/  stderr: /'
}
_differ() { # WHAT EXPECTED FOUND
    [ -z "${ran-}" ] || _shown
    fail "$1" "  expected: $2" "  found:    $3"
}
expect_status() { # N
    [ "$status" = "$1" ] || _differ "exit status" "$1" "$status"
    held
}
expect_equal() { # FOUND EXPECTED [WHAT]
    [ "$1" = "$2" ] || _differ "${3:-value}" "$2" "$1"
    held
}
expect_stdout() { # REGEX (extended)
    _fits "$1" .stdout || _differ "standard output" "/$1/" "no such line"
    held
}
expect_no_stdout() { # REGEX
    ! _fits "$1" .stdout || _differ "standard output" "no /$1/" \
        "$(grep -E -m 1 -- "$1" .stdout)"
    held
}
expect_stderr() { # REGEX
    _fits "$1" .stderr || _differ "standard error" "/$1/" "no such line"
    held
}
expect_silent() {
    [ ! -s .stderr ] || _differ "standard error" "nothing" "$stderr"
    held
}
# The two lines of an error: [ID] at the end of the first, then a hint.
expect_error() { # ID STATUS
    expect_status "$2"
    expect_stderr "^rehost: error: .* \[$1\]$"
    expect_stderr "^  hint: ."
}
# The last command's JSON, or FILE's, by a jq filter that must give EXPECTED.
expect_json() { # FILTER EXPECTED [FILE]
    local found
    found=$(jq -r "$1" "${3:-.stdout}" 2>&1)
    [ "$found" = "$2" ] || _differ "${3:-standard output}: $1" "$2" "$found"
    held
}
expect_file() { # PATH...
    local f
    for f; do
        [ -e "$f" ] || _differ "files" "$f" "$(ls -A "$(dirname "$f")" 2>&1)"
    done
    held
}
# A folder that is not there, or has nothing in it, hidden names included.
expect_empty() { # DIR
    local there
    there=$(ls -A "$1" 2>/dev/null)
    [ -z "$there" ] || _differ "what is left in $1" "nothing" "$there"
    held
}
expect_same_file() { # A B
    cmp -- "$1" "$2" >.cmp 2>&1 || _differ "$1" "same bytes as $2" "$(cat .cmp)"
    held
}
# Two disks of any format, as QEMU reads them; it also checks what it can.
expect_same_disk() { # A B [FORMAT-OF-A [FORMAT-OF-B]]
    qemu-img compare ${3:+-f "$3"} ${4:+-F "$4"} "$1" "$2" >.cmp 2>&1 ||
        _differ "disk $2" "the contents of $1" "$(cat .cmp)"
    held
}
expect_sound_qcow2() { # FILE
    qemu-img check -f qcow2 "$1" >.cmp 2>&1 ||
        _differ "qemu-img check $1" "no errors" "$(cat .cmp)"
    held
}
# JSON files against our schemas, by an outside validator.
expect_schema() { # FILE SCHEMA-NAME [FILE SCHEMA-NAME]...
    python3 - "$TOP/docs/schemas" "$@" >.cmp 2>&1 <<'PY' ||
import glob, json, os, sys, warnings, jsonschema
warnings.simplefilter("ignore")
folder, words = sys.argv[1], sys.argv[2:]
# They refer to each other by file name.
others = map(json.load, map(open, glob.glob(os.path.join(folder, "*.json"))))
store = {s["$id"]: s for s in others}
for file, name in zip(words[::2], words[1::2], strict=True):
    print("%s after %s:" % (file, name))
    schema = json.load(open(os.path.join(folder, name)))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(
        schema, resolver=jsonschema.RefResolver(schema["$id"], schema, store)
    ).validate(json.load(open(file)))
PY
        _differ "schema" "valid" \
            "$(grep ' after .*:$' .cmp | tail -n 1; grep -v '^  File' .cmp | tail -n 5)"
    held
}

# Our own Makefile, for the build that is being tested.
make_in_tree() { # ARGUMENT...
    make -C "$TOP" -s --no-print-directory B="$REHOST_BUILD" \
        SAN="${REHOST_SAN-}" "$@"
}

# A server's stand-in, tests/oracles/NAME_double.py, with its state in FOLDER:
# $STATE, $SERVER, $HOST.  What it says when it is ready stands in ./ready; it ends
# with the test.
stand_in() { # NAME FOLDER [OPTION...]
    STATE=$PWD/$2
    rm -f ready
    python3 "$TOP/tests/oracles/$1_double.py" --state "$STATE" "${@:3}" >ready 2>double.err &
    SERVER=$!
    trap '{ kill $SERVER && wait $SERVER; } 2>/dev/null' EXIT
    for _ in {1..800}; do # a busy machine makes its keys slowly
        [ ! -s ready ] || break
        sleep 0.05
    done
    read -r _ HOST _ <ready || fail "the stand-in did not start" "$(cat double.err)"
    HOST=${HOST#https://}
}

# --- making things -----------------------------------------------------------
# A file with data here and there and holes between: SIZE in bytes, any size.
make_disk() { # FILE SIZE [SEED]
    python3 - "$@" <<'PY'
import random, sys
path, size = sys.argv[1], int(sys.argv[2])
r = random.Random(sys.argv[3] if len(sys.argv) > 3 else "rehost")
with open(path, "wb") as f:
    f.truncate(size)
    at = 0
    while at < size:
        n = min(r.choice((512, 4096, 65536, 200704)), size - at)
        f.seek(at)
        if r.random() < 0.5:
            f.write(r.randbytes(n))
        else:
            f.write(bytes([r.randrange(1, 255)]) * n)
        at += n + r.choice((0, 512, 65536, 1 << 20, 5 << 20))
PY
}
