#!/bin/bash
# package.sh - every odd kind of package is understood, and its disk comes out
# as it went in; manifests and signatures say what they should.
. "$(dirname "$0")/lib.sh"

command -v qemu-img >/dev/null || { skip package "no qemu-img"; finish; exit; }
MAKE="python3 $TOP/tests/mkpackage.py"
RAW=$SCRATCH/box.raw VMDK=$SCRATCH/box.vmdk
make_disk "$RAW" 8388608
qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$RAW" "$VMDK"

package() { # CASE: leaves its path in $made
    made=$($MAKE make "$1" "$VMDK" "${2-.}") || fail "mkpackage.py $1 failed"
}
# Its first disk, by the whole way through convert.
expect_contents() { # SOURCE
    run "$REHOST" convert "$1" --to kvm --out out --format raw --no-guest-fix \
        --name box --set memory=1GiB
    expect_status 0
    expect_same_file out/box/disk0.raw "$RAW"
}

understands() { # CASE PATH
    run "$REHOST" inspect "$2" --json
    expect_status 0
    expect_json '.vms | length' 1
    expect_json '.vms[0].disks[0].capacity_bytes' 8388608
    case $1 in
    manifest-*) expect_json .package.manifest unverified ;;
    bare-*) expect_json .vms[0].name box ;;
    *) expect_json .vms[0].cpus 2 ;;
    esac
    expect_contents "$2"
}
cases=0
while read -r case path; do
    check "$case" understands "$case" "$path"
    cases=$((cases + 1))
done < <($MAKE odd "$VMDK" "$SCRATCH/odd")
rm -rf "$SCRATCH/odd"

# --- ways in -----------------------------------------------------------------
test_standard_input_as_a_pipe_and_as_a_file() {
    package tar-xz
    for how in pipe file; do
        if [ $how = pipe ]; then
            cat "$made" | "$REHOST" inspect - --json >got
        else
            "$REHOST" inspect - --json <"$made" >got
        fi
        expect_equal $? 0 "exit status by $how"
        expect_json .vms[0].name box got
        expect_json .package.kind ova.xz got
    done
}
test_a_named_pipe() {
    package plain-ustar
    mkfifo pipe
    cat "$made" >pipe &
    run timeout 60 "$REHOST" inspect pipe --json
    wait
    expect_status 0
    expect_json .vms[0].cpus 2
}
test_a_silent_pipe_can_be_interrupted() {
    mkfifo pipe
    sleep 30 >pipe &
    silent=$!
    timeout -s INT -k 20 2 "$REHOST" inspect - <pipe 2>.stderr
    expect_equal $? 124 "timeout's word that it had to ask"
    run timeout -s INT -k 20 --preserve-status 2 "$REHOST" inspect pipe
    expect_status 130
    kill $silent
}
test_a_member_beyond_8_gib_is_read_in_place() {
    python3 - <<'PY'
import importlib.util, os
spec = importlib.util.spec_from_file_location(
    "m", os.environ["TOP"] + "/tests/mkpackage.py")
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
m.CAPACITY = size = 9 << 30
with open("big.ova", "wb") as f:
    f.write(m.member("box.ovf", m.simple("box.raw")))
    f.write(m.header("box.raw", 0, magic=m.GNU,
                     size_field=b"\x80" + size.to_bytes(11, "big")))
    f.seek(size, 1)
    f.write(m.END)
PY
    TMPDIR=$PWD/tmp run "$REHOST" inspect big.ova --json # no such folder: no spool
    expect_status 0
    expect_json .vms[0].disks[0].capacity_bytes 9663676416
}
test_an_unknown_address_is_refused() {
    run "$REHOST" inspect ftp://localhost/box.ova
    expect_error USAGE 2
}
test_a_source_that_is_not_there() {
    run "$REHOST" inspect nowhere.ova
    expect_error FILE_NOT_FOUND 1
    expect_stderr "nowhere.ova"
}

# --- what is missing ------------------------------------------------------------
test_a_disk_that_is_not_there_is_a_finding_and_convert_refuses() {
    package folder
    rm box/box.vmdk
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json '[.. | objects | select(.id? == "DISK-FILE-MISSING")] | length > 0' true
    run "$REHOST" convert box --to kvm --out out --no-guest-fix
    expect_status 3
    expect_empty out
}
test_a_disk_above_the_folder_is_a_finding_and_never_opened() {
    package folder
    sed -i 's/href="box.vmdk"/href="..\/box.vmdk"/' box/box.ovf
    rm box/box.mf
    mv box/box.vmdk .
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json '[.. | objects | select(.id? == "DISK-FILE-OUTSIDE")] | length > 0' true
    # A sound disk lies there: had it been opened, its format would be known.
    expect_json .vms[0].disks[0].format null
    run "$REHOST" convert box --to kvm --out out --no-guest-fix
    expect_status 3
    expect_empty out
}
test_the_only_ovf_beside_a_wrong_size_is_told() {
    package folder
    sed -i 's/href="box.vmdk"/href="box.vmdk" ovf:size="5"/' box/box.ovf
    rm box/box.mf
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json '.package.findings[] | select(.id == "PACKAGE-FILE-SIZE") | .subject' box.vmdk
}

# --- manifest ------------------------------------------------------------------
test_no_manifest_is_a_caution_and_may_be_required() {
    package loose-ovf
    run "$REHOST" inspect "$made" --json
    expect_status 0
    expect_json .package.manifest absent
    expect_json '.package.findings[] | select(.id == "PACKAGE-NO-MANIFEST") | .severity' caution
    run "$REHOST" inspect "$made" --require-manifest
    expect_error MANIFEST_MISSING 3
}
# Nothing vouches for anything: never "verified", and refused when required.
vouches_for_nothing() { # MANIFEST-FILE
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json .package.manifest unverified
    expect_json '[.package.findings[] | select(.id == "PACKAGE-MANIFEST-EMPTY")] | length' 1
    expect_json '[.package.findings[] | select(.id == "PACKAGE-NOT-LISTED")] | length' 2
    run "$REHOST" inspect box --require-manifest
    expect_error MANIFEST_INCOMPLETE 3
    run "$REHOST" convert box --to kvm --out out --no-guest-fix --overwrite
    expect_status 0
    expect_json .source.manifest unverified out/box/receipt.json
}
test_a_manifest_without_a_digest_verifies_nothing() {
    package folder
    : >box/box.mf
    vouches_for_nothing
    printf '<!DOCTYPE html><html><body>Sign in</body></html>' >box/box.mf
    vouches_for_nothing
    run "$REHOST" inspect box --json
    expect_stdout "web page"
    printf '\377\376<\000h\000' >box/box.mf
    vouches_for_nothing
    for file in box.ovf box.vmdk; do
        echo "SHA3-256($file)= $(openssl dgst -sha3-256 -r "box/$file" | cut -d' ' -f1)"
    done >box/box.mf
    vouches_for_nothing
}
test_verified_means_that_every_used_file_was() {
    package folder
    (cd box && openssl dgst -sha256 box.ovf box.vmdk >box.mf)
    grep -q 'SHA2-256(box.vmdk)' box/box.mf || sed -i s/SHA256/SHA2-256/ box/box.mf
    run "$REHOST" convert box --to kvm --out out --no-guest-fix
    expect_status 0
    expect_json .source.manifest verified out/box/receipt.json
    sed -i /vmdk/d box/box.mf
    run "$REHOST" convert box --to kvm --out out --no-guest-fix --overwrite
    expect_status 0
    expect_json .source.manifest unverified out/box/receipt.json
}
test_each_digest_of_a_file_must_fit() {
    package folder
    for first in sha256 sha512; do
        for second in sha1 md5 sha384; do
            (cd box && openssl dgst -$first box.ovf box.vmdk >box.mf &&
             openssl dgst -$second box.ovf box.vmdk >>box.mf)
            run "$REHOST" convert box --to kvm --out out --no-guest-fix --overwrite
            expect_status 0
            expect_json .source.manifest verified out/box/receipt.json
            expect_json '.source.files[0].digest | test("^[0-9a-f]+$")' true out/box/receipt.json
            sed -i '$s/\(.\)$/\1/; $s/= ..../= 0bad/' box/box.mf
            run "$REHOST" convert box --to kvm --out out --no-guest-fix --overwrite
            expect_error MANIFEST_MISMATCH 3
            expect_stderr "box.vmdk: its $second is .* says 0bad"
        done
    done
}
test_a_manifest_that_leaves_out_the_disk() {
    package folder
    sed -i /vmdk/d box/box.mf
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json '.package.findings[] | select(.id == "PACKAGE-NOT-LISTED") | .subject' box.vmdk
    run "$REHOST" inspect box --require-manifest
    expect_error MANIFEST_INCOMPLETE 3
}
test_a_line_that_makes_no_sense_is_told() {
    package folder
    echo "SHA256(box.vmdk) is fine" >>box/box.mf
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json '.package.findings[] | select(.id == "PACKAGE-MANIFEST-LINE") | .message' \
        "line 3 of the manifest is not understood"
}
test_a_listed_file_that_nobody_needs_may_be_missing() {
    package folder
    echo "SHA1(gone.iso)= da39a3ee5e6b4b0d3255bfef95601890afd80709" >>box/box.mf
    run "$REHOST" inspect box --json
    expect_status 0
    expect_json '.package.findings[] | select(.id == "PACKAGE-LISTED-MISSING") | .subject' gone.iso
}
test_a_flipped_byte_in_the_disk_leaves_nothing() {
    package plain-ustar
    python3 - "$made" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:  # in the first grain's data
    data = f.read()
    at = data.index(b"KDMV") + 66000
    f.seek(at)
    f.write(bytes([data[at] ^ 1]))
PY
    run "$REHOST" convert "$made" --to kvm --out out --no-guest-fix
    expect_status 3
    expect_empty out
}

# --- signatures --------------------------------------------------------------------
# A CA, a signer of it, a stranger; and box.cert over box.mf by the signer.
sign() { # [DIGEST [SIGNER]]
    local digest=${1-sha256} signer=${2-signer} hex
    hex=$(openssl dgst "-$digest" -sign "$SCRATCH/$signer.key" box/box.mf |
        od -An -v -tx1 | tr -d ' \n')
    { echo "${digest^^}(box.mf)= $hex"; cat "$SCRATCH/$signer.pem"; } >box/box.cert
}
certificates() {
    local subject
    cd "$SCRATCH" || return 1
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem \
        -days 30 -subj "/O=Box Works/CN=Box CA" &&
    openssl req -x509 -newkey rsa:2048 -nodes -keyout stranger.key \
        -out stranger.pem -days 30 -subj "/CN=Nobody" &&
    openssl req -newkey rsa:2048 -nodes -keyout signer.key -out signer.csr \
        -subj "/O=Büro/CN=Box Signer" -utf8 &&
    openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -set_serial 7 \
        -days 30 -out signer.pem
}
command -v openssl >/dev/null && (certificates) >/dev/null 2>&1

test_a_signature_names_its_signer() {
    need openssl
    for digest in sha256 sha1 sha512; do
        package folder
        sign $digest
        run "$REHOST" inspect box --json
        expect_status 0
        expect_json .package.signature untrusted
        expect_json .package.signer "CN=Box Signer,O=Büro"
        expect_json '.package.findings[] | select(.id == "PACKAGE-SIGNER-UNKNOWN") | .severity' info
    done
}
test_a_signature_that_leads_to_the_ca_is_verified() {
    need openssl
    package folder
    sign
    run "$REHOST" inspect box --json --trust "$SCRATCH/ca.pem"
    expect_status 0
    expect_json .package.signature verified
    run "$REHOST" inspect box --json --trust "$SCRATCH/signer.pem"
    expect_json .package.signature verified
}
test_a_signature_of_a_stranger_is_refused_when_a_ca_is_given() {
    need openssl
    package folder
    sign sha256 stranger
    run "$REHOST" inspect box --trust "$SCRATCH/ca.pem"
    expect_error CERT_UNTRUSTED 3
    expect_stderr "Nobody"
}
test_a_missing_signature_is_refused_when_a_ca_is_given() {
    need openssl
    package folder
    run "$REHOST" inspect box --trust "$SCRATCH/ca.pem"
    expect_error CERT_UNTRUSTED 3
}
test_a_manifest_changed_after_signing_is_refused() {
    need openssl
    package folder
    sign
    echo >>box/box.mf
    run "$REHOST" inspect box
    expect_error CERT_MISMATCH 3
}
test_a_certificate_file_that_is_none_is_refused() {
    package folder
    echo "SHA256(box.mf)= 00" >box/box.cert
    run "$REHOST" inspect box
    expect_error CERT_INVALID 3
}
test_a_signed_archive() {
    need openssl
    package folder
    sign
    tar -C box -cf signed.ova box.ovf box.mf box.cert box.vmdk
    run "$REHOST" inspect signed.ova --json --trust "$SCRATCH/ca.pem" --require-manifest
    expect_status 0
    expect_json .package.signature verified
}
test_a_trust_file_that_is_not_there() {
    need openssl
    package folder
    sign
    run "$REHOST" inspect box --trust nowhere.pem
    expect_status 1
    expect_stderr "nowhere.pem"
}

test_the_generator_made_all_of_them() {
    expect_equal $((cases >= 60)) 1 "enough cases ($cases)"
}
run_tests
