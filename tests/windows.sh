#!/bin/bash
# windows.sh - Windows guests: what their registry tells, and what is edited in
# it, judged by hivexregedit and ntfsfix.  One of each kind; tests/wine/guests.sh
# has the rest.
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/lib-windows.sh"
needs_windows_tools windows

# --- what it is ----------------------------------------------------------------
test_product_version_and_drivers_are_told() {
    disk w2019 win2019
    report w2019 kvm
    expect_status 0
    expect_json "$guest | [.family, .name, .version, .kind, .architecture, .profile] | join(\"|\")" \
        "windows|Windows Server 2019 Standard|10.0.17763|server|x86_64|windows-2019"
    expect_json "$guest.starts_on | [.ide, .sata, .nvme, .pvscsi] | join(\" \")" \
        "starts off off starts"
    # PVSCSI is installed and starts: nothing is edited.
    expect_json '.vms[0].targets[0].devices.disk' pvscsi
    expect_json "$edited" ""
}
test_windows_11_is_told_from_10_by_its_build() {
    disk w11 win11 LAYOUT=gpt
    report w11 kvm
    expect_json "$guest | .name + \" \" + .profile" "Windows 11 Pro windows-11"
    expect_json '.vms[0].vm.firmware' uefi
}

# --- the boot disk's driver --------------------------------------------------------
test_sata_needs_storahci_and_nothing_else_is_touched() {
    disk w2019 win2019
    report w2019 kvm --devices emulated
    expect_json "$edited" 'storahci\StartOverride'
}
test_what_is_recorded_is_what_differs() {
    disk w2019 win2019
    convert w2019 kvm --devices emulated --no-fix windows.vmware-tools
    expect_status 0
    hive_of "$SCRATCH/w2019.raw" SYSTEM before
    hive_of out/w2019/disk0.raw SYSTEM after
    export_of before a
    export_of after b
    expect_equal "$(diff a b | grep '^[<>] .')" \
'< [\ControlSet001\Services\storahci\StartOverride]
< "0"=dword:00000003'
    expect_json '.edits[] | select(.fix == "windows.boot-start") | .before' "0=3" \
        out/w2019/receipt.json
    # The result is as clean a volume as the source, and no other file differs.
    volume "$SCRATCH/w2019.raw"
    ntfsfix -n ntfs >said.before 2>&1
    volume out/w2019/disk0.raw
    ntfsfix -n ntfs >said.after 2>&1
    expect_same_file said.before said.after
    expect_equal "$(grep -c 'completed successfully' said.after)" 1
}
# Windows writes a value of no bytes with any offset; libhivex would free what
# lies there when the key goes.
test_an_empty_value_leads_nowhere() {
    printf '\n[\\ControlSet001\\Services\\storahci\\StartOverride]\n"0"=dword:00000003\n"9"=hex:\n' >more.reg
    disk empty win2019 SYSTEM_MORE="$PWD/more.reg"
    python3 - "$SCRATCH/empty.raw" <<'PY'
import sys
disk = open(sys.argv[1], "rb").read()
value = b"vk\1\0\0\0\0\x80"
assert disk.count(value) == 1
disk = disk.replace(value + disk[disk.index(value) + 8:][:4], b"vk\1\0\0\0\0\0\xff\xff\xff\xff")
open(sys.argv[1], "wb").write(disk)
PY
    convert empty kvm --devices emulated --no-fix windows.vmware-tools
    expect_status 0
    expect_json '.edits[] | select(.fix == "windows.boot-start") | .before' "0=3; 9=" \
        out/empty/receipt.json
    hive_of out/empty/disk0.raw SYSTEM after
    export_of after text
    expect_equal "$(grep -c 'storahci.StartOverride' text)" 0
}
test_a_driver_without_its_file_is_not_switched_on() {
    disk nofile win7 NO_DRIVERS="msahci pciide"
    report nofile kvm --devices emulated
    expect_status 4
    expect_json '.vms[0].targets[0] | .verdict + " " + (.findings[] | select(.id == "WINDOWS-DRIVER-MISSING") | .severity)' \
        "blocked blocker"
    expect_json "$edited" ""
    # On Xen's IDE it does start: pciide is for other controllers.
    report nofile xen
    expect_status 0
    expect_json "$edited" 'atapi\Start intelide\Start'
}

test_a_driver_that_is_only_staged_is_not_counted_on() {
    real r10 win10 system/win10-21h2-vmware-uefi.SYSTEM LAYOUT=gpt
    report r10 kvm
    expect_status 0
    expect_json "$guest.starts_on | .pvscsi + \" \" + .nvme" "staged starts"
    expect_json '.vms[0].targets[0].devices | .choice + " " + .disk' "emulated sata"
    report r10 kvm --devices vmware
    expect_status 4
    expect_json '.vms[0].targets[0].findings[] | select(.id == "WINDOWS-DRIVER-STAGED") | .severity' \
        blocker
    run "$REHOST" convert "$SCRATCH/r10.raw" --to kvm --out out --devices vmware \
        --set memory=2GiB
    expect_status 4
    expect_empty out
}

# --- what the boot manager starts ------------------------------------------------------
test_the_boot_configuration_names_the_partitions() {
    local l
    disk w2019 win2019
    report w2019 kvm
    expect_json "$guest.boot | .store + \" \" + .boot_partition + \" \" + .windows_partition" \
        "/Boot/BCD /dev/sda1 /dev/sda1"
    expect_json "$boot_findings" ""
    disk w11 win11 LAYOUT=gpt
    report w11 kvm
    expect_json "$guest.boot | .store + \" \" + .boot_partition + \" \" + .windows_partition" \
        "/ESP:/EFI/Microsoft/Boot/BCD /dev/sda1 /dev/sda2"
    expect_json "$boot_findings" ""
}
test_a_damaged_boot_configuration_is_told_and_left() {
    disk w11 win11 LAYOUT=gpt
    cp "$SCRATCH/w11.raw" "$SCRATCH/nobcd.raw"
    head -c 5000 /dev/urandom | mcopy -o -i "$SCRATCH/nobcd.raw@@1M" - ::/EFI/Microsoft/Boot/BCD
    report nobcd kvm
    expect_json "$boot_findings" WINDOWS-BOOT-ENTRY
    mdel -i "$SCRATCH/nobcd.raw@@1M" ::/EFI/Microsoft/Boot/BCD
    report nobcd kvm
    expect_json "$boot_findings" WINDOWS-BOOT-ENTRY
}

# --- addresses -------------------------------------------------------------------------
test_static_addresses_are_told() {
    disk w2019 win2019
    report w2019 kvm $nic
    expect_json "$guest.nics[0] | [.name, .mac, .slot, .dhcp, .suffix] + .addresses + .gateways + .dns | map(tostring) | join(\" \")" \
        "Ethernet0 00:50:56:8a:01:02 192 false corp.example 10.0.2.15/24 2001:db8::15/64 10.0.2.2 10.0.2.3 10.0.2.4"
}
test_static_addresses_go_to_the_new_card_at_the_first_start() {
    disk w2019 win2019
    convert w2019 kvm $nic
    expect_status 0
    volume out/w2019/disk0.raw
    ntfscat -f ntfs Windows/rehost-firstboot/network.txt | tr -d '\r' >steps
    expect_equal "$(cut -d'|' -f1 steps | sort -u)" "00-50-56-8A-01-02"
    expect_equal "$(cut -d'|' -f3- steps)" \
'netsh interface ipv4 set address name=|name| source=static address=10.0.2.15 mask=255.255.255.0 gateway=10.0.2.2 gwmetric=1
netsh interface ipv6 delete address interface=|name| address=2001:db8::15
netsh interface ipv6 add address interface=|name| address=2001:db8::15/64
netsh interface ipv4 set dnsservers name=|name| source=static address=10.0.2.3 validate=no
netsh interface ipv4 add dnsservers name=|name| address=10.0.2.4 validate=no
reg add HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\|guid| /v Domain /t REG_SZ /d "corp.example" /f
netsh interface set interface name=|name| newname="Ethernet0"'
    # The old card holds none of it any more.
    ntfscat -f ntfs Windows/System32/config/SYSTEM >after
    export_of after text
    expect_equal "$(grep -c '10\.0\.2\.15\|20010db8' text)" 0
    expect_equal "$(grep -c '^\[.*rehost-firstboot\]' text)" 1
    run "$REHOST" report out/w2019/disk0.raw --to kvm --set memory=2GiB $nic --json -
    expect_json '.vms[0].targets[0].edits | length' 0
}
# Routes by Nsi: zeros, destination at byte 4, prefix, the card's LUID twice, hop.
route() { # 4|6 DESTINATION-HEX PREFIX HOP-HEX METRIC
    local luid=0000000180000600 zero=00000000
    printf '"%s%s%02x000000%s%s%s%s%s"=hex(3):00,00,00,00,ff,ff,ff,ff,ff,ff,ff,ff,%02x,00,00,00,03,00,00,00\n' \
        $zero "$2" "$3" $zero$zero$zero "$([ "$1" = 4 ] || echo $zero)" $luid$luid "$4" \
        "$([ "$1" = 6 ] || echo $zero)" "$5"
}
test_everything_that_is_set_on_a_card_goes_along() {
    local tcp='[\ControlSet001\Services\Tcpip\Parameters\Interfaces\{5245484F-5354-4000-8000-0000000000E0}]'
    multi() { printf '"%s"=hex(7):' "$1"; shift; printf '%s\0' "$@" '' | iconv -t UTF-16LE |
        od -An -v -tx1 | tr -s ' \n' ',' | sed 's/^,//; s/,$/\n/'; }
    {
        printf 'Windows Registry Editor Version 5.00\n\n%s\n' "$tcp"
        multi IPAddress 10.0.2.15 10.0.2.16
        multi SubnetMask 255.255.255.0 255.255.0.0
        multi DefaultGateway 10.0.2.2 10.0.2.9
        multi DefaultGatewayMetric 0 7
        printf '"InterfaceMetric"=dword:00000023\n"MTU"=dword:00002328\n'
        printf '"RegistrationEnabled"=dword:00000000\n"RegisterAdapterName"=dword:00000001\n'
        printf '\n[\\ControlSet001\\Services\\Tcpip6\\Parameters\\Interfaces\\%s]\n"NameServer"="2001:db8::53"\n' \
            '{5245484F-5354-4000-8000-0000000000E0}'
        printf '\n[\\ControlSet001\\Services\\NetBT\\Parameters\\Interfaces\\Tcpip_%s]\n"NetbiosOptions"=dword:00000002\n' \
            '{5245484F-5354-4000-8000-0000000000E0}'
        multi NameServerList 10.0.2.5 10.0.2.6
        printf '\n[\\ControlSet001\\Services\\Tcpip\\Parameters\\PersistentRoutes]\n'
        printf '"0.0.0.0,0.0.0.0,10.0.2.2,-1"=""\n"172.16.0.0,255.240.0.0,10.0.2.8,1"=""\n'
        printf '\n[\\ControlSet001\\Control\\Nsi\\{eb004a00-9b1a-11d4-9123-0050047759bc}\\16]\n'
        route 4 00000000 0 0a000202 0
        route 4 0a090000 16 0a000208 5
        printf '\n[\\ControlSet001\\Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\16]\n'
        route 6 00000000000000000000000000000000 0 fe800000000000000000000000000001 0
        route 6 20010db8000900000000000000000000 48 20010db8000000000000000000000009 0
        # A team of two cards, and the VLAN of a maker's own.
        printf '\n[\\ControlSet001\\Control\\Class\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\0002]\n"%s"="%s"\n"%s"="%s"\n' \
            NetCfgInstanceId '{5245484F-5354-4000-8000-0000000000E1}' ComponentId 'compositebus\\ms_implat_mp'
        printf '\n[\\ControlSet001\\Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\%s\\Connection]\n"Name"="Team 1"\n' \
            '{5245484F-5354-4000-8000-0000000000E1}'
        printf '\n%s\n"EnableDHCP"=dword:00000000\n' "${tcp/00E0/00E1}"
        multi IPAddress 10.7.0.5
        multi SubnetMask 255.255.255.0
        printf '\n[\\ControlSet001\\Control\\Class\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\0003]\n"%s"="%s"\n' \
            ComponentId iansvlanmp
        printf '\n[\\ControlSet001\\Control\\Class\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\0001]\n"VlanID"="42"\n'
    } >more.reg
    disk network win2019 SIZE_MIB=16 SYSTEM_MORE="$PWD/more.reg"
    report network kvm $nic
    expect_json "$guest.nics[0] | .gateways + .routes | join(\"; \")" \
        "10.0.2.2; 10.0.2.9 metric 7; fe80::1; 10.9.0.0/16 10.0.2.8 metric 5; 2001:db8:9::/48 2001:db8::9"
    expect_json "$guest.network_teams | join(\"; \")" \
        'Team 1 (compositebus\ms_implat_mp): 10.7.0.5/24; iansvlanmp'
    expect_json '[.vms[0].targets[0].findings[] | select(.id == "WINDOWS-TEAM")] | length' 3
    convert network kvm $nic
    expect_status 0
    volume out/network/disk0.raw
    ntfscat -f ntfs Windows/rehost-firstboot/network.txt | tr -d '\r' >steps
    expect_equal "$(cut -d'|' -f2- steps | sed 's/|name|/NAME/; s/|guid|/GUID/; s/HKLM.*Interfaces/KEY/')" \
'needed|netsh interface ipv4 set address name=NAME source=static address=10.0.2.15 mask=255.255.255.0 gateway=10.0.2.2 gwmetric=1
needed|netsh interface ipv4 add address name=NAME address=10.0.2.16 mask=255.255.0.0
optional|netsh interface ipv4 add address name=NAME gateway=10.0.2.9 gwmetric=7
optional|netsh interface ipv6 delete address interface=NAME address=2001:db8::15
needed|netsh interface ipv6 add address interface=NAME address=2001:db8::15/64
optional|netsh interface ipv6 delete route prefix=::/0 interface=NAME nexthop=fe80::1
needed|netsh interface ipv6 add route prefix=::/0 interface=NAME nexthop=fe80::1 store=persistent
optional|netsh interface ipv4 delete route prefix=10.9.0.0/16 interface=NAME nexthop=10.0.2.8
optional|netsh interface ipv4 add route prefix=10.9.0.0/16 interface=NAME nexthop=10.0.2.8 metric=5 store=persistent
optional|netsh interface ipv6 delete route prefix=2001:db8:9::/48 interface=NAME nexthop=2001:db8::9
optional|netsh interface ipv6 add route prefix=2001:db8:9::/48 interface=NAME nexthop=2001:db8::9 store=persistent
needed|netsh interface ipv4 set dnsservers name=NAME source=static address=10.0.2.3 validate=no
needed|netsh interface ipv4 add dnsservers name=NAME address=10.0.2.4 validate=no
needed|netsh interface ipv6 set dnsservers name=NAME source=static address=2001:db8::53 validate=no
optional|netsh interface ipv4 set winsservers name=NAME source=static address=10.0.2.5
optional|netsh interface ipv4 add winsservers name=NAME address=10.0.2.6
optional|reg add KEY\GUID /v Domain /t REG_SZ /d "corp.example" /f
optional|reg add KEY\GUID /v RegistrationEnabled /t REG_DWORD /d 0 /f
optional|reg add KEY\GUID /v RegisterAdapterName /t REG_DWORD /d 1 /f
optional|reg add KEY\Tcpip_GUID /v NetbiosOptions /t REG_DWORD /d 2 /f
optional|netsh interface ipv4 set interface NAME metric=35
optional|netsh interface ipv4 set subinterface NAME mtu=9000 store=persistent
optional|netsh interface set interface name=NAME newname="Ethernet0"'
    # The old card has no route left; one that goes by its gateway alone stays.
    ntfscat -f ntfs Windows/System32/config/SYSTEM >after
    export_of after text
    expect_equal "$(grep -c '0000000180000600' text)" 0
    expect_equal "$(grep -c '^"[0-9.]*,[0-9.]*,10' text)" 1
    run "$REHOST" report out/network/disk0.raw --to kvm --set memory=2GiB $nic --json -
    expect_json '.vms[0].targets[0].edits | length' 0
}
test_a_card_replaced_in_its_slot_is_not_taken_for_the_one_that_is_there() {
    local class='[\ControlSet001\Control\Class\{4D36E972-E325-11CE-BFC1-08002BE10318}\0000]' old='{5245484F-5354-4000-8000-0000000000E9}'
    printf '%s\n' 'Windows Registry Editor Version 5.00' '' \
        '[\ControlSet001\Enum\PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00\000C29FFFF661AA200]' \
        '"Driver"="{4d36e972-e325-11ce-bfc1-08002be10318}\\0000"' '"UINumber"=dword:000000c0' '' \
        "$class" "\"NetCfgInstanceId\"=\"$old\"" '"ComponentId"="pci\\ven_8086&dev_10d3"' '' \
        "[\\ControlSet001\\Services\\Tcpip\\Parameters\\Interfaces\\$old]" '"EnableDHCP"=dword:00000001' >more.reg
    disk replaced win2019 SIZE_MIB=16 SYSTEM_MORE="$PWD/more.reg"
    report replaced kvm $nic
    expect_json "$guest.nics | map(select(.nic == 0) | .device[0:17]) | join(\" \")" "VEN_15AD&DEV_07B0"
    expect_json "$guest.nics | map(.ghost) | sort | map(tostring) | join(\" \")" "false true"
}
test_the_job_is_for_administrators_alone() {
    need ntfssecaudit
    disk w2019 win2019
    convert w2019 kvm $nic
    volume out/w2019/disk0.raw
    mkdir mnt
    ntfs-3g ntfs mnt
    for f in mnt/Windows/rehost-firstboot mnt/Windows/rehost-firstboot/*; do
        getfattr --only-values -n system.ntfs_acl "$f" | od -An -tx1 -v | tr -d ' \n'
        echo
    done >acls
    fusermount -u mnt
    # Owner and group, and the two entries; inheritance from above is off.
    expect_equal "$(sort -u acls)" "$(printf %s \
        01000494140000002400000000000000300000000102000000000005200000002002000001010000000000051200000002003400020000000003140 \
        0ff011f0001010000000000051200000000031800ff011f000102000000000005200000002002000 0 | tr -d ' ')"
}

# --- the rest of the machine --------------------------------------------------------------
test_vmwares_tools_are_removed_where_that_is_asked_for() {
    disk w2019 win2019
    convert w2019 kvm --remove-vmware-tools
    expect_status 0
    volume out/w2019/disk0.raw
    expect_equal "$(ntfscat -f ntfs Windows/rehost-firstboot/after.txt | tr -d '\r')" \
        '-|optional|msiexec /x {5F7B6C10-0000-4000-8000-000000000001} /qn /norestart'
}
test_a_missing_fallback_loader_is_added_and_no_other_touched() {
    disk w11 win11 LAYOUT=gpt
    cp "$SCRATCH/w11.raw" "$SCRATCH/noboot.raw"
    mdel -i "$SCRATCH/noboot.raw@@1M" ::/EFI/Boot/bootx64.efi
    printf other | mcopy -i "$SCRATCH/noboot.raw@@1M" - ::/EFI/Boot/other.efi
    convert noboot kvm
    expect_status 0
    expect_json '.edits[] | select(.fix == "windows.efi-fallback") | .where' \
        "/ESP:/EFI/Boot/bootx64.efi" out/noboot/receipt.json
    mcopy -i out/noboot/disk0.raw@@1M ::/EFI/Boot/bootx64.efi a
    mcopy -i out/noboot/disk0.raw@@1M ::/EFI/Microsoft/Boot/bootmgfw.efi b
    expect_same_file a b
    mcopy -i out/noboot/disk0.raw@@1M ::/EFI/Boot/other.efi c
    expect_equal "$(cat c)" other
    # One that is there stays, whoever's it is.
    mdel -i "$SCRATCH/noboot.raw@@1M" ::/EFI/Boot/bootx64.efi 2>/dev/null
    printf grub | mcopy -i "$SCRATCH/noboot.raw@@1M" - ::/EFI/Boot/bootx64.efi
    report noboot kvm
    expect_json '[.vms[0].targets[0].edits[] | select(.fix == "windows.efi-fallback")] | length' 0
}
test_data_disks_of_a_server_come_online() {
    disk w2019 win2019
    mkdir vm
    cp "$SCRATCH/w2019.raw" vm/system-flat.vmdk
    truncate -s 4M vm/data-flat.vmdk
    flat system $(($(stat -c %s vm/system-flat.vmdk) / 512)) >vm/system.vmdk
    flat data 8192 >vm/data.vmdk
    printf '%s\n' 'config.version = "8"' 'displayName = "w"' 'memsize = "2048"' 'numvcpus = "1"' \
        'guestOS = "windows2019srv-64"' 'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"' \
        'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "system.vmdk"' \
        'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "data.vmdk"' >vm/w.vmx
    run "$REHOST" convert vm/w.vmx --to kvm --out out --format raw
    expect_status 0
    volume out/w/disk0.raw
    ntfscat -f ntfs Windows/rehost-firstboot/after.txt >steps
    expect_equal "$(tr -d '\r' <steps)" \
        '-|optional|reg delete HKLM\SYSTEM\CurrentControlSet\Services\partmgr\Parameters /v SanPolicy /f'
    expect_json '.edits[] | select(.where | endswith("SanPolicy")) | .after' 1 \
        out/w/receipt.json
}

# --- virtio -------------------------------------------------------------------------------
test_virtio_is_put_in_and_the_rest_installed_at_the_first_start() {
    disk w2019 win2019
    virtio_win drv microsoft 2k16 2k19 2k22 w10
    convert w2019 kvm --devices virtio --drivers drv
    expect_status 0
    volume out/w2019/disk0.raw
    ntfscat -f ntfs Windows/System32/drivers/vioscsi.sys >got
    expect_same_file got drv/vioscsi/2k19/amd64/vioscsi.sys
    ntfscat -f ntfs Windows/System32/config/SYSTEM >SYSTEM
    export_of SYSTEM text
    expect_equal "$(grep -A9 '^.*Services.vioscsi]' text | grep -c 'dword:00000000\|drivers.vioscsi.sys')" 2
    # This registry was made without a DriverDatabase: the older rows.
    expect_equal "$(grep -c 'CriticalDeviceDatabase.PCI#VEN_1AF4&DEV_10[04][48]&REV' text)" 2
    ntfscat -f ntfs Windows/rehost-firstboot/drivers.txt | tr -d '\r' >steps
    expect_equal "$(cat steps)" \
'-|optional:viostor|pnputil -i -a drivers\viostor\viostor.inf
-|optional:vioscsi|pnputil -i -a drivers\vioscsi\vioscsi.inf
-|needed:netkvm|pnputil -i -a drivers\netkvm\netkvm.inf
-|optional:balloon|pnputil -i -a drivers\balloon\balloon.inf'
    ntfscat -f ntfs Windows/rehost-firstboot/drivers/netkvm/netkvm.inf >inf
    expect_equal "$(head -1 inf | tr -d '\r')" "; 2k19"
    run "$REHOST" report out/w2019/disk0.raw --to kvm --devices virtio --drivers drv \
        --set memory=2GiB --set cpus=1 --json -
    expect_json '.vms[0].targets[0].edits | length' 0
}
test_the_xen_installer_runs_at_the_first_start_and_nothing_is_half_put_in() {
    disk w2019 win2019
    mkdir drv
    echo a package >drv/XenTools-x64.msi
    echo another >drv/XenTools-x86.msi
    run "$REHOST" report "$SCRATCH/w2019.raw" --to xen --drivers drv \
        --set memory=2GiB --set cpus=1 --json -
    expect_json '[.vms[0].targets[0].edits[].where | select(test("XenTools|xenbus"))] | join(" ")' \
        /Windows/rehost-firstboot/XenTools-x64.msi
}

# --- volumes that Windows did not leave clean ------------------------------------------
test_a_hibernated_volume_is_read_and_not_written() {
    disk asleep win10 HIBERNATED=1
    report asleep kvm --devices emulated
    expect_json '[.vms[0].targets[0].findings[].id | select(. == "GUEST-HIBERNATED")] | length' 1
    expect_json "$edited" ""
    expect_json "$guest.version" 10.0.19045
}
# The appliance would do it (tests/wine/appliance.sh): that is not to be had, either.
test_without_the_helper_it_is_said_what_is_lacking() {
    disk w2019 win2019
    echo >libguestfs.so.0
    LD_LIBRARY_PATH=$PWD REHOST_LIBEXEC=/nonexistent report w2019 kvm
    expect_json '.vms[0].targets[0].findings[] | select(.id == "GUEST-UNREADABLE") | .message | test("rehost-ntfs")' \
        true
}
test_the_helper_shuts_itself_in() {
    need strace
    # Sanitizers call what the filter forbids: such a build has none.
    [ -z "${REHOST_SAN-}" ] || skip_test "a build with sanitizers has no filter"
    disk w2019 win2019
    run "${STRACE[@]}" -e trace=prctl,seccomp,kill "$REHOST" report \
        "$SCRATCH/w2019.raw" --to kvm --set memory=2GiB --json -
    expect_status 0
    expect_equal "$(grep -c 'PR_SET_SECCOMP.*= 0' trace | awk '{print ($1 > 0)}')" 1
    run "$BUILD/rehost-ntfs" anything
    expect_status 2
}

# --- what real volumes and disks of Windows tell ------------------------------------------
test_refs_is_told() {
    need_shared corpus/windows-disks/refs_boot_superblock.bin.xz
    xz -dc "$corpus/refs_boot_superblock.bin.xz" >refs.img
    expect_equal "$(findings refs.img)" "refs.img blocked WINDOWS-REFS"
}
test_log_files_tell_whether_windows_stopped_cleanly() {
    local f
    need_shared corpus/windows-disks/dfir_ntfs-LogFile_10.bin.xz
    for f in 10 10_downgraded 7 empty; do
        # They are beginnings: what follows in a log is 0xff.
        { xz -dc "$corpus/dfir_ntfs-LogFile_$f.bin.xz"
          head -c 4M /dev/zero | tr '\0' '\377'; } | head -c 4M >log
        truncate -s 32M "log$f.img"
        mkntfs -q -F -Q "log$f.img" >/dev/null 2>&1
        ntfscp -f -i "log$f.img" log 2 >/dev/null 2>&1
    done
    expect_equal "$(findings log*.img | sed 's/ [a-z]* / /')" \
"log10.img WINDOWS-FAST-STARTUP
log10_downgraded.img 
log7.img 
logempty.img "
}
run_tests
