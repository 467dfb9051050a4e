# lib-pve.sh - a result and a strict stand-in of a Proxmox VE node, for scripts
# that push the one to the other; after lib.sh and lib-vm.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later

# Secrets that no message may show.
PASSWORD=s3cr3t-Pa55
TOKEN=11111111-2222-3333-4444-555555555555
export REHOST_TOKEN="root@pam!full=$TOKEN" REHOST_USER='' REHOST_PASSWORD=''
cd "$SCRATCH" || exit 1
make_vm web01 nics=2 "disks=8388608 5242880" firmware=uefi >/dev/null
"$REHOST" convert vm --to kvm --out kvm --no-guest-fix >/dev/null || exit 1
RESULT=$SCRATCH/kvm/web01

pve() { # [OPTION...]
    stand_in pve state --password "$PASSWORD" --auth-delay 0 --task-delay 0.1 "$@"
    URL=proxmox://$HOST/pve1/local-lvm
    cp -r "$RESULT" web01
}
push() { # [OPTION...]: to $URL
    run timeout 100 "$REHOST" push web01 --to "$URL" \
        --tls-ca "$STATE/cert.pem" "$@"
    expect_secrets_kept
}
expect_secrets_kept() {
    printf '%s\n' "$PASSWORD" "$TOKEN" >.secrets
    # And the paths from which the node was to fetch.
    [ ! -e "$STATE/urls" ] || grep -o '[^/]*$' "$STATE/urls" >>.secrets
    ! grep -rqFf .secrets .stdout .stderr web01 ||
        fail "a secret was shown in: $(grep -rlFf .secrets .stdout .stderr web01)"
    held
}
# No VM, no disk, no uploaded file, no half upload, no journal.
expect_nothing_left() {
    local folder
    for folder in conf images local/import nfs/import tmp; do
        expect_empty "$STATE/$folder"
    done
    expect_empty web01/.push
}
setting() { # VMID KEY
    sed -n "s/^$2: //p" "$STATE/conf/$1.conf"
}
