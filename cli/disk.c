/* disk.c - rehost disk info|map|check|convert|compare. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option input_options[] = {
    {"format", 'f', "FORMAT",
     N_("take the input as this format (else by its "
        "content; plain bytes need raw)"),
     TO_COMMAND},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* What a command does with its disk: an exit status, or -1 and why. */
typedef int disk_work(struct cli *cli, rh_disk *disk, rh_error **err);

/* Open the first of `words` files, as `format_option` says; work; close. */
static int run_on(struct cli *cli, size_t words, const char *format_option,
                  disk_work *work)
{
    rh_error *e = NULL;
    rh_disk *disk;
    int status;

    if (cli->word_count != words)
        return cli_usage(cli, words == 1 ? _("one file is needed")
                                         : _("two files are needed"));
    disk = rh_disk_open(cli->lib, cli->words[0], cli_given(cli, format_option),
                        &e);
    status = disk ? work(cli, disk, &e) : -1;
    rh_disk_free(disk);
    return status < 0 ? cli_fail(cli, e) : status;
}

/* --- info
 * ------------------------------------------------------------------------ */

/* The JSON is ours and flat: picking values out of it by key keeps the text
 * and the JSON the same without a JSON library here. */
static void print_value(const char *json, const char *key, const char *label)
{
    char pattern[64];
    const char *at, *end;

    snprintf(pattern, sizeof pattern, "\"%s\": ", key);
    at = strstr(json, pattern);
    if (!at)
        return;
    at += strlen(pattern);
    end = at + strcspn(at, ",\n");
    if (!strncmp(at, "null", 4))
        return;
    if (*at == '"') {
        at++;
        end--;
    }
    printf("%-18s %.*s\n", label, (int)(end - at), at);
}

static void print_problems(const rh_disk *disk)
{
    const char *text, *id;

    for (size_t i = 0; (text = rh_disk_problem(disk, i, &id)); i++)
        printf(_("problem:           %s [%s]\n"), text, id);
}

static int info(struct cli *cli, rh_disk *disk, rh_error **err)
{
    char *text = rh_disk_json(disk, err);

    if (!text)
        return -1;
    if (cli->json)
        return cli_print(cli, text, NULL);
    print_value(text, "format", _("format:"));
    print_value(text, "variant", _("variant:"));
    print_value(text, "virtual_size", _("virtual size:"));
    print_value(text, "file_size", _("file size:"));
    print_value(text, "allocated_bytes", _("allocated:"));
    print_value(text, "cluster_size", _("cluster size:"));
    print_value(text, "backing_file", _("backing file:"));
    print_problems(disk);
    free(text);
    return 0;
}

static int run_info(struct cli *cli)
{
    return run_on(cli, 1, "format", info);
}

const struct cli_command cli_disk_info = {
    "info",
    "FILE [--json]",
    N_("format, variant, sizes, problems of a disk"),
    "  rehost disk info web01-disk1.vmdk\n"
    "  rehost disk info --json disk.qcow2\n",
    input_options,
    run_info};

/* --- map
 * ----------------------------------------------------------------------------
 */

struct mapping {
    bool json;
    bool some;
};

static int print_extent(void *user, uint64_t offset, uint64_t length, int kind)
{
    struct mapping *m = user;
    bool data = kind == RH_EXTENT_IS_DATA;

    if (m->json)
        printf("%s{\"start\": %" PRIu64 ", \"length\": %" PRIu64
               ", \"data\": %s, \"zero\": %s}",
               m->some ? ",\n " : "[", offset, length, data ? "true" : "false",
               data ? "false" : "true");
    else
        printf("%16" PRIu64 " %16" PRIu64 " %s\n", offset, length,
               data                        ? _("data")
               : kind == RH_EXTENT_IS_ZERO ? _("zero")
                                           : _("hole"));
    m->some = true;
    return 0;
}

/* data and zero alone tell a JSON reader: runs that differ only in being a hole
 * or a stored zero are joined. */
struct joining {
    struct mapping mapping;
    uint64_t offset, length;
    int kind;
};

static int join_extent(void *user, uint64_t offset, uint64_t length, int kind)
{
    struct joining *j = user;

    if (kind == RH_EXTENT_IS_HOLE)
        kind = RH_EXTENT_IS_ZERO;
    if (j->length && j->kind == kind) {
        j->length += length;
        return 0;
    }
    if (j->length)
        print_extent(&j->mapping, j->offset, j->length, j->kind);
    j->offset = offset;
    j->length = length;
    j->kind = kind;
    return 0;
}

static int map(struct cli *cli, rh_disk *disk, rh_error **err)
{
    struct joining j = {.mapping = {.json = cli->json}};
    int failed;

    if (!cli->json) {
        printf("%16s %16s\n", _("start"), _("length"));
        return rh_disk_map(disk, print_extent, &j.mapping, err);
    }
    failed = rh_disk_map(disk, join_extent, &j, err);
    if (!failed && j.length)
        print_extent(&j.mapping, j.offset, j.length, j.kind);
    if (!failed)
        puts("]");
    return failed;
}

static int run_map(struct cli *cli)
{
    return run_on(cli, 1, "format", map);
}

const struct cli_command cli_disk_map = {"map",
                                         "FILE [--json]",
                                         N_("which parts of a disk hold data"),
                                         "  rehost disk map web01-disk1.vmdk\n",
                                         input_options,
                                         run_map};

/* --- check
 * --------------------------------------------------------------------------------
 */

static int check(struct cli *cli, rh_disk *disk, rh_error **err)
{
    size_t count = 0;

    if (rh_disk_check(disk, err) < 0)
        return -1;
    if (cli->json) {
        char *text = rh_disk_json(disk, err);

        return text ? cli_print(cli, text, NULL) : -1;
    }
    print_problems(disk);
    while (rh_disk_problem(disk, count, NULL))
        count++;
    if (count)
        printf(dngettext("rehost", "sound, with %zu problem\n",
                         "sound, with %zu problems\n", count),
               count);
    else
        puts(_("sound"));
    return 0;
}

static int run_check(struct cli *cli)
{
    return run_on(cli, 1, "format", check);
}

const struct cli_command cli_disk_check = {
    "check",
    "FILE [--json]",
    N_("read every table and every grain of a disk, and say what is wrong"),
    "  rehost disk check web01-disk1.vmdk\n",
    input_options,
    run_check};

/* --- convert
 * ----------------------------------------------------------------------------------
 */

static const struct cli_option convert_options[] = {
    {"input-format", 'f', "FORMAT",
     N_("take the input as this format (else by its content)"), TO_COMMAND},
    {"format", 'O', "qcow2|raw|vhd|vhd-fixed",
     N_("the output's form (else by the file's ending, else qcow2)"),
     TO_OPTIONS},
    {"compress", 0, "none|zlib|zstd|keep",
     N_("compress clusters of a qcow2; keep: carry VMDK's deflate over"),
     TO_OPTIONS},
    {"size", 0, "SIZE", N_("make the disk longer: zeros behind its end"),
     TO_OPTIONS},
    {"align", 0, "SIZE",
     N_("round its length up to a multiple of SIZE (Azure: 1MiB)"), TO_OPTIONS},
    {"sector-size", 0, "512",
     N_("rewrite the partition table of a disk with sectors of 4096 bytes"),
     TO_OPTIONS},
    {"skip-free", 0, NULL,
     N_("leave out blocks that its file systems do not use: zeros instead"),
     TO_OPTIONS},
    {"strict", 0, NULL,
     N_("refuse a disk of which a problem is known (else each is a warning)"),
     TO_OPTIONS},
    {"cluster-size", 0, "SIZE", N_("of a qcow2, 4 KiB to 2 MiB"), TO_OPTIONS},
    {"overwrite", 0, NULL, N_("replace OUT when it is there"), TO_OPTIONS},
    {"tls-ca", 0, "FILE",
     N_("OUT is nbds://: the CA that signed its server's certificate"),
     TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static void print_result(const struct cli *cli, const rh_disk *disk)
{
    const char *text, *id;

    fputs("{\"schema\": \"rehost.disk-convert/1\", \"source\": ", stdout);
    cli_json_string(stdout, cli->words[0]);
    fputs(", \"output\": ", stdout);
    cli_json_string(stdout, cli->words[1]);
    printf(", \"source_size\": %" PRIu64 ", \"problems\": [",
           rh_disk_size(disk));
    for (size_t i = 0; (text = rh_disk_problem(disk, i, &id)); i++) {
        printf("%s{\"id\": \"%s\", \"message\": ", i ? ", " : "", id);
        cli_json_string(stdout, text);
        putchar('}');
    }
    puts("]}");
}

static int convert(struct cli *cli, rh_disk *disk, rh_error **err)
{
    if (rh_disk_convert(disk, cli->words[1], cli->options, err) < 0)
        return -1;
    if (cli->json)
        print_result(cli, disk);
    return 0;
}

static int run_convert(struct cli *cli)
{
    if (cli->json && cli->word_count == 2 && !strcmp(cli->words[1], "-"))
        return cli_usage(cli, _("the disk and --json cannot both go to "
                                "standard output"));
    return run_on(cli, 2, "input-format", convert);
}

const struct cli_command cli_disk_convert = {
    "convert",
    "IN OUT [-O FORMAT] [--json]",
    N_("write a disk in another form (IN may be an address or, as OUT, - for a "
       "pipe or an NBD server's export)"),
    "  rehost disk convert web01-disk1.vmdk web01.qcow2\n"
    "  rehost disk convert web01.vmdk azure.vhd -O vhd-fixed --align 1MiB\n"
    "  rehost disk convert -O raw disk.vhd - | ssh host 'dd of=/dev/vg/web01'\n"
    "  curl -s https://files.example/disk.vmdk | rehost disk convert - d.qcow2\n"
    "  rehost disk convert nbd://esx-proxy/web01 web01.qcow2\n"
    "  rehost disk convert web01.vmdk nbd+unix:///?socket=/run/lv.sock\n",
    convert_options,
    run_convert};

/* --- compare
 * ---------------------------------------------------------------------------------------
 */

/* What one has beyond the other's end is zeros, or they would differ. */
static void say_sizes(const char *const *names, const uint64_t *sizes)
{
    int longer = sizes[1] > sizes[0];

    if (sizes[0] != sizes[1])
        fprintf(stderr,
                _("rehost: the sizes differ: %s is longer by %" PRIu64
                  " bytes of zeros\n"),
                names[longer], sizes[longer] - sizes[!longer]);
}

static int print_comparison(struct cli *cli, int same, uint64_t offset,
                            const uint64_t *sizes)
{
    if (same && !cli->json)
        say_sizes(cli->words, sizes);
    if (cli->json && same)
        printf("{\"identical\": true, \"sizes\": [%" PRIu64 ", %" PRIu64 "]}\n",
               sizes[0], sizes[1]);
    else if (cli->json)
        printf("{\"identical\": false, \"offset\": %" PRIu64
               ", \"sizes\": [%" PRIu64 ", %" PRIu64 "]}\n",
               offset, sizes[0], sizes[1]);
    else if (same)
        puts("identical");
    else
        printf(_("first difference at byte %" PRIu64 "\n"), offset);
    return same ? 0 : 1;
}

static int compare(struct cli *cli, rh_disk *a, rh_error **err)
{
    rh_disk *b = rh_disk_open(cli->lib, cli->words[1],
                              cli_given(cli, "other-format"), err);
    uint64_t offset = 0;
    int same = 0, status = -1;

    if (b && rh_disk_compare(a, b, &same, &offset, err) == 0) {
        uint64_t sizes[2] = {rh_disk_size(a), rh_disk_size(b)};

        status = print_comparison(cli, same, offset, sizes);
    }
    rh_disk_free(b);
    return status;
}

static int run_compare(struct cli *cli)
{
    return run_on(cli, 2, "format", compare);
}

static const struct cli_option compare_options[] = {
    {"format", 'f', "FORMAT", N_("take A as this format"), TO_COMMAND},
    {"other-format", 'F', "FORMAT", N_("take B as this format"), TO_COMMAND},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

const struct cli_command cli_disk_compare = {
    "compare",
    "A B",
    N_("are two disks alike, whatever their formats?"),
    "  rehost disk compare web01-disk1.vmdk disk0.qcow2\n",
    compare_options,
    run_compare};
