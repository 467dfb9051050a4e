# lib-vsphere.sh - a vCenter or ESXi to test against.
#
# The simulator is built from the shared material (VMware's own library from
# Debian's packages golang-go and golang-github-vmware-govmomi-dev), once, into
# the build folder, together with tests/oracles/vsphere_more.go (tags by REST);
# `make check-live` installs what that takes.  The machines
# are those of $SCRATCH/vms.json; the password is $SECRET.
# SPDX-License-Identifier: LGPL-2.1-or-later
SIM=$BUILD/vsphere-sim
_sim_source=$RH_SHARED/oracles/handover/vsphere

_sim_more=$TOP/tests/oracles/vsphere_more.go

_compile_sim() { # FOLDER
    cp "$_sim_source"/*.go "$_sim_more" "$1" &&
        sed -i -e 's|^\tmux.Handle("/sdk/", inner)$|&\n\trestRoutes(mux)|' \
            -e 's|^\tcheck(srv.ServeTLS|\tcountData(srv)\n&|' \
            "$1/vsphere-sim.go" &&
        GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS= CGO_ENABLED=0 \
            GOCACHE=${GOCACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/go-build} \
            timeout "${LIVE_BUILD_TIME:-120}" nice \
            go build -o "$SIM.$$" "$1"/*.go >/dev/null 2>&1 &&
        mv "$SIM.$$" "$SIM"
}
_build_sim() {
    [ -x "$SIM" ] && [ "$SIM" -nt "$_sim_source/vsphere-sim.go" ] &&
        [ "$SIM" -nt "$_sim_more" ] && return
    [ -e "$_sim_source/build.sh" ] && command -v go >/dev/null || return
    local folder
    folder=$(mktemp -d) || return
    _compile_sim "$folder"
    rm -rf "$folder" "$SIM.$$"
}
_build_sim

# Its own port stands in its addresses, so it must be told one: 1 where somebody
# else has taken that in between.
_start_sim() { # PORT OPTION...
    local port=$1
    shift
    : >ready # of an earlier one
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
    expect_equal "$(curl -sk "https://$HOST/_sim/rest")" 0 "REST sessions left"
}
# vCenter's tags, by the API that people make them by: `id_of` what it answers.
_rest() { # PATH [JSON]
    curl -skf "https://$HOST/rest/com/vmware/cis/$1" -X POST \
        -H "vmware-api-session-id: $_rest_session" \
        -H 'Content-Type: application/json' ${2:+-d "$2"} | jq -r '.value // ""'
}
with_tags() { # then make_tag, tag_vm as often as wanted, then without_tags
    _rest_session=$(curl -skf -X POST -u "root:$SECRET" \
        "https://$HOST/rest/com/vmware/cis/session" | jq -r .value)
}
make_tag() { # CATEGORY TAG: prints its id
    local category
    category=$(_rest tagging/category "$(jq -n --arg n "$1" '{create_spec:
        {name: $n, description: "", cardinality: "MULTIPLE", associable_types: []}}')")
    _rest tagging/tag "$(jq -n --arg n "$2" --arg c "$category" '{create_spec:
        {name: $n, description: "", category_id: $c}}')"
}
tag_vm() { # TAG-ID MOREF
    _rest "tagging/tag-association/id:$1?~action=attach" \
        "{\"object_id\": {\"type\": \"VirtualMachine\", \"id\": \"$2\"}}" >/dev/null
}
rest_mode() { # MODE of tests/oracles/vsphere_more.go
    curl -sk -X POST "https://$HOST/_sim/rest?mode=$1" >/dev/null
}
without_tags() {
    curl -sk -X DELETE "https://$HOST/rest/com/vmware/cis/session" \
        -H "vmware-api-session-id: $_rest_session" >/dev/null
}
# No session, no lease, no snapshot is left on the server.
expect_clean() { # VM
    expect_equal "$(sim_state "$1" '[.sessions, .lease, .snapshots] | map(tostring) | join(" ")')" \
        "0 false 0" "sessions, lease, snapshots left"
}
