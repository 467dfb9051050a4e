# lib-vsphere.sh - a vCenter or ESXi to test against.
#
# The simulator is built from the shared material (VMware's own library from
# Debian's packages golang-go and golang-github-vmware-govmomi-dev), once, into
# the build folder; `make check-live` installs what that takes.  The machines
# are those of $SCRATCH/vms.json; the password is $SECRET.
# SPDX-License-Identifier: LGPL-2.1-or-later
SIM=$BUILD/vsphere-sim
_sim_source=$RH_SHARED/oracles/handover/vsphere

_build_sim() {
    [ -x "$SIM" ] && [ "$SIM" -nt "$_sim_source/vsphere-sim.go" ] && return
    [ -e "$_sim_source/build.sh" ] && command -v go >/dev/null || return
    timeout "${LIVE_BUILD_TIME:-120}" nice sh "$_sim_source/build.sh" \
        "$SIM.$$" >/dev/null 2>&1 && mv "$SIM.$$" "$SIM"
    rm -f "$SIM.$$"
}
_build_sim

# Its own port stands in its addresses, so it must be told one: 1 where somebody
# else has taken that in between.
_start_sim() { # PORT OPTION...
    local port=$1
    shift
    TMPDIR=$PWD "$SIM" -spec "$SCRATCH/vms.json" -l "127.0.0.1:$port" \
        -pass "$SECRET" -task-delay 100ms -cert-out cert.pem "$@" \
        >ready 2>sim.err &
    SERVER=$!
    trap 'kill $SERVER 2>/dev/null; wait $SERVER 2>/dev/null' EXIT
    while ! grep -q ^ready ready; do
        kill -0 $SERVER 2>/dev/null || return 1
        sleep 0.1
    done
}
# Start one: $HOST, its certificate in cert.pem; it ends with the test.
simulate() { # esx|vcenter [OPTION...]
    need curl jq openssl
    need_built_with libcurl
    [ -x "$SIM" ] || skip_test "no vSphere simulator (make check-live builds it)"
    local mode=$1 port
    shift
    for _ in 1 2 3 4 5; do
        port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        _start_sim "$port" -mode "$mode" "$@" && break
        grep -q 'in use' sim.err || break
    done
    grep -q ^ready ready || fail "the simulator did not start" "$(cat sim.err)"
    HOST=127.0.0.1:$port
    export REHOST_SOURCE_USER=root
}
# VMware's own client, for whichever Python has it: $PYVMOMI.
need_pyvmomi() {
    for PYVMOMI in python3 /usr/bin/python3; do
        "$PYVMOMI" -c 'import pyVmomi' 2>/dev/null && return
    done
    skip_test "python3-pyvmomi is not installed"
}
live_env() { # COMMAND...
    REHOST_SOURCE_PASSWORD=$SECRET run timeout 120 "$@"
    ! grep -qF -- "$SECRET" .stdout .stderr || fail "the password was shown"
}
live() { # rehost COMMAND...
    live_env "$REHOST" "$@" --source-tls-ca cert.pem
}
sim_state() { # VM FILTER
    curl -skG --data-urlencode "vm=$1" "https://$HOST/_sim/state" | jq -r "$2"
}
expect_no_sessions() {
    expect_equal "$(sim_state web01 .sessions)" 0 "sessions left"
}
# No session, no lease, no snapshot is left on the server.
expect_clean() { # VM
    expect_equal "$(sim_state "$1" '[.sessions, .lease, .snapshots] | map(tostring) | join(" ")')" \
        "0 false 0" "sessions, lease, snapshots left"
}
