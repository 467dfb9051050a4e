#!/bin/bash
# guests.sh - Windows guests, the long list: versions, real registries, boot
# configurations, virtio packages, volumes; tests/windows.sh has one of each.
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-windows.sh"
needs_windows_tools guests

# --- what it is ----------------------------------------------------------------
test_every_version_has_its_profile() {
    local row expected
    while IFS=' ' read -r expected row; do
        rm -f v.raw
        SIZE_MIB=16 sh "$tools/mkwindows.sh" v.raw "$row" >made 2>&1 || fail "$(cat made)"
        run "$REHOST" report v.raw --to kvm --set memory=2GiB --set cpus=1 --json -
        expect_json "$guest.profile" "$expected"
    done <<'END'
windows-2000 Microsoft Windows 2000|||2195|5.0|||32
windows-xp Microsoft Windows XP|||2600|5.1|||32
windows-xp Microsoft Windows XP|||3790|5.2|||64
windows-2003 Microsoft Windows Server 2003|||3790|5.2|Server||32
windows-vista Windows Vista (TM) Business|||6002|6.0|Client|Business|32
windows-2008 Windows Server (R) 2008 Standard|||6002|6.0|Server|ServerStandard|64
windows-2008r2 Windows Server 2008 R2 Standard|||7601|6.1|Server|ServerStandard|64
windows-8 Windows 8 Pro|||9200|6.2|Client|Professional|64
windows-2012 Windows Server 2012 Standard|||9200|6.2|Server|ServerStandard|64
windows-2016 Windows Server 2016 Standard|10|0|14393|6.3|Server|ServerStandard|64
windows-10 Windows 10 Enterprise LTSC|10|0|17763|6.3|Client|EnterpriseS|64
windows-2025 Windows Server 2025 Datacenter|10|0|26100|6.3|Server Core|ServerDatacenterCor|64
END
}

# --- the boot disk's driver --------------------------------------------------------
test_a_second_run_changes_nothing() {
    disk w7 win7
    convert w7 kvm --devices emulated
    expect_status 0
    expect_json '[.edits[] | select(.fix == "windows.boot-start")] | length' 1 \
        out/w7/receipt.json
    run "$REHOST" report out/w7/disk0.raw --to kvm --devices emulated \
        --set memory=2GiB --set cpus=1 --json -
    expect_json "$edited" ""
}
test_the_same_input_gives_the_same_bytes() {
    disk w2019 win2019
    convert w2019 kvm --devices emulated
    mv out first
    sleep 1.1
    convert w2019 kvm --devices emulated
    expect_same_file first/w2019/disk0.raw out/w2019/disk0.raw
}
test_one_that_starts_on_nothing_is_blocked_and_keeps_the_profiles_devices() {
    real onecore win10 system/win10-rtm-onecore.SYSTEM
    report onecore xen
    expect_status 4
    expect_json '.vms[0].targets[0].devices.disk' ide
    expect_json '[.vms[0].targets[0].findings[].id | select(test("DRIVER|DEVICES"))] | join(" ")' \
        WINDOWS-DRIVER-MISSING
}
test_only_the_files_that_are_recorded_differ() {
    disk w2019 win2019
    convert w2019 kvm --devices emulated $nic
    mkdir mnt
    for f in "$SCRATCH/w2019.raw" out/w2019/disk0.raw; do
        volume "$f"
        ntfs-3g -o ro ntfs mnt
        (cd mnt && find . -type f -exec sha256sum {} + | sort -k 2)
        fusermount -u mnt
    done >both
    expect_equal "$(sort both | uniq -u | sed 's/^[0-9a-f]*  .//' | sort -u)" \
"$(jq -r '.edits[].where' out/w2019/receipt.json |
    sed 's|^HKLM.SYSTEM.*|/Windows/System32/config/SYSTEM|' | sort -u)"
}
test_windows_7_is_switched_in_both_control_sets() {
    real r7 win7-32 system/win7-sp1-x86-vmware.SYSTEM
    report r7 kvm --devices emulated
    expect_status 0
    expect_json '.vms[0].targets[0].edits[] | select(.fix == "windows.boot-start") | .where' \
'HKLM\SYSTEM\ControlSet001\Services\msahci\Start
HKLM\SYSTEM\ControlSet002\Services\msahci\Start'
    report r7 xen
    expect_json '.vms[0].targets[0].edits[] | select(.fix == "windows.boot-start") | .where' \
'HKLM\SYSTEM\ControlSet001\Services\pciide\Start
HKLM\SYSTEM\ControlSet002\Services\pciide\Start'
}
test_xp_gets_the_rows_of_its_critical_devices() {
    real rxp winxp system/xp-sp3.SYSTEM
    report rxp xen
    expect_status 0
    expect_json '[.vms[0].targets[0].edits[].where | select(test("ControlSet001.*Service$")) | split("\\")[-2]] | sort | join(" ")' \
        '*pnp0600 pci#cc_0101 pci#ven_8086&dev_7010 pci#ven_8086&dev_7111'
}

# --- what the boot manager starts ------------------------------------------------------
test_a_boot_configuration_that_starts_something_else_is_told() {
    disk other win10 SIZE_MIB=16 BCD_SYSTEM=other
    report other kvm
    expect_json "$boot_findings" WINDOWS-BOOT-PARTITION
    disk othergpt win11 SIZE_MIB=16 LAYOUT=gpt BCD_SYSTEM=other
    report othergpt kvm
    expect_json "$boot_findings" WINDOWS-BOOT-PARTITION
    disk vhd win10 SIZE_MIB=16 BCD_SYSTEM=vhd
    report vhd kvm
    expect_json "$boot_findings" WINDOWS-VHD-BOOT
    disk more win10 SIZE_MIB=16 \
        BCD_MORE='25000080=00,00,00,00,00,00,00,00 250000f0=01,00,00,00,00,00,00,00 24000002=00'
    report more kvm
    expect_json "$boot_findings | split(\" \") | sort | join(\" \")" \
        "WINDOWS-BOOT-ENTRY WINDOWS-HYPERVISOR WINDOWS-SAFE-MODE"
}
test_a_real_boot_configuration_is_read() {
    need_shared corpus/hives/bcd/win10.BCD.xz
    disk w11 win11 LAYOUT=gpt
    cp "$SCRATCH/w11.raw" "$SCRATCH/bcd.raw"
    xz -dc "$hives/bcd/win10.BCD.xz" | mcopy -o -i "$SCRATCH/bcd.raw@@1M" - ::/EFI/Microsoft/Boot/BCD
    report bcd kvm
    # Both the boot manager's and Windows' partition are those of another disk.
    expect_json "$boot_findings" "WINDOWS-BOOT-PARTITION WINDOWS-BOOT-PARTITION"
    expect_json '[.vms[0].targets[0].findings[].message | select(test("Windows 10\\) on a part"))] | length' 1
    sfdisk -q --part-uuid "$SCRATCH/bcd.raw" 1 36be3955-63bf-4068-a6ab-00195cca3a22
    sfdisk -q --part-uuid "$SCRATCH/bcd.raw" 2 8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b
    report bcd kvm
    expect_json "$boot_findings" ""
    expect_json "$guest.boot | .boot_partition + \" \" + .windows_partition" "/dev/sda1 /dev/sda2"
}

# --- addresses -------------------------------------------------------------------------
test_of_a_ghost_and_a_card_the_card_gets_its_addresses() {
    real r7 win7-32 system/win7-sp1-x86-vmware.SYSTEM
    convert r7 kvm --devices emulated --set nic0.slot=35 \
        --set nic0.mac=00:50:56:8a:01:02
    expect_status 0
    volume out/r7/disk0.raw
    ntfscat -f ntfs Windows/rehost-firstboot/network.txt >steps
    expect_equal "$(grep -c '10.3.58.5 mask=255.255.255.0 gateway=10.3.58.1' steps)" 1
    expect_equal "$(grep -c 'address=10.3.58.4' steps)" 1
    expect_equal "$(grep -c '192.168.1' steps)" 0
    # The ghost keeps its own.
    report r7 kvm --devices emulated --set nic0.slot=33 --set nic0.mac=00:50:56:8a:01:02
    expect_json "$guest.nics[] | select(.nic == 0) | .addresses[0]" 192.168.1.123/24
}
test_a_card_with_dhcp_keeps_what_is_set_on_it_beside() {
    local id='{5245484F-5354-4000-8000-0000000000E0}'
    printf 'Windows Registry Editor Version 5.00\n\n[%s\\%s]\n%s\n%s\n%s\n%s\n\n[-%s]\n\n[%s\\Tcpip_%s]\n%s\n' \
        '\ControlSet001\Services\Tcpip\Parameters\Interfaces' $id '"EnableDHCP"=dword:00000001' \
        '"NameServer"=""' '"Domain"=""' '"MTU"=dword:00002328' \
        '\ControlSet001\Control\Nsi\{eb004a01-9b1a-11d4-9123-0050047759bc}\10' \
        '\ControlSet001\Services\NetBT\Parameters\Interfaces' $id '"NetbiosOptions"=dword:00000002' >more.reg
    disk dhcp win2019 SIZE_MIB=16 SYSTEM_MORE="$PWD/more.reg"
    convert dhcp kvm $nic
    expect_status 0
    volume out/dhcp/disk0.raw
    ntfscat -f ntfs Windows/rehost-firstboot/network.txt | tr -d '\r' >steps
    expect_equal "$(cut -d'|' -f2- steps | sed 's/|name|/NAME/; s/|guid|/GUID/; s/HKLM.*Interfaces/KEY/')" \
'optional|reg add KEY\Tcpip_GUID /v NetbiosOptions /t REG_DWORD /d 2 /f
optional|netsh interface ipv4 set subinterface NAME mtu=9000 store=persistent
optional|netsh interface set interface name=NAME newname="Ethernet0"'
    run "$REHOST" report out/dhcp/disk0.raw --to kvm --set memory=2GiB $nic --json -
    expect_json '.vms[0].targets[0].edits | length' 0
}
test_a_card_that_cannot_be_told_keeps_what_it_has() {
    real r7 win7-32 system/win7-sp1-x86-vmware.SYSTEM
    report r7 kvm --devices emulated --set nic0.mac=00:50:56:8a:01:02
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "WINDOWS-ADDRESS-LEFT")] | length' 2
    expect_json '[.vms[0].targets[0].edits[] | select(.fix == "windows.first-boot")] | length' 0
}

# --- the rest of the machine --------------------------------------------------------------
test_vmwares_services_are_switched_off_and_its_drivers_kept() {
    real r10 win10 system/win10-21h2-vmware-uefi.SYSTEM LAYOUT=gpt
    report r10 kvm
    expect_json '[.vms[0].targets[0].edits[] | select(.fix == "windows.vmware-tools") | .where | split("\\")[4]] | sort | join(" ")' \
        "NetworkProvider VGAuthService VMTools vm3dservice vmhgfs vmmemctl vmrawdsk vmvss"
}
uuid_of() { # TARGET: as the hypervisor is told
    if [ "$1" = kvm ]; then
        sed -n 's/^smbios1: uuid=\([^,]*\).*/\1/p' out/*/proxmox.conf
    else
        tar xOf out/*/*.xva ova.xml | grep -o '<name>uuid</name><value>[^<]*' | head -1 | sed 's/.*>//'
    fi
}
test_the_machine_has_the_uuid_that_windows_knows() {
    local seen=67314d56-e237-5a9a-0011-223344556677 plain=564d3167-37e2-9a5a-0011-223344556677 t
    printf '%s\n' 'Windows Registry Editor Version 5.00' '' '[\HardwareConfig]' \
        "\"LastConfig\"=\"{$(echo $seen | tr a-z A-Z)}\"" >more.reg
    disk uuid win2019 SIZE_MIB=16 SYSTEM_MORE="$PWD/more.reg"
    # The package says none: by QEMU a text is swapped into bytes, by Xen it is not.
    convert uuid kvm
    expect_json '.vms[0] | .uuid + " " + .provenance.uuid.from' "$seen guest" out/uuid/vm.json
    expect_equal "$(uuid_of kvm)" $seen
    rm -rf out
    convert uuid xen --format xva
    expect_status 0
    expect_equal "$(uuid_of xen)" $plain
    # VMware's own text is in the order of its bytes.
    for t in $plain $seen; do
        mkdir vm
        cp "$SCRATCH/uuid.raw" vm/system-flat.vmdk
        flat system $(($(stat -c %s vm/system-flat.vmdk) / 512)) >vm/system.vmdk
        printf '%s\n' 'config.version = "8"' 'displayName = "w"' 'memsize = "2048"' 'numvcpus = "1"' \
            'guestOS = "windows2019srv-64"' 'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"' \
            'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "system.vmdk"' \
            "uuid.bios = \"$(echo ${t//-/} | sed 's/../& /g; s/ $//; s/ /-/8')\"" >vm/w.vmx
        rm -rf out
        run "$REHOST" convert vm/w.vmx --to kvm --out out --format raw
        expect_equal "$(uuid_of kvm)" $seen
        rm -r vm out
    done
    # Another one: the package's, and it is said; what the user sets is the last word.
    convert uuid kvm --set uuid=11111111-2222-3333-4444-555555555555
    expect_equal "$(uuid_of kvm)" 11111111-2222-3333-4444-555555555555
    printf 'schema: rehost.overlay/1\nuuid: 11111111-2222-3333-4444-555555555555\n' >fill.yaml
    report uuid kvm --fill fill.yaml
    expect_json '.vms[0].targets[0].findings[] | select(.id == "WINDOWS-UUID-OTHER") | .message | test("--set uuid='$seen'")' true
}

# --- virtio -------------------------------------------------------------------------------
test_the_guest_agent_and_all_other_drivers_come_at_the_first_start() {
    local d os=2k19
    disk w2019 win2019
    virtio_win drv microsoft $os
    for d in vioserial/vioser viorng/viorng; do
        mkdir -p "drv/${d%/*}/$os/amd64"
        for e in sys inf cat; do
            cp drv/vioscsi/$os/amd64/vioscsi.$e "drv/${d%/*}/$os/amd64/${d#*/}.$e"
        done
    done
    mkdir drv/guest-agent
    for d in x86_64 i386; do echo "agent $d" >drv/guest-agent/qemu-ga-$d.msi; done
    xorriso -as mkisofs -quiet -J -r -o virtio.iso drv 2>/dev/null
    convert w2019 kvm --devices virtio --drivers virtio.iso
    expect_status 0
    volume out/w2019/disk0.raw
    expect_equal "$(ntfscat -f ntfs Windows/rehost-firstboot/drivers.txt | tr -d '\r' | cut -d'|' -f2 | tr '\n' ' ')" \
        "optional:viostor optional:vioscsi needed:netkvm optional:balloon optional:vioser optional:viorng "
    expect_equal "$(ntfscat -f ntfs Windows/rehost-firstboot/qemu-ga-x86_64.msi)" "agent x86_64"
    expect_equal "$(ntfscat -f ntfs Windows/rehost-firstboot/after.txt | tr -d '\r')" \
        '-|optional|msiexec /i qemu-ga-x86_64.msi /qn /norestart'
}
test_virtio_rows_go_into_a_driver_database_where_there_is_one() {
    real r10 win10 system/win10-21h2-vmware-uefi.SYSTEM LAYOUT=gpt
    virtio_win drv microsoft w8.1 w10
    convert r10 kvm --devices virtio --drivers drv
    expect_status 0
    hive_of out/r10/disk0.raw SYSTEM SYSTEM
    export_of SYSTEM text
    expect_equal "$(grep -c '^\[.*DriverDatabase.*rehost' text)" 8
    expect_equal "$(grep -c '"rehost.inf"=hex(3):01,ff,00,00' text)" 2
    volume out/r10/disk0.raw
    expect_equal "$(ntfscat -f ntfs Windows/rehost-firstboot/after.txt | grep -c '^-|after:vioscsi|reg delete.*rehost.inf')" 4
}
test_an_iso_image_serves_as_well() {
    need xorriso
    disk w2019 win2019
    virtio_win drv microsoft 2k19
    xorriso -as mkisofs -quiet -J -r -o virtio.iso drv 2>/dev/null
    report w2019 kvm --devices virtio --drivers virtio.iso
    expect_status 0
    expect_json '[.vms[0].targets[0].edits[] | select(.fix == "windows.virtio")] | length > 5' true
}
test_a_package_whose_catalog_does_not_fit_is_not_staged() {
    disk w2019 win2019
    virtio_win drv microsoft 2k19
    echo '; changed' >>drv/NetKVM/2k19/amd64/netkvm.inf
    rm drv/Balloon/2k19/amd64/balloon.cat
    convert w2019 kvm --devices virtio --drivers drv
    expect_status 0
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "WINDOWS-DRIVER-REFUSED") | .message |
        match("driver (\\w+)").captures[0].string] | sort | join(" ")' "balloon netkvm" out/w2019/report.json
    volume out/w2019/disk0.raw
    expect_equal "$(ntfscat -f ntfs Windows/rehost-firstboot/drivers.txt | tr -d '\r' | cut -d'|' -f2)" \
        "$(printf 'optional:viostor\noptional:vioscsi')"
}
test_a_driver_for_another_processor_or_windows_is_refused() {
    local refused='[.vms[0].targets[0].findings[] | select(.id == "WINDOWS-DRIVER-REFUSED") | .message | split(": ")[1]] | unique | join("; ")'
    disk w2019 win2019
    disk w7 win7
    # The folder says amd64, what lies in it does not.
    ARCH=x86 virtio_win wrong microsoft 2k19
    for d in wrong/*/2k19; do mv "$d/x86" "$d/amd64"; done
    report w2019 kvm --devices virtio --drivers wrong
    expect_status 4
    expect_json "$refused" "it is made for another processor"
    # A plain folder does not say for which Windows it is; the .inf does.
    INF_MORE='[Manufacturer]\r\n%V% = Models, NTx86.6.0, NTamd64.10.0 ; not 7\r\n' virtio_win ten microsoft w10
    mkdir plain
    cp ten/*/w10/amd64/* plain
    report w7 kvm --devices virtio --drivers plain
    expect_status 4
    expect_json "$refused" "its .inf is made for another Windows"
    report w2019 kvm --devices virtio --drivers plain
    expect_status 0
    expect_json "$refused" ""
}
test_a_card_without_a_driver_is_told() {
    local told='[.vms[0].targets[0].findings[].id | select(. == "WINDOWS-NIC-DRIVER")] | length'
    disk w2019 win2019
    virtio_win drv microsoft 2k19
    report w2019 kvm --devices virtio --drivers drv $nic
    expect_json "$told" 0
    rm -r drv/NetKVM
    report w2019 kvm --devices virtio --drivers drv $nic
    expect_json "$told" 1
    report w2019 kvm --devices vmware $nic
    expect_json "$told" 0
    # An XP on a VM of another maker has never seen vmxnet3.
    real rxp winxp system/xp-sp3.SYSTEM
    report rxp kvm --devices vmware $nic
    expect_json "$told" 1
}
test_drivers_signed_for_tests_load_where_windows_takes_them() {
    disk testsigning win2019 SIZE_MIB=16 BCD_SYSTEM=1 BCD_MORE=16000049=01
    virtio_win drv test 2k19
    report testsigning kvm --devices virtio --drivers drv
    expect_status 0
    expect_json "$guest.starts_on[\"virtio-scsi\"]" off
}
test_drivers_that_windows_would_not_load_are_refused() {
    local kind
    disk w2019 win2019
    for kind in none test changed; do
        virtio_win $kind $kind 2k19
        report w2019 kvm --devices virtio --drivers $kind
        expect_status 4
        expect_json '[.vms[0].targets[0].findings[].id | select(test("DRIVER-(REFUSED|MISSING)"))] | unique | join(" ")' \
            "WINDOWS-DRIVER-MISSING WINDOWS-DRIVER-REFUSED"
        expect_json "[.vms[0].targets[0].edits[] | select(.fix == \"windows.virtio\")] | length" 0
    done
    # Cross-signed ones are what Windows 7 has; newer drivers than the system none.
    disk w7 win7
    virtio_win old cross w7
    report w7 kvm --devices virtio --drivers old
    expect_status 0
    expect_json "$guest.starts_on[\"virtio-scsi\"]" off
    virtio_win new microsoft 2k22
    report w2019 kvm --devices virtio --drivers new
    expect_status 4
}

# --- hives that were not left clean --------------------------------------------------
test_logs_are_replayed_before_anything_is_read() {
    real rdirty win10 system/win10-1709-dirty.SYSTEM
    convert rdirty kvm --devices emulated
    expect_status 0
    expect_json '[.. | objects | select(.id? == "WINDOWS-HIVE-REPLAYED")] | length > 0' \
        true out/rdirty/report.json
    hive_of out/rdirty/disk0.raw SYSTEM after
    export_of after b
    # As many keys as Windows has after its own replay, less what was recorded.
    expect_equal $(($(grep -c '^\[' b) - 1 + $(jq '[.edits[] | select(.where | endswith("StartOverride"))] | length' out/rdirty/receipt.json))) \
        "$(jq '."system/win10-1709-dirty.SYSTEM".after_replay.keys' "$hives/expected.json")"
}
test_a_dirty_hive_without_its_logs_is_told_and_untouched() {
    real rlost win10 system/win10-1709-dirty.SYSTEM
    volume "$SCRATCH/rlost.raw"
    mkdir mnt
    ntfs-3g ntfs mnt && rm mnt/Windows/System32/config/SYSTEM.LOG* && fusermount -u mnt
    cp "$SCRATCH/rlost.raw" "$SCRATCH/rlost2.raw"
    dd if=ntfs of="$SCRATCH/rlost2.raw" bs=1M seek=1 conv=notrunc status=none
    report rlost2 kvm
    expect_status 4
    expect_json '.vms[0].targets[0].findings[] | select(.id == "WINDOWS-HIVE-DIRTY") | .severity' \
        blocker
    convert rlost2 kvm --no-guest-fix
    expect_status 0
    hive_of out/rlost2/disk0.raw SYSTEM after
    expect_same_file after "$SCRATCH/rlost.hive"
}

# Made of a good one; what is no hive is not called one that lacks its logs.
hostile_hives() {
    python3 - <<'END'
import os, struct
good = bytearray(open('good', 'rb').read())
root = struct.unpack_from('<I', good, 36)[0] + 4096
names = struct.unpack_from('<I', good, root + 32)[0] + 4096
def put(name, b): open(name, 'wb').write(b)
def change(name, at, value):
    b = bytearray(good); struct.pack_into('<I', b, at, value)
    s = 0
    for i in range(0, 508, 4): s ^= struct.unpack_from('<I', b, i)[0]
    struct.pack_into('<I', b, 508, s); put(name, b)
put('kind.evtx', b'ElfFile\0' + bytes(120) + b'ElfChnk\0' + bytes(65536))
put('kind.random', b'x' + os.urandom(9000000))
put('kind.empty', b'')
put('kind.head', good[:4096])
put('kind.zeros', bytes(5000000))
change('damaged.root', 36, 0xfffffff0)
change('damaged.cycle', names + 8, root - 4096)
change('damaged.many', root + 24, 0x7fffffff)
put('dirty.torn', b'x' + good[1:])
END
}
test_a_hive_of_anything_is_told_at_once_and_left() {
    local f
    disk w2019 win2019
    hive_of "$SCRATCH/w2019.raw" SYSTEM good
    hostile_hives
    cp "$SCRATCH/w2019.raw" "$SCRATCH/hostile.raw"
    mkdir mnt
    for f in kind.* damaged.* dirty.*; do
        volume "$SCRATCH/hostile.raw"
        ntfs-3g ntfs mnt && cp "$f" mnt/Windows/System32/config/SYSTEM && fusermount -u mnt
        dd if=ntfs of="$SCRATCH/hostile.raw" bs=1M seek=1 conv=notrunc status=none
        run timeout 20 "$REHOST" report "$SCRATCH/hostile.raw" --to kvm --set memory=1GiB \
            --set cpus=1 --json -
        jq -r --arg f "$f" '.vms[0].targets[0] | $f + " " + ([.findings[] | select(.id | test("HIVE")) |
            .id + (if .message | test("no registry hive") then "-KIND" else "" end)] | join(" ")) +
            " " + (.edits | length | tostring)' .stdout
    done >found
    expect_equal "$(cat found)" 'kind.empty WINDOWS-HIVE-DAMAGED-KIND 0
kind.evtx WINDOWS-HIVE-DAMAGED-KIND 0
kind.head WINDOWS-HIVE-DAMAGED-KIND 0
kind.random WINDOWS-HIVE-DAMAGED-KIND 0
kind.zeros WINDOWS-HIVE-DAMAGED-KIND 0
damaged.cycle WINDOWS-HIVE-DAMAGED 0
damaged.many WINDOWS-HIVE-DAMAGED 0
damaged.root WINDOWS-HIVE-DAMAGED 0
dirty.torn WINDOWS-HIVE-DIRTY 0'
}

# --- volumes of any bytes ---------------------------------------------------------
# Records, indexes and the boot sector of a small volume with bytes changed: the
# answer comes, and is no crash of ours.  The helper may end.
test_a_volume_of_any_bytes_ends_in_bounded_time() {
    truncate -s 10M n.img && mkntfs -q -F -Q n.img >/dev/null 2>&1
    mkdir mnt && ntfs-3g n.img mnt || fail "no mount"
    mkdir -p mnt/Windows/System32/config
    for i in $(seq 200); do echo >"mnt/Windows/System32/a-file-with-a-long-name-$i.txt"; done
    echo x >mnt/Windows/System32/config/SYSTEM
    fusermount -u mnt
    python3 - "$REHOST" <<'END' >found
import random, struct, subprocess, sys
good = open('n.img', 'rb').read()
sector, per = struct.unpack_from('<HB', good, 11)
mft = struct.unpack_from('<Q', good, 48)[0] * sector * per
indexes = [i for i in range(0, len(good), 4096) if good[i:i + 4] == b'INDX']
records = [i for i in range(mft, len(good) - 1024, 1024) if good[i:i + 4] == b'FILE']
for seed in range(60):
    r, b = random.Random(seed), bytearray(good)
    for _ in range(r.choice([1, 2, 4])):
        at = r.choice([r.randrange(3, 90), r.choice(records[:12] + [r.choice(records)]) + r.randrange(500),
                       r.choice(indexes) + r.randrange(4000)])
        if at % 512 < 510:
            b[at] = r.choice([0, 1, 0xff, 0x80, r.randrange(256), b[at] ^ 1 << r.randrange(8)])
    open('m.img', 'wb').write(b)
    p = subprocess.run(['timeout', '100', sys.argv[1], 'report', 'm.img', '--to', 'kvm', '--set',
                        'memory=1GiB', '--set', 'cpus=1', '--json', '-'], capture_output=True)
    if p.returncode not in (0, 3, 4): print(seed, p.returncode, p.stderr[-200:])
END
    expect_equal "$(cat found)" ""
}

# --- what real volumes and disks of Windows tell ------------------------------------------
test_bitlocker_of_every_kind_is_a_blocker() {
    need_shared corpus/windows-disks/bitlk-images.tar.xz
    tar xJf "$corpus/bitlk-images.tar.xz" --sparse
    xz -dc "$corpus/util-linux-bitlocker-win7.img.xz" >bitlk-images/win7.img
    findings bitlk-images/*.img >found
    expect_equal "$(wc -l <found)" "$(echo bitlk-images/*.img | wc -w)"
    expect_equal "$(grep -v ' blocked WINDOWS-BITLOCKER$' found)" ""
}
test_dynamic_disks_are_told() {
    need_shared corpus/windows-disks/ldm-data.tar.xz
    tar xJf "$corpus/ldm-data.tar.xz"
    find . -name '*.img' -size +1M >list
    findings $(cat list) >found
    expect_equal "$(wc -l <found)" "$(wc -l <list)"
    expect_equal "$(grep -v ' blocked WINDOWS-DYNAMIC-DISK$' found)" ""
}
test_clean_ntfs_gives_no_finding_not_even_for_flag_0x80() {
    local f
    need_shared corpus/windows-disks/util-linux-ntfs.img.xz
    for f in util-linux-ntfs.img msuhanov-ntfs-lastaccess.raw grr-ntfs_img.dd \
        colinfinck-testfs1.img dfir-orc-ntfs.vhd plaso-vsstest.qcow2 msuhanov-ntfs-2m.raw \
        msuhanov-ntfs-ramslack.raw; do
        xz -dc "$corpus/$f.xz" | dd of="${f%.dd}" bs=64k conv=sparse status=none
    done
    mv grr-ntfs_img grr-ntfs.img
    findings *.img *.raw *.vhd *.qcow2 | sed 's/ [a-z]* $//' >found
    expect_equal "$(cat found)" "$(ls *.img *.raw *.vhd *.qcow2 | sort)"
}
run_tests
