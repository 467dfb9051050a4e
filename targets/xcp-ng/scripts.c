/* scripts.c - import.sh and xe-import.sh: what an administrator runs on the
 * pool's master, or anywhere with `xe`.
 *
 * Values of the package stand in single quotes only, after rh_printable() has
 * taken their control characters away; the rest of the text is ours. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "targets/xcp-ng/xen.h"

static void add_setting(struct rh_buf *b, const char *name, const char *text)
{
    rh_buf_printf(b, "%s=", name);
    rh_shell_quote(b, text);
    rh_buf_putc(b, '\n');
}

/* --- parts of both scripts ------------------------------------------------ */
static const char usage[] =
    "usage() {\n"
    "    cat <<'END'\n"
    "usage: import.sh [--sr NAME-OR-UUID] [--new-networks] [--start]\n"
    "       import.sh --dry-run HOST [USER]\n"
    "\n"
    "Imports the VM in this folder with `xe`. Run it on the pool's master, or "
    "where\n"
    "xe is installed, with XE_EXTRA_ARGS=server=HOST,username=USER,"
    "password=...\n"
    "\n"
    "  --sr            storage repository for the disks (default: the pool's)\n"
    "  --new-networks  go on where the pool has no network of that name: it "
    "is made\n"
    "                  new and leads nowhere until you connect it\n"
    "  --start         start the VM afterwards\n"
    "  --dry-run       let the host check the configuration, import nothing "
    "(curl\n"
    "                  asks for USER's password; curl's own options come from\n"
    "                  ~/.curlrc, such as \"insecure\" for a self-signed "
    "certificate)\n"
    "END\n"
    "}\n";

static const char options[] =
    "new_networks='' start=''\n"
    "die() {\n"
    "    printf 'import.sh: %s\\n' \"$1\" >&2\n"
    "    exit 1\n"
    "}\n"
    "dry_run() { # HOST [USER]\n"
    "    curl --fail --show-error --silent --user \"${2:-root}\" \\\n"
    "        --upload-file \"$here/$metadata\" \\\n"
    "        \"https://$1/import_metadata?dry_run=true&force=true\" ||\n"
    "        die 'the host refused the configuration'\n"
    "    echo 'the host would take it'\n"
    "}\n"
    "while [ $# -gt 0 ]; do\n"
    "    case $1 in\n"
    "    -h | --help) usage; exit 0 ;;\n"
    "    --new-networks) new_networks=yes ;;\n"
    "    --start) start=yes ;;\n"
    "    --sr=*) sr=${1#--sr=} ;;\n"
    "    --sr) [ $# -ge 2 ] || { usage >&2; exit 2; }; sr=$2; shift ;;\n"
    "    --dry-run) [ $# -ge 2 ] || { usage >&2; exit 2; }\n"
    "        shift; dry_run \"$@\"; exit 0 ;;\n"
    "    *) usage >&2; exit 2 ;;\n"
    "    esac\n"
    "    shift\n"
    "done\n"
    "command -v xe >/dev/null || die 'there is no xe here: run it on the "
    "pool master'\n"
    "\n"
    "find_sr() {\n"
    "    if [ -z \"$sr\" ]; then\n"
    "        sr=$(xe pool-list params=default-SR --minimal)\n"
    "        case $sr in *-*-*-*-*) return ;; esac\n"
    "        die 'the pool has no default storage: name one with --sr'\n"
    "    fi\n"
    "    found=$(xe sr-list uuid=\"$sr\" --minimal 2>/dev/null || true)\n"
    "    [ -n \"$found\" ] || found=$(xe sr-list name-label=\"$sr\" "
    "--minimal)\n"
    "    case $found in\n"
    "    '') die \"the pool has no storage named $sr\" ;;\n"
    "    *,*) die \"several storages are named $sr: give the UUID\" ;;\n"
    "    esac\n"
    "    sr=$found\n"
    "}\n"
    "network=''\n"
    "find_network() { # NAME BRIDGE: sets network to its UUID, or to nothing\n"
    "    network=$(xe network-list name-label=\"$1\" --minimal)\n"
    "    if [ -z \"$network\" ] && [ -n \"$2\" ]; then\n"
    "        network=$(xe network-list bridge=\"$2\" --minimal)\n"
    "    fi\n"
    "    case $network in\n"
    "    *,*) network=${network%%,*}\n"
    "        printf 'import.sh: several networks are named %s, the first is "
    "taken\\n' \"$1\" >&2 ;;\n"
    "    esac\n"
    "    [ -n \"$network\" ] || [ -n \"$new_networks\" ] ||\n"
    "        die \"the pool has no network named '$1': make it, or convert "
    "again with --network-map 'OLD=NEW', or add --new-networks\"\n"
    "}\n";

static void add_head(struct rh_buf *b, const struct rh_target_job *job,
                     const char *about)
{
    RH_AUTO(rh_freep) char *name = rh_xen_name(job);
    const char *sr = rh_target_option(job, "sr");

    rh_buf_printf(b, "#!/bin/sh\n# %s\nset -eu\n", about);
    rh_buf_puts(b, "here=$(cd \"$(dirname \"$0\")\" && pwd)\n");
    add_setting(b, "name", name);
    rh_buf_printf(b, "metadata=%s-metadata.xva\n", job->name);
    rh_buf_puts(b, "sr=");
    rh_shell_quote(b, sr ? sr : "");
    rh_buf_puts(b, "\n\n");
    rh_buf_puts(b, usage);
    rh_buf_puts(b, options);
    rh_buf_putc(b, '\n');
}

static void add_find_network(struct rh_buf *b, const struct rh_target_job *job,
                             size_t nic)
{
    RH_AUTO(rh_freep) char *network = rh_xen_network(job, nic, NULL);

    rh_buf_puts(b, "find_network ");
    rh_shell_quote(b, network);
    rh_buf_putc(b, ' ');
    rh_shell_quote(b, rh_xen_is_bridge(network) ? network : "");
    rh_buf_putc(b, '\n');
}

static void add_tail(struct rh_buf *b, const struct rh_target_job *job)
{
    if (rh_xen_wants_tpm(job))
        rh_buf_puts(b, "xe vtpm-create vm-uuid=\"$uuid\" >/dev/null ||\n"
                       "    echo 'import.sh: no vTPM could be made (XCP-ng "
                       "8.3 has it)' >&2\n");
    rh_buf_puts(b, "[ -z \"$start\" ] || xe vm-start uuid=\"$uuid\"\n"
                   "printf 'imported: %s, uuid %s\\n' \"$name\" \"$uuid\"\n"
                   "[ -n \"$start\" ] || printf 'start it with: xe vm-start "
                   "uuid=%s\\n' \"$uuid\"\n");
}

/* --- XVA ------------------------------------------------------------------ */
char *rh_xen_import_xva(const struct rh_target_job *job)
{
    struct rh_buf b = {0};

    add_head(&b, job,
             "Imports the VM of this folder into an XCP-ng pool: "
             "import.sh --help");
    rh_buf_puts(&b, "find_sr\n");
    for (size_t i = 0; i < job->vm->nics.count; i++)
        add_find_network(&b, job, i);
    /* preserve=true keeps the MAC addresses and the VM's UUID. */
    rh_buf_printf(&b,
                  "uuid=$(xe vm-import filename=\"$here/%s.xva\" "
                  "preserve=true sr-uuid=\"$sr\")\n",
                  job->name);
    add_tail(&b, job);
    return rh_buf_take(&b);
}

/* --- disks as files ------------------------------------------------------- */
static const char undo[] =
    "# On a failure, take away what was made.\n"
    "uuid='' vdis=''\n"
    "undo() {\n"
    "    status=$?\n"
    "    trap - EXIT\n"
    "    if [ $status != 0 ]; then\n"
    "        [ -z \"$uuid\" ] || xe vm-destroy uuid=\"$uuid\" || true\n"
    "        for v in $vdis; do\n"
    "            xe vdi-destroy uuid=\"$v\" || true\n"
    "        done\n"
    "    fi\n"
    "    exit $status\n"
    "}\n"
    "trap undo EXIT\n"
    "trap 'exit 130' INT TERM HUP\n";

static const char add_disk[] =
    "add_disk() { # FILE SIZE DEVICE BOOTABLE\n"
    "    echo \"$1 ...\"\n"
    "    vdi=$(xe vdi-create sr-uuid=\"$sr\" name-label=\"$name $3\" "
    "virtual-size=\"$2\" type=user%s)\n"
    "    vdis=\"$vdis $vdi\"\n"
    "    xe vdi-import uuid=\"$vdi\" filename=\"$here/$1\" format=%s "
    "--progress\n"
    "    xe vbd-create vm-uuid=\"$uuid\" vdi-uuid=\"$vdi\" device=\"$3\" "
    "bootable=\"$4\" type=Disk mode=RW >/dev/null\n"
    "}\n"
    "add_nic() { # DEVICE MAC NETWORK-NAME [LOCKING-MODE]\n"
    "    [ -n \"$network\" ] || network=$(xe network-create "
    "name-label=\"$3\")\n"
    "    vif=$(xe vif-create vm-uuid=\"$uuid\" network-uuid=\"$network\" "
    "device=\"$1\" mac=\"$2\")\n"
    "    [ $# -lt 4 ] || xe vif-param-set uuid=\"$vif\" "
    "locking-mode=\"$4\"\n"
    "}\n";

static int add_settings(struct rh_buf *b, const struct rh_target_job *job,
                        rh_error **err)
{
    json_t *flags = rh_xen_platform(job, err), *value;
    const char *key;
    char order[4];

    if (!flags)
        return -1;
    rh_xen_boot_order(job, order);
    rh_buf_printf(b,
                  "set_vm() { xe vm-param-set uuid=\"$uuid\" \"$@\"; }\n"
                  "set_vm VCPUs-max=%llu\n"
                  "set_vm VCPUs-at-startup=%llu\n"
                  "set_vm HVM-boot-policy='BIOS order' "
                  "HVM-boot-params:firmware=%s HVM-boot-params:order=%s\n"
                  "set_vm has-vendor-device=false\n",
                  (unsigned long long)rh_xen_cpus(job),
                  (unsigned long long)rh_xen_cpus(job),
                  rh_xen_is_uefi(job) ? "uefi" : "bios", order);
    json_object_foreach (flags, key, value) {
        rh_buf_printf(b, "set_vm platform:%s=", key);
        rh_shell_quote(b, json_string_value(value));
        rh_buf_putc(b, '\n');
    }
    json_decref(flags);
    return 0;
}

/* No import fails for one. */
static void add_tags(struct rh_buf *b, const struct rh_target_job *job)
{
    const char *at = NULL;
    char *tag;

    while ((tag = rh_target_tag(job, &at))) {
        RH_AUTO(rh_freep) char *printable = rh_printable(tag);

        rh_buf_puts(b, "xe vm-param-add uuid=\"$uuid\" param-name=tags "
                       "param-key=");
        rh_shell_quote(b, printable);
        rh_buf_puts(b, " ||\n    printf 'import.sh: a tag was not set\\n' "
                       ">&2\n");
        free(tag);
    }
}

static int add_vm(struct rh_buf *b, const struct rh_target_job *job,
                  rh_error **err)
{
    RH_AUTO(rh_freep) char *about = rh_xen_description(job);
    uint64_t m = rh_xen_memory(job);

    rh_buf_puts(b, "uuid=$(xe vm-install template-name-label='Other install "
                   "media' new-name-label=\"$name\" sr-uuid=\"$sr\")\n");
    rh_buf_printf(b,
                  "xe vm-memory-limits-set uuid=\"$uuid\" static-min=%llu "
                  "dynamic-min=%llu dynamic-max=%llu static-max=%llu\n",
                  (unsigned long long)m, (unsigned long long)m,
                  (unsigned long long)m, (unsigned long long)m);
    if (add_settings(b, job, err) < 0)
        return -1;
    rh_buf_puts(b, "set_vm name-description=");
    rh_shell_quote(b, about);
    rh_buf_puts(b, "\nset_vm other-config:base_template_name=");
    rh_shell_quote(b, rh_xen_template(job));
    rh_buf_putc(b, '\n');
    add_tags(b, job);
    return 0;
}

static void add_disks(struct rh_buf *b, const struct rh_target_job *job)
{
    for (size_t i = 0; i < job->disk_count; i++) {
        rh_buf_puts(b, "add_disk ");
        rh_shell_quote(b, job->disks[i].file);
        rh_buf_printf(b, " %llu %u %s\n",
                      (unsigned long long)job->disks[i].virtual_size,
                      rh_xen_position(i), i ? "false" : "true");
    }
    rh_buf_printf(b,
                  "xe vbd-create vm-uuid=\"$uuid\" device=%d type=CD mode=RO "
                  "bootable=false >/dev/null\n",
                  XEN_CD_POSITION);
}

static void add_nics(struct rh_buf *b, const struct rh_target_job *job)
{
    for (size_t i = 0; i < job->vm->nics.count; i++) {
        const struct rh_value *on = &job->vm->nics.items[i].connected;
        RH_AUTO(rh_freep) char *network = rh_xen_network(job, i, NULL);
        char mac[18];

        rh_vm_nic_mac(job->vm, i, mac);
        add_find_network(b, job, i);
        rh_buf_printf(b, "add_nic %zu %s ", i, mac);
        rh_shell_quote(b, network);
        if (on->kind == RH_VALUE_BOOL && !on->boolean)
            rh_buf_puts(b, " disabled");
        rh_buf_putc(b, '\n');
    }
}

char *rh_xen_import_disks(const struct rh_target_job *job, rh_error **err)
{
    const char *format = job->options->format;
    bool qcow2 = !strcmp(format, "qcow2");
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    add_head(&b, job,
             "Makes the VM of this folder on an XCP-ng pool and imports its "
             "disks: xe-import.sh --help");
    rh_buf_puts(&b, "find_sr\n");
    for (size_t i = 0; i < job->vm->nics.count; i++)
        add_find_network(&b, job, i);
    rh_buf_puts(&b, undo);
    rh_buf_printf(&b, add_disk, qcow2 ? " sm-config:image-format=qcow2" : "",
                  format);
    if (add_vm(&b, job, err) < 0)
        return NULL;
    add_disks(&b, job);
    add_nics(&b, job);
    add_tail(&b, job);
    return rh_buf_take(&b);
}

/* --- words ---------------------------------------------------------------- */
char *rh_xen_import_words(const struct rh_target_job *job)
{
    struct rh_buf b = {0};

    if (rh_xen_is_xva(job))
        rh_buf_printf(
            &b,
            _("With Xen Orchestra's web page\n"
              "  1. Import > VM. Choose the pool and the storage repository.\n"
              "  2. Drop %s.xva on the page, then \"Import\".\n"
              "  3. Open the VM, tab \"Network\": the page gives new MAC "
              "addresses; set the\n"
              "     old ones (below) if the network or a licence depends on "
              "them, and check\n"
              "     that no NIC is on a network that the import made new.\n"
              "  4. Start it.\n"),
            job->name);
    else
        rh_buf_puts(
            &b, _("With Xen Orchestra's web page\n"
                  "  1. Import > Disk: choose the storage repository and drop "
                  "the disk files.\n"
                  "  2. New > VM, template \"Other install media\", with the "
                  "CPUs, memory and firmware\n"
                  "     of vm.json and no disk of its own; add the NICs "
                  "(below).\n"
                  "  3. Tab \"Disks\": attach the disks in their order, the "
                  "first at position 0.\n"
                  "  4. Start it.\n"));
    rh_buf_puts(&b, _("\nWith the command line: import.sh --help\n\nNICs\n"));
    for (size_t i = 0; i < job->vm->nics.count; i++) {
        RH_AUTO(rh_freep) char *network = rh_xen_network(job, i, NULL);
        char mac[18];

        rh_vm_nic_mac(job->vm, i, mac);
        rh_buf_printf(&b, "  %zu  %s  %s\n", i, mac, network);
    }
    return rh_buf_take(&b);
}
