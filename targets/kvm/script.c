/* script.c - import.sh, which makes the VM with `qm`, and the same in words.
 *
 * Values of the package stand in single quotes only, without control characters
 * but the line ends of a description; the rest of the text is ours. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "targets/kvm/kvm.h"

static const char head[] =
    "#!/bin/sh\n"
    "# Makes the VM of this folder on a Proxmox VE node: import.sh --help\n"
    "set -eu\n"
    "here=$(cd \"$(dirname \"$0\")\" && pwd -P)\n";

static const char options[] =
    "usage() {\n"
    "    cat <<'END'\n"
    "usage: import.sh [--storage NAME] [--vmid N] [--start] [--dry-run] "
    "[--force]\n"
    "\n"
    "Makes the VM in this folder with `qm` and copies its disks to a storage. "
    "Run it\n"
    "as root on a Proxmox VE node (7.2 or later) that can read this folder.\n"
    "\n"
    "  --storage  where the disks go\n"
    "  --vmid     the VM's number (default: the next free one)\n"
    "  --start    start the VM afterwards\n"
    "  --dry-run  print the command, change nothing\n"
    "  --force    do not look whether the storage and the bridges are there\n"
    "END\n"
    "}\n"
    "die() {\n"
    "    printf 'import.sh: %s\\n' \"$1\" >&2\n"
    "    exit 1\n"
    "}\n"
    "bad_usage() {\n"
    "    usage >&2\n"
    "    exit 2\n"
    "}\n"
    "start= dry= force=\n"
    "while [ $# -gt 0 ]; do\n"
    "    case $1 in\n"
    "    -h | --help) usage; exit 0 ;;\n"
    "    --start) start=yes ;;\n"
    "    --dry-run) dry=yes ;;\n"
    "    --force) force=yes ;;\n"
    "    --storage=*) storage=${1#*=} ;;\n"
    "    --vmid=*) vmid=${1#*=} ;;\n"
    "    --storage) [ $# -ge 2 ] || bad_usage; storage=$2; shift ;;\n"
    "    --vmid) [ $# -ge 2 ] || bad_usage; vmid=$2; shift ;;\n"
    "    *) bad_usage ;;\n"
    "    esac\n"
    "    shift\n"
    "done\n"
    "case $storage in\n"
    "'' | [!A-Za-z]* | *[!A-Za-z0-9_.-]* | *[!A-Za-z0-9])\n"
    "    die \"'$storage' cannot be a storage's name\" ;;\n"
    "esac\n"
    "case $vmid in\n"
    "'') ;;\n"
    "0* | *[!0-9]* | ? | ?? | ??????????*)\n"
    "    die \"'$vmid' cannot be a VM's number (100 to 999999999)\" ;;\n"
    "esac\n"
    "# qm reads a disk's options from one word, with commas between them.\n"
    "case $here in\n"
    "*,*) die \"the folder's path must not have a comma: $here\" ;;\n"
    "esac\n"
    "need_file() {\n"
    "    [ -r \"$here/$1\" ] || die \"$1 is missing in $here\"\n"
    "}\n"
    "need_bridge() {\n"
    "    [ -z \"$force$dry\" ] || return 0\n"
    "    [ -e \"/sys/class/net/$1\" ] ||\n"
    "        die \"there is no bridge '$1': make it, convert again with "
    "--network-map 'FROM=BRIDGE', or add --force\"\n"
    "}\n"
    "if [ -z \"$dry\" ]; then\n"
    "    command -v qm >/dev/null ||\n"
    "        die 'there is no qm here: copy this folder to a Proxmox VE node "
    "and run it there'\n"
    "    [ -n \"$force\" ] || pvesm status --storage \"$storage\" >/dev/null "
    "||\n"
    "        die \"there is no storage '$storage': name one with --storage "
    "(pvesm status lists them)\"\n"
    "fi\n";

static const char tail[] =
    "if [ -n \"$dry\" ]; then\n"
    "    printf 'qm create %s' \"${vmid:-NEXT-FREE}\"\n"
    "    for word; do\n"
    "        printf \" '%s'\" \"$(printf '%s' \"$word\" | sed "
    "\"s/'/'\\\\\\\\''/g\")\"\n"
    "    done\n"
    "    echo\n"
    "    exit 0\n"
    "fi\n"
    "[ -n \"$vmid\" ] || vmid=$(pvesh get /cluster/nextid)\n"
    "if qm status \"$vmid\" >/dev/null 2>&1; then\n"
    "    die \"a VM $vmid exists already: choose another --vmid\"\n"
    "fi\n"
    "# One call: when it fails, Proxmox VE takes away what it made.\n"
    "qm create \"$vmid\" \"$@\"\n"
    "printf 'imported: VM %s\\n' \"$vmid\"\n"
    "if [ -n \"$start\" ]; then\n"
    "    qm start \"$vmid\"\n"
    "else\n"
    "    printf 'start it with: qm start %s\\n' \"$vmid\"\n"
    "fi\n";

static void put_setting(struct rh_buf *b, const struct rh_kvm_setting *v)
{
    const char *shown = v->api ? v->api : v->value;

    rh_buf_printf(b, " \\\n    --%s ", v->key);
    if (v->volume && v->file)
        rh_buf_printf(b, "\"$storage:0,import-from=$here/%s,%s\"", v->file,
                      shown);
    else if (v->volume)
        rh_buf_printf(b, "\"$storage:1,%s\"", shown);
    else
        rh_shell_quote(b, shown);
}

static void put_needs(struct rh_buf *b, const struct rh_kvm *k)
{
    for (size_t i = 0; i < k->job->disk_count; i++)
        rh_buf_printf(b, "need_file %s\n", k->job->disks[i].file);
    for (size_t i = 0; i < k->nic_count; i++) {
        rh_buf_puts(b, "need_bridge ");
        rh_shell_quote(b, k->nics[i].bridge);
        rh_buf_putc(b, '\n');
    }
}

char *rh_kvm_import_script(const struct rh_kvm *k)
{
    const char *vmid = rh_target_option(k->job, "vmid");
    struct rh_kvm_settings s;
    struct rh_buf b = {0};

    rh_kvm_settings(k, &s);
    rh_buf_puts(&b, head);
    rh_buf_puts(&b, "storage=");
    rh_shell_quote(&b, k->storage);
    rh_buf_puts(&b, "\nvmid=");
    rh_shell_quote(&b, vmid ? vmid : "");
    rh_buf_putc(&b, '\n');
    rh_buf_puts(&b, options);
    put_needs(&b, k);
    rh_buf_puts(&b, "set --");
    for (size_t i = 0; i < s.list.count; i++)
        put_setting(&b, &s.list.items[i]);
    rh_buf_putc(&b, '\n');
    rh_buf_puts(&b, tail);
    rh_kvm_settings_free(&s);
    return rh_buf_take(&b);
}

/* --- the same in words, for who has the web page only
 * ------------------------------- */

static void put_disks(struct rh_buf *b, const struct rh_kvm *k)
{
    rh_buf_puts(b, _("\nDisks\n"));
    for (size_t i = 0; i < k->job->disk_count; i++) {
        RH_AUTO(rh_freep)
        char *size = rh_human_size(k->job->disks[i].virtual_size);

        rh_buf_printf(b, "  %-8s %s  %s\n", k->job->disks[i].bus,
                      k->job->disks[i].file, size);
    }
}

static void put_nics(struct rh_buf *b, const struct rh_kvm *k)
{
    rh_buf_puts(b, _("\nNICs\n"));
    for (size_t i = 0; i < k->nic_count; i++) {
        const struct rh_kvm_nic *n = &k->nics[i];
        RH_AUTO(rh_freep) char *bridge = rh_printable(n->bridge);

        rh_buf_printf(b, "  net%zu  %s  %s  %s", i, n->model, n->mac, bridge);
        if (n->vlan)
            rh_buf_printf(b, "  VLAN %u", n->vlan);
        rh_buf_putc(b, '\n');
    }
}

char *rh_kvm_import_words(const struct rh_kvm *k)
{
    struct rh_buf b = {0};

    rh_buf_printf(
        &b,
        _("On a Proxmox VE node: import.sh --help\n"
          "\n"
          "With Proxmox VE's web page (8.3 or later)\n"
          "  1. Upload the disk files: a storage with the content type "
          "\"Import\", Upload.\n"
          "  2. Create VM: BIOS %s, machine %s, SCSI controller %s, "
          "CPUs and memory as in\n"
          "     proxmox.conf, no disk and no network device.\n"
          "  3. Hardware, Add, Hard Disk, tab \"Import\": each disk at its "
          "bus and number (below).\n"
          "  4. Hardware, Add, Network Device: model, MAC address and bridge "
          "as below.\n"
          "  5. Options, Boot Order: %s first. Start it.\n"
          "\n"
          "With libvirt: virsh define libvirt.xml (it names this folder's "
          "disks by their full path;\n"
          "after moving the folder, change them there).\n"),
        k->uefi ? "OVMF" : "SeaBIOS", k->q35 ? "q35" : "i440fx", k->scsihw,
        k->job->disk_count ? k->job->disks[0].bus : "net0");
    put_disks(&b, k);
    put_nics(&b, k);
    return rh_buf_take(&b);
}
