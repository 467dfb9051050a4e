#!/bin/bash
# libvirt.sh - libvirt's own verdict on a domain, without a daemon and without
# touching /etc: the schema, define (in libvirt's embedded driver), and start.
#
#   libvirt.sh [--start] DOMAIN.xml
#
# KVM becomes software emulation, host CPU models become `maximum`, Hyper-V's
# features (which only KVM has) leave the copy that is started, and NICs there
# go to QEMU's user network: no bridge is asked of this machine.  Everything
# else is started as written, disks included.
# JUDGE_CACHE=DIR, which is made when it is not there: what libvirt finds out of
# QEMU, by starting it several times, is kept there for the next domain.
# Exit: 0 good, 1 refused (the reason on standard output), 2 cannot run here.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
start=
[ "${1-}" != --start ] || { start=yes; shift; }
[ $# -eq 1 ] || { sed -n '2,5p' "$0" >&2; exit 2; }
for t in virsh virt-xml-validate qemu-img perl setpriv; do
    command -v $t >/dev/null || { echo "missing: $t"; exit 2; }
done
domain=$(realpath "$1")

# The driver for root wants its own user to exist: without it, be nobody.
if [ "$(id -u)" = 0 ] && ! getent passwd libvirt-qemu >/dev/null; then
    copy=$(mktemp -d "${TMPDIR:-/tmp}/judge.XXXXXX") || exit 2
    cp "$domain" "$copy/domain.xml"
    cp "$0" "$copy/libvirt.sh"
    [ ! -d "${JUDGE_CACHE-}" ] || cp -r "$JUDGE_CACHE" "$copy/kept"
    chown -R nobody:nogroup "$copy"
    chmod 755 "$copy"
    setpriv --reuid=nobody --regid=nogroup --clear-groups env \
        TMPDIR="$copy" HOME="$copy" XDG_RUNTIME_DIR="$copy" USER=nobody \
        LOGNAME=nobody JUDGE_CACHE="${JUDGE_CACHE:+$copy/kept}" \
        bash "$copy/libvirt.sh" ${start:+--start} "$copy/domain.xml"
    status=$?
    [ -d "${JUDGE_CACHE:-/}" ] || cp -r "$copy/kept" "$JUDGE_CACHE"
    rm -rf "$copy"
    exit $status
fi

W=$(mktemp -d "${TMPDIR:-/tmp}/judge.XXXXXX") || exit 2
trap 'rm -rf "$W"' EXIT
mkdir -p "$W/root/etc" "$W/root/cache/qemu"
[ ! -d "${JUDGE_CACHE-}" ] || cp -r "$JUDGE_CACHE" "$W/root/cache/qemu/capabilities"
cat >"$W/root/etc/qemu.conf" <<'C'
stdio_handler = "file"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
C
if [ "$(id -u)" = 0 ]; then
    printf 'user = "root"\ngroup = "root"\n' >>"$W/root/etc/qemu.conf"
    printf 'swtpm_user = "root"\nswtpm_group = "root"\n' \
        >>"$W/root/etc/qemu.conf"
fi
name=$(sed -n 's:.*<name>\(.*\)</name>.*:\1:p' "$domain" | head -n 1)

ask() { # VIRSH-COMMANDS...
    timeout 180 virsh -q -c "qemu:///embed?root=$W/root" "$1" 2>&1 |
        grep -v -e ' : info : ' -e 'virSecurityManagerNew' -e 'is tainted' \
            -e ': warning :'
}
refuse() {
    echo "$1"
    exit 1
}

said=$(virt-xml-validate "$domain" domain 2>&1) || refuse "schema: $said"
cp "$domain" "$W/defined.xml"
perl -0pi -e "s#<domain type=['\"]kvm['\"]#<domain type='qemu'#;
    s#mode=['\"]host-(passthrough|model)['\"]#mode='maximum'#" "$W/defined.xml"
said=$(ask "define --validate $W/defined.xml; dumpxml --inactive $name; \
    undefine $name --nvram --tpm")
[ -d "${JUDGE_CACHE:-/}" ] || cp -r "$W/root/cache/qemu/capabilities" "$JUDGE_CACHE"
case $said in *error:*) refuse "define: $(echo "$said" | grep error:)" ;; esac
echo "defined"
[ -n "$start" ] || exit 0

cp "$W/defined.xml" "$W/started.xml"
perl -0pi -e "s#<hyperv\b.*?</hyperv>##s; s#<timer name=.hypervclock.[^>]*/>##;
    s#<interface type=['\"](bridge|network)['\"]#<interface type='user'#g;
    s#<source (bridge|network)=[^>]*/>##g" "$W/started.xml"
said=$(ask "define $W/started.xml; start $name; domstate $name; \
    destroy $name; undefine $name --nvram --tpm")
case $said in
*error:*) refuse "start: $(echo "$said" | grep error:)" ;;
*running*) echo "started" ;;
*) refuse "it did not run: $said" ;;
esac
