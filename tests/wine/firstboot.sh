#!/bin/bash
# firstboot.sh - what a Windows guest does at its first start on the new
# machine, run by Wine out of a guest that was really converted: the tools that
# Wine lacks are stubs that write down how they were called.
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/lib-windows.sh"

for tool in wine ntfscat hivexregedit; do
    command -v "$tool" >/dev/null || {
        skip "first start" "$tool is not installed"
        finish
        exit 0
    }
done
export WINEPREFIX=$SCRATCH/prefix WINEDEBUG=-all DISPLAY= XDG_RUNTIME_DIR=$SCRATCH
export WINEPATH='C:\stubs'
c=$WINEPREFIX/drive_c
trap 'wineserver -k; cd /; rm -rf "$SCRATCH"' EXIT
timeout 300 wineboot -i >/dev/null 2>&1
SIZE_MIB=64 sh "$TOP/tests/guests/mkwindows.sh" guest.raw win2019 >mkwindows.log 2>&1
"$REHOST" convert guest.raw --to kvm --out out --format raw --set memory=2GiB \
    --set cpus=1 --set nic0.slot=192 --set nic0.mac=00:50:56:8a:01:02 \
    --name guest >convert.log 2>&1
dd if=out/guest/disk0.raw of=ntfs bs=1M skip=1 conv=sparse status=none
truncate -s 64M ntfs

stub() { # NAME LINE...
    local name=$1
    shift
    printf '%s\r\n' '@echo off' "$@" >"$c/stubs/$name.cmd"
}
# The folder as the guest has it, and stubs that do well.
fresh() {
    rm -rf "$c/windows/rehost-firstboot" "$c/stubs" "$c/calls.txt"
    mkdir -p "$c/windows/rehost-firstboot" "$c/stubs"
    for f in firstboot.cmd network.txt; do
        ntfscat -f "$SCRATCH/ntfs" "Windows/rehost-firstboot/$f" \
            >"$c/windows/rehost-firstboot/$f"
    done
    stub netsh 'echo netsh %*>>C:\calls.txt' 'exit /b 0'
    stub sc 'echo sc %*>>C:\calls.txt' 'exit /b 0'
    stub ping 'exit /b 0'
    stub getmac \
        'echo "Ethernet 4, other","Red Hat VirtIO","52-54-00-00-00-01","\Device\Tcpip_{11111111-2222-3333-4444-555555555555}"' \
        'echo "Ethernet 5","Intel(R) PRO/1000","00-50-56-8A-01-02","\Device\Tcpip_{AAAAAAAA-2222-3333-4444-555555555555}"'
}
start() {
    timeout 120 wine cmd /c 'C:\windows\rehost-firstboot\firstboot.cmd' >/dev/null 2>&1
}
calls() {
    tr -d '\r' <"$c/calls.txt" | sed 's/ *$//'
}

test_the_addresses_are_set_on_the_card_with_the_mac() {
    fresh
    start
    expect_equal "$(calls)" \
'netsh interface ipv4 set address name="Ethernet 5" source=static address=10.0.2.15 mask=255.255.255.0 gateway=10.0.2.2 gwmetric=1
netsh interface ipv6 delete address interface="Ethernet 5" address=2001:db8::15
netsh interface ipv6 add address interface="Ethernet 5" address=2001:db8::15/64
netsh interface ipv4 set dnsservers name="Ethernet 5" source=static address=10.0.2.3 validate=no
netsh interface ipv4 add dnsservers name="Ethernet 5" address=10.0.2.4 validate=no
netsh interface set interface name="Ethernet 5" newname="Ethernet0"
sc delete rehost-firstboot'
    # reg.exe is Wine's own.
    run wine reg query 'HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\{AAAAAAAA-2222-3333-4444-555555555555}'
    expect_stdout "corp.example"
    expect_equal "$(cd "$c/windows/rehost-firstboot" && echo *)" "log.txt state.txt"
    expect_equal "$(tr -d '\r\n ' <"$c/windows/rehost-firstboot/state.txt")" "done"
}
test_a_step_that_fails_is_tried_at_three_starts_and_then_given_up() {
    fresh
    stub netsh 'echo netsh %*>>C:\calls.txt' 'exit /b 1'
    start
    expect_equal "$(calls | grep -c '^sc delete')" 0
    start
    expect_equal "$(calls | grep -c '^sc delete')" 0
    start
    expect_equal "$(calls | grep -c '^sc delete')" 1
    expect_equal "$(calls | grep -c 'ipv4 set address')" 3
    expect_equal "$(tr -d '\r\n ' <"$c/windows/rehost-firstboot/state.txt")" "failed"
    expect_equal "$(cd "$c/windows/rehost-firstboot" && echo *)" "log.txt state.txt"
}
test_a_card_that_never_comes_ends_likewise() {
    fresh
    stub getmac 'exit /b 1'
    for i in 1 2 3; do start; done
    expect_equal "$(calls)" "sc delete rehost-firstboot"
    expect_equal "$(tr -d '\r\n ' <"$c/windows/rehost-firstboot/state.txt")" "failed"
}
test_a_step_that_fails_once_is_done_at_the_next_start() {
    fresh
    stub netsh 'exit /b 1'
    start
    stub netsh 'echo netsh %*>>C:\calls.txt' 'exit /b 0'
    start
    expect_equal "$(calls | grep -c 'ipv4 set address')" 1
    expect_equal "$(tr -d '\r\n ' <"$c/windows/rehost-firstboot/state.txt")" "done"
}
# The rows that bind the boot disk stay until the package's own are there.
test_the_boot_disks_rows_go_only_when_its_package_was_installed() {
    local rc
    DATABASE=1 SIZE_MIB=32 sh "$tools/mkwindows.sh" db.raw win2019 >/dev/null 2>&1
    virtio_win drv microsoft 2k19
    run "$REHOST" convert db.raw --to kvm --out out --format raw --devices virtio \
        --drivers drv --set memory=2GiB --set cpus=1
    expect_status 0
    volume out/db/disk0.raw
    for f in drivers.txt after.txt; do
        ntfscat -f ntfs "Windows/rehost-firstboot/$f" >"$f"
    done
    db='HKLM\SYSTEM\DriverDatabase\DriverInfFiles\rehost.inf'
    for rc in 1 0 3010; do
        fresh
        rm "$c/windows/rehost-firstboot/network.txt"
        cp drivers.txt after.txt "$c/windows/rehost-firstboot/"
        # Wine's `call` makes 1 of every code but 0, so these programs go without.
        # (259 is not tried: Wine's cmd takes it for 0.)
        sed -i 's/^call %COMMAND%/%COMMAND%/' "$c/windows/rehost-firstboot/firstboot.cmd"
        python3 "$tools/mkpe.py" "$c/stubs/pnputil.exe" x64 console "$rc"
        wine reg add "$db" /ve /d row /f >/dev/null 2>&1
        start
        wine reg query "$db" >/dev/null 2>&1 && echo "$rc kept" || echo "$rc gone"
    done >found
    expect_equal "$(cat found)" "$(printf '1 kept\n0 gone\n3010 gone')"
    expect_equal "$(tr -d '\r\n ' <"$c/windows/rehost-firstboot/state.txt")" "done"
}
# The key that is in the guest's hive, in Wine's registry: it runs by itself.
test_the_service_starts_with_windows_and_takes_its_key_away() {
    fresh
    rm "$c/stubs/sc.cmd"
    ntfscat -f "$SCRATCH/ntfs" Windows/System32/config/SYSTEM >SYSTEM
    hivexregedit --export --prefix 'HKEY_LOCAL_MACHINE\SYSTEM' SYSTEM \
        '\ControlSet001\Services\rehost-firstboot' |
        sed 's/ControlSet001/CurrentControlSet/' >key.reg
    { printf '\377\376'; sed 's/$/\r/' key.reg | iconv -f UTF-8 -t UTF-16LE; } >"$c/key.reg"
    run wine reg import 'C:\key.reg'
    expect_status 0
    wineserver -k
    # Services see the system's path, not ours.
    wine reg add 'HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment' \
        /v PATH /t REG_SZ /d 'C:\stubs;C:\windows\system32;C:\windows' /f >/dev/null 2>&1
    wineserver -k
    timeout 120 wineboot -s >/dev/null 2>&1
    timeout 100 wine cmd /c exit >/dev/null 2>&1
    for i in $(seq 40); do
        [ ! -e "$c/windows/rehost-firstboot/state.txt" ] || break
        sleep 1
    done
    expect_file "$c/windows/rehost-firstboot/state.txt"
    run wine reg query 'HKLM\SYSTEM\CurrentControlSet\Services\rehost-firstboot'
    expect_equal "$([ "$status" = 0 ] && echo there || echo gone)" gone
}
run_tests
