/* lease.c - leases: one holder, whoever it is, and the dead give way. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/lease.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/out.h"

static char folder[] = "/tmp/rehost-lease.XXXXXX";
static int dir = -1;

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    close(dir);
    return rmdir(folder); /* fails when something was left in it */
}

static int take(struct rh_lease **ret, char **ret_holder)
{
    return rh_lease_take(dir, "lease", 60, ret, ret_holder, NULL);
}

/* A lease as another machine would write it, touched `age` seconds ago. */
static void plant(const char *text, long age)
{
    int fd = openat(dir, "lease", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    struct timespec times[2] = {{0, UTIME_OMIT}, {time(NULL) - age, 0}};

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static const char foreign[] =
    "{\"schema\":\"rehost.lease/1\",\"token\":\"0123\",\"host\":\"other\","
    "\"machine\":\"m\",\"boot\":\"b\",\"pidns\":\"pid:[1]\",\"pid\":1,"
    "\"start\":\"5\"}";

static void one_holder_until_it_is_given_back(void **state)
{
    struct rh_lease *a = NULL, *b = NULL;
    char *holder = NULL;

    (void)state;
    assert_int_equal(take(&a, NULL), 1);
    assert_false(rh_lease_lost(a));
    assert_int_equal(take(&b, &holder), 0);
    assert_null(b);
    assert_non_null(strstr(holder, "pid "));
    free(holder);
    assert_true(rh_lease_held(dir, "lease", 60, NULL));
    rh_lease_release(a);
    assert_false(rh_lease_held(dir, "lease", 60, NULL));
    assert_int_equal(take(&b, NULL), 1);
    rh_lease_release(b);
}

static void a_killed_holder_gives_way_at_once(void **state)
{
    struct rh_lease *l = NULL;
    int ready[2], status;
    char byte;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        if (take(&l, NULL) == 1 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_int_equal(take(&l, NULL), 0);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_int_equal(take(&l, NULL), 1);
    rh_lease_release(l);
}

static void another_machine_is_dead_when_it_is_silent(void **state)
{
    struct rh_lease *l = NULL;
    char *holder = NULL;

    (void)state;
    plant(foreign, 30);
    assert_int_equal(take(&l, &holder), 0);
    assert_string_equal(holder, "pid 1 on other");
    free(holder);
    plant(foreign, 90);
    assert_int_equal(take(&l, NULL), 1);
    rh_lease_release(l);
}

/* A file cut short by a power failure names nobody: its age counts. */
static void a_torn_lease_ages_too(void **state)
{
    struct rh_lease *l = NULL;

    (void)state;
    plant("{\"schema\":\"reh", 30);
    assert_int_equal(take(&l, NULL), 0);
    plant("", 90);
    assert_int_equal(take(&l, NULL), 1);
    rh_lease_release(l);
}

static void a_holder_learns_that_it_lost(void **state)
{
    struct rh_lease *l = NULL;

    (void)state;
    assert_int_equal(rh_lease_take(dir, "lease", 1, &l, NULL, NULL), 1);
    plant(foreign, 0);
    for (int i = 0; i < 40 && !rh_lease_lost(l); i++)
        usleep(100000);
    assert_true(rh_lease_lost(l));
    rh_lease_release(l);
    assert_true(rh_lease_held(dir, "lease", 60, NULL)); /* the other's stays */
    assert_int_equal(unlinkat(dir, "lease", 0), 0);
}

/* Many see the same dead lease at once: one takes it. */
/* Not only at the next touch. */
static void a_holder_who_asks_learns_it_at_once(void **state)
{
    struct rh_lease *l = NULL;

    (void)state;
    assert_int_equal(take(&l, NULL), 1);
    assert_true(rh_lease_still(l));
    plant(foreign, 0);
    assert_false(rh_lease_still(l));
    rh_lease_release(l);
    assert_int_equal(unlinkat(dir, "lease", 0), 0);
}

/* The name of the only entry of `out` that ends so; the caller frees. */
static char *entry_that_ends(const char *out, const char *ending)
{
    DIR *d = opendir(out);
    struct dirent *entry;
    char *found = NULL;

    assert_non_null(d);
    while ((entry = readdir(d))) {
        size_t n = strlen(entry->d_name), m = strlen(ending);

        if (n > m && !strcmp(entry->d_name + n - m, ending)) {
            free(found);
            found = strdup(entry->d_name);
        }
    }
    closedir(d);
    return found;
}

/* Another took the lease over a moment before the result gets its name. */
static void of_two_owners_one_gives_the_name(void **state)
{
    RH_AUTO(rh_freep) char *out = rh_printf("%s/out", folder);
    RH_AUTO(rh_freep) char *path = NULL;
    RH_AUTO(rh_freep) char *lease = NULL;
    RH_AUTO(rh_error_freep) rh_error *e = NULL;
    struct rh_outdir *first = rh_outdir_new(out, "vm", false, NULL);
    struct rh_outdir *second;
    FILE *f;

    (void)state;
    assert_non_null(first);
    assert_int_equal(rh_outdir_put(first, "a", "1", 1, false, NULL), 0);
    lease = entry_that_ends(out, ".lease");
    path = rh_printf("%s/%s", out, lease);
    f = fopen(path, "w"); /* touched long ago, by another machine */
    fputs(foreign, f);
    fclose(f);
    assert_int_equal(
        utimensat(AT_FDCWD, path, (struct timespec[2]){{1, 0}, {1, 0}}, 0), 0);
    second = rh_outdir_new(out, "vm", false, NULL);
    assert_non_null(second);
    assert_int_equal(rh_outdir_put(second, "a", "2", 1, false, NULL), 0);
    assert_int_equal(rh_outdir_commit(first, &e), -1);
    assert_int_equal(rh_error_number(e), RH_ERR_RESULT_LOST);
    rh_outdir_close(first);
    assert_int_equal(rh_outdir_commit(second, NULL), 0);
    rh_outdir_close(second);
    free(path);
    path = rh_printf("%s/vm/a", out);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fgetc(f), '2');
    fclose(f);
    rh_remove_tree(dir, "out");
}

static void one_of_many_takes_over(void **state)
{
    enum { MANY = 8, ROUNDS = 8 };

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int won = 0, go[2], stay[2];

        plant(foreign, 90);
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(stay), 0);
        for (int i = 0; i < MANY; i++) {
            if (fork() == 0) {
                struct rh_lease *l = NULL;
                struct pollfd others = {.fd = stay[0]};
                char byte;

                close(go[1]);
                close(stay[1]);
                if (read(go[0], &byte, 1) != 0) /* until the parent closes */
                    _exit(9);
                if (take(&l, NULL) != 1)
                    _exit(0);
                poll(&others, 1, 10000); /* until all others have tried */
                rh_lease_release(l);
                _exit(1);
            }
        }
        close(go[0]);
        close(go[1]);
        close(stay[0]);
        for (int i = 0; i < MANY; i++) {
            int status;

            if (i == MANY - 1)
                close(stay[1]);
            assert_true(wait(&status) > 0);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
            won += WEXITSTATUS(status);
        }
        assert_int_equal(won, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_holder_until_it_is_given_back),
        cmocka_unit_test(a_killed_holder_gives_way_at_once),
        cmocka_unit_test(another_machine_is_dead_when_it_is_silent),
        cmocka_unit_test(a_torn_lease_ages_too),
        cmocka_unit_test(a_holder_learns_that_it_lost),
        cmocka_unit_test(a_holder_who_asks_learns_it_at_once),
        cmocka_unit_test(of_two_owners_one_gives_the_name),
        cmocka_unit_test(one_of_many_takes_over),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
