#!/bin/bash
# The dry run: what it says is what convert does; fleets; documents after their
# schemas; the page judged by an HTML validator and in a browser.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

OVF=$TOP/tests/ovf
# The smallest VM that has all of its package's disks.
SMALL=$SCRATCH/units_gigabytes.ovf
sed 's,</VirtualHardwareSection>,<Item><rasd:InstanceID>3</rasd:InstanceID>\
<rasd:ResourceType>6</rasd:ResourceType></Item><Item><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>\
<rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>0</rasd:AddressOnParent>\
<rasd:ResourceType>17</rasd:ResourceType></Item></VirtualHardwareSection>,' \
    "$OVF/units_gigabytes.ovf" >"$SMALL"
GUEST=$("$TOP/tests/guests/get.sh" --ova micro 2>/dev/null) || GUEST=

# vm NAME [OPTION...]: a vSphere export with an empty disk, in $SCRATCH.
vm() {
    local name=$1
    shift
    truncate -s 8M "$SCRATCH/$name.raw"
    python3 "$TOP/tests/guests/mkova.py" --name "$name" \
        --guest debian12_64Guest "$@" "$SCRATCH/$name.ova" \
        "$SCRATCH/$name.raw" >/dev/null || exit 1
    rm "$SCRATCH/$name.raw"
}
vm plain
vm other
head -c 5000 "$SCRATCH/plain.ova" >"$SCRATCH/broken.ova"

# --- plan and deed ---------------------------------------------------------------
# One VM to one target, both ways, with the same options.
same_as_convert() { # TARGET SOURCE OPTION...
    local to=$1 source=$2
    shift 2
    run "$REHOST" report "$source" --to "$to" --json r.json "$@"
    expect_status 0
    run "$REHOST" convert "$source" --to "$to" --out out "$@"
    expect_status 0
    expect_schema r.json rehost.report-1.json \
        out/*/report.json rehost.report-1.json \
        out/*/receipt.json rehost.receipt-1.json out/*/vm.json rehost.vm-1.json
    what='.vms[0] | (.targets[0] | .edits, .findings, .devices, .verdict), .vm'
    jq -S "$what" r.json >planned
    jq -S "$what" out/*/report.json >done_
    expect_equal "$(diff planned done_)" "" "what was planned"
    jq -S '[.vms[0].targets[0].edits[] | {where, what, fix}]' r.json >planned
    jq -S '[.edits[] | {where, what, fix}]' out/*/receipt.json >done_
    expect_equal "$(diff planned done_)" "" "edits of the receipt"
    rm -rf out
}
guest_as_planned() {
    [ -n "$GUEST" ] || skip_test "the guest could not be made"
    same_as_convert "$1" "$GUEST"
    expect_json '.vms[0].targets[0].edits | length > 3' true r.json
}
options_as_planned() {
    same_as_convert "$1" "$SCRATCH/plain.ova" --no-guest-fix \
        --network-map '*=net0' --set memory=1GiB --set firmware=uefi \
        --set nic0.mac=00:50:56:12:34:56
}
test_a_guest_kvm_as_planned() { guest_as_planned kvm; }
test_a_guest_xen_as_planned() { guest_as_planned xen; }
test_options_kvm_as_planned() { options_as_planned kvm; }
test_options_xen_as_planned() { options_as_planned xen; }
test_report_writes_nothing_but_what_was_asked_for() {
    cp "$SCRATCH/plain.ova" .
    sha256sum plain.ova >before
    run "$REHOST" report plain.ova --to all
    expect_status 0
    expect_equal "$(ls)" "$(printf 'before\nplain.ova')" "files"
    run sha256sum -c before
    expect_status 0
}

# --- exit status, and what is where ----------------------------------------------
test_status_0_and_text() {
    run "$REHOST" report "$SCRATCH/plain.ova" --to all
    expect_status 0
    expect_stdout '^plain  '
    expect_stdout 'KVM model .*with caution'
    expect_stdout 'Xen model .*with caution'
    expect_stdout 'Left to people'
    expect_equal "$(awk 'length > 80' .stdout)" "" "lines over 80 columns"
}
test_an_endless_name_in_80_columns() {
    run "$REHOST" report "$PAGES/hostile" --to all --no-guest
    expect_status 0
    expect_stdout '^ *KVM model  *with caution'
    expect_equal "$(awk 'length > 80' .stdout)" "" "lines over 80 columns"
}
test_status_4_when_no_target_takes_it() {
    run "$REHOST" report "$SCRATCH/plain.ova" --to all --set cpus=4000 --json
    expect_status 4
    expect_json '[.vms[0].targets[] | .verdict, .effort] | unique | join(",")' \
        blocked,manual
    expect_json '.vms[0].recommendation.target' null
}
test_status_0_when_one_target_takes_it() {
    run "$REHOST" report "$SCRATCH/plain.ova" --to all --set cpus=100 --json
    expect_status 0
    expect_json '[.vms[0].targets[] | .target + ":" + .verdict] | join(",")' \
        kvm:caution,xen:blocked
    expect_json .vms[0].recommendation.target kvm
}
test_status_3_for_a_broken_source_and_a_row() {
    run "$REHOST" report "$SCRATCH/broken.ova" --to all
    expect_status 3
    expect_stderr '^rehost: error: .* \[[A-Z_]+\]$'
    run "$REHOST" report "$SCRATCH/broken.ova" --to all --json r.json \
        --html r.html
    expect_status 3
    expect_stderr '"code"'
    expect_json '.failed | length' 1 r.json
    expect_json .vms '[]' r.json
    expect_schema r.json rehost.report-1.json
    grep -q 'Refused packages' r.html || fail "no row in the page"
}
test_status_1_for_no_source() {
    run "$REHOST" report nothing.ova --to kvm
    expect_error FILE_NOT_FOUND 1
}
test_status_2_for_usage() {
    run "$REHOST" report "$SCRATCH/plain.ova" --to moon
    expect_error PLAN_OPTION 2
    run "$REHOST" report "$SCRATCH/plain.ova" "$SCRATCH/other.ova" \
        --to all --need peace
    expect_error PLAN_OPTION 2
    run "$REHOST" report --to all
    expect_status 2
}
test_a_descriptor_alone_is_judged() {
    tar -xf "$SCRATCH/plain.ova" plain.ovf
    run "$REHOST" report plain.ovf --to all --json
    expect_status 0
    expect_json '[.vms[0].targets[].measured] | any' false
    expect_json '[.vms[0].targets[0].findings[] |
        select(.id == "DISK-FILE-MISSING").severity] | unique[0]' caution
    cp .stdout r.json
    expect_schema r.json rehost.report-1.json
    run "$REHOST" convert plain.ovf --to kvm --out out
    expect_status 3
    expect_empty out
}
test_needs_decide() {
    run "$REHOST" report "$SCRATCH/plain.ova" --to all --json \
        --need delta-backup,isolation
    expect_json .vms[0].recommendation.target xen
    run "$REHOST" report "$SCRATCH/plain.ova" --to all --json --need hci
    expect_json .vms[0].recommendation.target kvm
    expect_json '.vms[0].recommendation.reasons[0].id' FIT-NEED-MET
    run "$REHOST" report "$SCRATCH/plain.ova" --to all --json \
        --need hci,delta-backup
    expect_json '[.vms[0].recommendation.reasons[].id] |
        index("FIT-NEED-GIVEN-UP") != null' true
}

test_what_the_other_model_would_cost_is_said() {
    run "$REHOST" report "$SMALL" --to all --json \
        --no-guest --set os=solaris --need isolation
    expect_json .vms[0].recommendation.target kvm
    expect_json '[.vms[0].recommendation.reasons[].id] | join(" ")' \
        'FIT-NEED-GIVEN-UP FIT-OTHER-BLOCKED'
    expect_json '.vms[0].recommendation.reasons[1].message |
        contains("Solaris")' true
    run "$REHOST" report "$SMALL" --to all --json \
        --no-guest --need isolation
    expect_json '[.vms[0].recommendation.reasons[].id] | join(" ")' \
        'FIT-NEED-MET FIT-OTHER-LACKS FIT-OTHER-TOO'
    run "$REHOST" report "$SMALL" --to xen --json \
        --no-guest --need hci
    expect_json '[.vms[0].recommendation.reasons[].id] | join(" ")' \
        'FIT-NEED-UNMET FIT-ONLY'
}
test_what_a_vm_needs_itself_counts() {
    cp "$OVF/vmx_static_mac.vmx" v.vmx
    echo 'sched.cpu.latencySensitivity = "high"' >>v.vmx
    run "$REHOST" report v.vmx --to all --json --no-guest
    expect_json .vms[0].recommendation.target kvm
    expect_json .vms[0].recommendation.reasons[0].id FIT-VM-NEED-MET
}
# Another provider's model is a file beside the others, with needs of its own.
test_a_third_model_is_a_file() {
    mkdir -p data/models/third
    cat >data/models/third/model.yaml <<'YAML'
model: third
target: kvm
name: {en: "Third model", ja: "第三のモデル"}
properties:
  - id: built-on
    label: {en: "Built on", ja: "基盤"}
    value: {en: "something else", ja: "その他"}
needs:
  shared-gpus: {en: "shared GPUs", ja: "GPUの共有"}
offers: [shared-gpus, hci-storage]
lacks: [strict-isolation]
YAML
    run env REHOST_DATA="$PWD/data" "$REHOST" report --to all --no-guest \
        "$SMALL" --need shared-gpus --json r.json \
        --html r.html
    expect_status 0
    expect_schema r.json rehost.report-1.json
    expect_json '[.models[].model] | join(" ")' 'kvm xen third' r.json
    expect_json '.vms[0].recommendation | .target + " " + .model' 'kvm third' \
        r.json
    expect_json .vms[0].recommendation.reasons[0].message \
        'Third model offers shared GPUs' r.json
    expect_stdout 'Recommended: Third model'
    grep -q 'Recommended: Third model' r.html || fail "not on the page"
    run env REHOST_DATA="$PWD/data" "$REHOST" report --to all --no-guest \
        "$SMALL" --need peace
    expect_error PLAN_OPTION 2
    expect_stderr 'isolation, .*, solaris, shared-gpus$'
    printf 'target: kvm\n\tx' >data/models/third/model.yaml
    run env REHOST_DATA="$PWD/data" "$REHOST" report --to all --no-guest \
        "$SMALL"
    expect_error TARGET_MODEL 1
    expect_stderr 'third/model.yaml: line 2: '
    echo 'target: moon' >data/models/third/model.yaml
    run env REHOST_DATA="$PWD/data" "$REHOST" report --to all --no-guest \
        "$SMALL"
    expect_stderr 'third/model.yaml: there is no target "moon"'
}
test_one_document_is_printed_at_most() {
    run "$REHOST" report "$SMALL" --to all --no-guest \
        --json - --html r.html
    expect_status 0
    expect_json .schema rehost.report/1
    expect_file r.html
    run "$REHOST" report "$SMALL" --to all --no-guest \
        --json --html -
    expect_status 2
    expect_equal "$stdout" "" "standard output"
}
test_refused_and_blocked_in_one_fleet() {
    run "$REHOST" report "$OVF/no_hardware_section_is_a_blocker.ovf" \
        "$SMALL" --to all --no-guest
    expect_status 4
    run "$REHOST" report "$OVF/no_hardware_section_is_a_blocker.ovf" \
        "$OVF/doctype_is_refused.ovf" --to all --no-guest --json
    expect_status 3
    expect_json '[.vms, .failed | length] | join(" ")' '1 1'
}

# --- fleets ------------------------------------------------------------------------
fleet() {
    mkdir -p fleet/b fleet/a
    cp "$SCRATCH/plain.ova" fleet/b/
    cp "$SCRATCH/other.ova" fleet/a/
    cp "$SCRATCH/broken.ova" fleet/
    cp "$SMALL" fleet/a/z.ovf
}
test_what_a_folder_of_packages_holds_beside_them_is_told() {
    mkdir -p all/bare all/whole/disks all/1/2/3/4/5
    touch all/one.ova all/two.ova.bz2 all/1/2/3/4/5/deep.ova all/whole/web.vbox \
        all/whole/disks/web.vdi
    truncate -s 1M all/bare/db01.qcow2 all/bare/data.raw
    run "$REHOST" report all --to kvm --no-guest --json
    expect_json '[.failed[].source] | join(" ")' \
        "all/one.ova all/two.ova.bz2 all/whole/web.vbox"
    expect_stderr '^rehost: warning: all/1/2/3/4/5 is left out'
    expect_stderr '^rehost: warning: all/bare/(db01.qcow2|data.raw): disks without .*\(2 in that folder\)'
    # A descriptor in the folder above may speak of those.
    expect_equal "$(grep -c warning: .stderr)" 2
}
test_a_folder_is_a_fleet_and_a_broken_package_a_row() {
    fleet
    run "$REHOST" report fleet --to all --no-guest --json r.json --html r.html
    expect_status 3
    expect_json '[.vms[].source] | join(" ")' \
        'fleet/a/other.ova fleet/a/z.ovf fleet/b/plain.ova' r.json
    expect_json '[.failed[].source] | join(" ")' fleet/broken.ova r.json
    expect_schema r.json rehost.report-1.json
    expect_stdout '^VMs: 3, packages refused: 1$'
    expect_stdout '^fleet/broken.ova: refused'
}
test_order_and_words_do_not_depend_on_threads() {
    fleet
    run "$REHOST" report fleet --to all --no-guest --json --threads 1
    jq 'del(.. | .seconds?)' .stdout >one
    run "$REHOST" report fleet --to all --no-guest --json --threads 7
    jq 'del(.. | .seconds?)' .stdout >seven
    expect_same_file one seven
}
test_the_same_mac_twice_is_told() {
    run "$REHOST" report "$SCRATCH/plain.ova" "$SCRATCH/other.ova" --to all \
        --json --no-guest --set nic0.mac=00:50:56:12:34:56
    expect_status 0
    expect_json '[.vms[] | [.targets[] | [.findings[] |
        select(.id == "FLEET-DUPLICATE-MAC")] | length] | add] | join(",")' 2,2
    expect_json '[.vms[0].targets[0].findings[] |
        select(.id == "FLEET-DUPLICATE-MAC")][0].message |
        contains("other")' true
    run "$REHOST" report "$SCRATCH/plain.ova" --to all --json --no-guest
    expect_json '[.. | .id? | select(. == "FLEET-DUPLICATE-MAC")] | length' 0
}
test_the_same_mac_twice_in_one_package_is_told_once() {
    run "$REHOST" report "$OVF/macs_twice_in_a_package.ovf" --to all \
        --json --no-guest
    expect_json '[.vms[].targets[].findings[] |
        select(.id == "FLEET-DUPLICATE-MAC") | .message] | join("; ")' \
"the MAC address 00:50:56:12:34:56 is also that of b; \
the MAC address 00:50:56:12:34:56 is also that of b; \
the MAC address 00:50:56:12:34:56 is also that of a; \
the MAC address 00:50:56:12:34:56 is also that of a"
    expect_json '[.. | .id? | select(. == "FLEET-DUPLICATE-NAME")] | length' 0
}
test_200_descriptors() {
    local i
    mkdir many
    for ((i = 0; i < 200; i++)); do
        mkdir many/$i
        cp "$SMALL" many/$i/vm.ovf
    done
    run "$REHOST" report many --to all --no-guest --json r.json --html r.html
    expect_status 0
    expect_json '.vms | length' 200 r.json
    expect_equal "$(grep -c '<article' r.html)" 200 "VMs on the page"
}

# --- other documents -----------------------------------------------------------------
test_disk_info_after_its_schema() {
    truncate -s 1M d.raw
    run "$REHOST" disk convert d.raw d.qcow2
    run "$REHOST" disk info --json d.qcow2
    cp .stdout i.json
    expect_schema i.json rehost.disk-1.json
}

# --- the page ------------------------------------------------------------------------
pages() {
    local lang
    mkdir -p hostile
    python3 - "$SMALL" hostile/x.ovf <<'PY'
import re, sys
text = open(sys.argv[1]).read()
name = '&lt;script&gt;alert(1)&lt;/script&gt;&quot;\'&#x202e;' + 'W' * 300
text = re.sub(r'<VirtualSystem ([^>]*)ovf:id="[^"]*"',
              r'<VirtualSystem \1ovf:id="%s"' % name, text)
text = re.sub(r'(<(?:\w+:)?ElementName>)[^<]*', r'\g<1>' + name, text)
text = re.sub(r"<Name>[^<]*", lambda m: "<Name>" + name, text)
open(sys.argv[2], "w").write(text)
PY
    grep -q '&lt;script&gt;' hostile/x.ovf || echo "no hostile name" >&2
    for lang in en ja; do
        "$REHOST" report "$SCRATCH/plain.ova" "$OVF"/n[aiuv]*.ovf "$OVF"/b*.ovf \
            "$OVF"/vmx_[abs]* hostile --to all \
            --no-guest --lang $lang --html fleet-$lang.html
        "$REHOST" report "${GUEST:-$SCRATCH/plain.ova}" --to all \
            --lang $lang --html one-$lang.html
        "$REHOST" report hostile --to xen --lang $lang \
            --html hostile-$lang.html
    done >/dev/null 2>made.log
}
mkdir "$SCRATCH/pages"
(cd "$SCRATCH/pages" && pages)
PAGES=$SCRATCH/pages
have_pages() {
    [ -s "$PAGES/fleet-ja.html" ] && [ -s "$PAGES/one-ja.html" ] &&
        [ -s "$PAGES/hostile-ja.html" ] ||
        fail "pages are missing" "$(cat "$PAGES/made.log")"
}
# npm's packages for the judges, kept in the build folder.
judges() {
    need node npm
    local dir=$BUILD/npm-report
    mkdir -p "$dir"
    [ -d "$dir/node_modules/playwright-core" ] &&
        [ -d "$dir/node_modules/html-validate" ] ||
        (cd "$dir" && echo '{"private": true}' >package.json &&
            npm install --no-audit --no-fund html-validate@9 \
                playwright-core@1 >npm.log 2>&1) ||
        skip_test "npm cannot install html-validate and playwright-core"
    MODULES=$dir
}
test_the_page_is_valid_html() {
    judges
    have_pages
    run "$MODULES/node_modules/.bin/html-validate" "$PAGES"/*.html
    expect_status 0
    echo '<!DOCTYPE html><html lang="en"><p><div></p></html>' >bad.html
    run "$MODULES/node_modules/.bin/html-validate" bad.html
    expect_status 1
}
test_the_page_in_a_browser_at_two_widths_in_two_languages() {
    judges
    need chromium
    have_pages
    run node "$TOP/tests/judges/page.mjs" "$(command -v chromium)" \
        "$MODULES" "$PAGES"/*.html
    expect_equal "$stdout$stderr" "" "faults of layout"
    expect_status 0
    # The judge sees what is wrong.
    cat >bad.html <<'HTML'
<!DOCTYPE html><html lang="en"><title>x</title><body style="color:#ccc">
<p style="width:2000px">wide</p><p style="margin-top:-30px">over it</p>
<svg width="10" height="10"><text x="5" y="5">long text</text></svg>
HTML
    run node "$TOP/tests/judges/page.mjs" "$(command -v chromium)" \
        "$MODULES" bad.html
    expect_status 1
    expect_stdout 'the page is 20'
    expect_stdout 'lies on'
    expect_stdout 'contrast'
    expect_stdout 'no label'
    expect_stdout 'leaves its picture'
}
test_the_page_needs_nothing_from_outside() {
    have_pages
    ! grep -oE '(src|href)="[^#"][^"]*"' "$PAGES"/*.html >.judge ||
        fail "outside references" "$(cat .judge)"
    expect_equal "$(grep -l '<script>alert' "$PAGES"/*.html)" "" "names as code"
    expect_equal "$(grep -lP '\x{202e}' "$PAGES"/*.html)" "" "reordering characters"
    expect_equal "$(sed -n 's/^<html lang="\(..\)">.*/\1/p' "$PAGES/one-ja.html")" ja \
        "language"
    expect_equal "$(sed -n 's/^<html lang="\(..\)">.*/\1/p' "$PAGES/one-en.html")" en \
        "language"
}

run_tests
