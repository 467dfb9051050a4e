/* volumes.c - tables, signatures and the order of disks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/diskfacts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/limits.h"

enum { SIZE = 4 * 1024 * 1024 };
static uint8_t disk[SIZE];
static struct rh_lib lib = {
    .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};

static struct rh_disk_facts look(void)
{
    struct rh_open_options o = {.lib = &lib};
    struct rh_io *io = rh_io_memory(disk, sizeof disk, "disk");
    struct rh_reader *r = rh_reader_open(io, "raw", &o, NULL);
    struct rh_disk_facts f;

    rh_io_unref(io);
    assert_non_null(r);
    assert_int_equal(rh_disk_look(r, &f, NULL), 0);
    rh_reader_close(r);
    return f;
}

static void mbr_entry(unsigned i, uint8_t type, uint32_t first, uint32_t count)
{
    uint8_t *e = disk + 446 + 16 * i;

    e[4] = type;
    rh_put_le32(e + 8, first);
    rh_put_le32(e + 12, count);
    disk[510] = 0x55;
    disk[511] = 0xaa;
}

static void gpt(size_t sector, const uint8_t type[16], uint64_t first,
                uint64_t last)
{
    uint8_t *head = disk + sector, *e = disk + 2 * sector;

    memcpy(head, "EFI PART", 8);
    rh_put_le64(head + 72, 2);
    rh_put_le32(head + 80, 4);
    rh_put_le32(head + 84, 128);
    memcpy(e, type, 16);
    e[16] = 1;
    rh_put_le64(e + 32, first);
    rh_put_le64(e + 40, last);
}

static const uint8_t spaces[16] = {0x8f, 0xaf, 0x5c, 0xe7, 0x80, 0xf6,
                                   0xee, 0x4c, 0xaf, 0xa3, 0xb0, 0x01,
                                   0xe5, 0x6e, 0xfc, 0x2d};

static const struct {
    size_t offset;
    const char *magic;
    size_t size;
    const char *content;
} signatures[] = {
    {0, "LUKS\xba\xbe\0\2", 8, "crypto_LUKS"},
    {3, "-FVE-FS-", 8, "BitLocker"},
    {3, "ReFS\0\0\0\0", 8, "ReFS"},
    {0, "XFSB", 4, "xfs"},
    {0x10040, "_BHRfS_M", 8, "btrfs"},
    {512, "LABELONE", 8, "LVM2_member"},
    {512, "!Stra0tis\x86\xff\x02^\x41rh", 16, "stratis"},
    {0, "dmvdo001", 8, "vdo"},
    {65536 + 1372, "\x19\x01\x54\x19", 4, "ufs"},
    {4086, "SWAPSPACE2", 10, "swap"},
};

static void contents_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < RH_COUNT(signatures); i++) {
        struct rh_disk_facts f;

        memset(disk, 0, sizeof disk);
        mbr_entry(0, 0x83, 2048, 4096);
        memcpy(disk + 2048 * 512 + signatures[i].offset, signatures[i].magic,
               signatures[i].size);
        f = look();
        assert_int_equal(f.partitions, 1);
        assert_non_null(f.partition[0].content);
        assert_string_equal(f.partition[0].content, signatures[i].content);
    }
}

static void what_shows_nothing_is_told_by_its_type(void **state)
{
    struct rh_disk_facts f;

    (void)state;
    memset(disk, 0, sizeof disk);
    mbr_entry(0, 0x42, 2048, 4096);
    f = look();
    assert_string_equal(f.partition[0].content, "LDM");
    memset(disk, 0, sizeof disk);
    mbr_entry(0, 0xee, 1, 8191);
    gpt(512, spaces, 64, 127);
    f = look();
    assert_int_equal(f.table, RH_TABLE_GPT);
    assert_string_equal(f.partition[0].content, "storage_spaces");
}

static void sectors_of_4096_bytes(void **state)
{
    struct rh_disk_facts f;

    (void)state;
    memset(disk, 0, sizeof disk);
    mbr_entry(0, 0xee, 1, 1023);
    gpt(4096, spaces, 64, 127);
    memcpy(disk + 64 * 4096, "XFSB", 4);
    f = look();
    assert_int_equal(f.table, RH_TABLE_GPT);
    assert_string_equal(f.partition[0].content, "xfs");
}

/* A file system over the whole disk leaves an older GPT behind its start. */
static void a_table_of_an_earlier_use_is_none(void **state)
{
    struct rh_disk_facts f;

    (void)state;
    memset(disk, 0, sizeof disk);
    gpt(512, spaces, 64, 127);
    memcpy(disk, "XFSB", 4);
    f = look();
    assert_int_equal(f.table, RH_TABLE_NONE);
    assert_string_equal(f.partition[0].content, "xfs");
}

static void a_partition_ends_with_the_disk(void **state)
{
    struct rh_reader *r;
    struct rh_open_options o = {.lib = &lib};
    struct rh_io *io;
    struct rh_disks *d;
    struct rh_volumes v = {0};

    (void)state;
    memset(disk, 0, sizeof disk);
    mbr_entry(0, 0x83, 2048, UINT32_MAX);
    mbr_entry(1, 0x83, 8192, 10); /* begins where the disk ends */
    io = rh_io_memory(disk, sizeof disk, "disk");
    r = rh_reader_open(io, "raw", &o, NULL);
    rh_io_unref(io);
    d = rh_disks_new(&r, 1, &lib);
    assert_int_equal(rh_volumes_find(d, NULL, &v, NULL), 0);
    assert_int_equal(v.all.count, 1);
    assert_int_equal(rh_volume_bytes(&v.all.items[0]), SIZE - 2048 * 512);
    rh_volumes_free(&v);
    rh_disks_free(d);
    rh_reader_close(r);
}

/* --- the order of disks -----------------------------------------------------
 */
static void add_disk(struct rh_vm *vm, const char *controller, int bus,
                     int unit)
{
    struct rh_disk_config *d = rh_vec_add(&vm->disks);

    rh_set_text(vm, &d->controller, controller, RH_FROM_OVF, NULL);
    rh_set_number(vm, &d->bus, (uint64_t)bus, RH_FROM_OVF, NULL);
    if (unit >= 0)
        rh_set_number(vm, &d->unit, (uint64_t)unit, RH_FROM_OVF, NULL);
}

static void names_follow_the_slots(void **state)
{
    struct rh_vm *vm = rh_vm_new("vm");
    struct rh_arena *a = rh_arena_new();
    struct rh_disk_name names[6];
    size_t order[6];

    (void)state;
    add_disk(vm, "pvscsi", 1, 0);
    add_disk(vm, "nvme", 1, 0);
    add_disk(vm, "pvscsi", 0, 3);
    add_disk(vm, "nvme", 0, 1);
    add_disk(vm, "nvme", 0, 0);
    add_disk(vm, "pvscsi", 0, 0);
    rh_disk_names(vm, 6, a, names);
    assert_string_equal(names[5].device, "/dev/sda");
    assert_string_equal(names[2].device, "/dev/sdb");
    assert_string_equal(names[0].device, "/dev/sdc");
    assert_string_equal(names[4].device, "/dev/nvme0n1");
    assert_string_equal(names[3].device, "/dev/nvme0n2");
    assert_string_equal(names[1].device, "/dev/nvme1n1");
    assert_false(names[0].guessed || names[1].guessed);
    rh_disk_order(vm, 6, order);
    assert_int_equal(order[0], 5);
    assert_int_equal(order[2], 0);
    rh_arena_free(a);
    rh_vm_free(vm);
}

static bool second_is_guessed(const char *one, int unit, const char *two,
                              int other)
{
    struct rh_vm *vm = rh_vm_new("vm");
    struct rh_arena *a = rh_arena_new();
    struct rh_disk_name names[2];
    bool guessed;

    add_disk(vm, one, 0, unit);
    add_disk(vm, two, 0, other);
    rh_disk_names(vm, 2, a, names);
    guessed = names[1].guessed;
    rh_arena_free(a);
    rh_vm_free(vm);
    return guessed;
}

static void an_order_that_nothing_settles_is_a_guess(void **state)
{
    (void)state;
    assert_false(second_is_guessed("pvscsi", 0, "pvscsi", 1));
    assert_true(second_is_guessed("pvscsi", 0, "pvscsi", 0));
    assert_true(second_is_guessed("pvscsi", 0, "pvscsi", -1));
    assert_true(second_is_guessed("pvscsi", 0, "sata", 1));
    assert_false(second_is_guessed("pvscsi", 0, "nvme", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_are_named),
        cmocka_unit_test(what_shows_nothing_is_told_by_its_type),
        cmocka_unit_test(sectors_of_4096_bytes),
        cmocka_unit_test(a_table_of_an_earlier_use_is_none),
        cmocka_unit_test(a_partition_ends_with_the_disk),
        cmocka_unit_test(names_follow_the_slots),
        cmocka_unit_test(an_order_that_nothing_settles_is_a_guess),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
