/* broker_calls.c - a process that has given up its rights (rh_lib_split), taken
 * over by an attacker: it sends the other one what rehost never sends.
 *
 * usage: broker_calls STORAGE WHAT */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rehost/rehost.h>

#define NOTE                 \
    "rehost receipt sha256:" \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int find_socket(void)
{
    struct stat st;

    for (int fd = 3; fd < 256; fd++)
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
            return fd;
    return -1;
}

/* `words` ends with NULL; `fds` (0 to 2 of them) go along. */
static void call(int socket, const char *const *words, const int *fds, size_t n)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    char text[65536], answer[65536];
    struct iovec piece = {text, 0};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t got;

    for (size_t i = 0; words[i]; i++) {
        memcpy(text + piece.iov_len, words[i], strlen(words[i]) + 1);
        piece.iov_len += strlen(words[i]) + 1;
    }
    if (n) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
    }
    got = sendmsg(socket, &m, MSG_NOSIGNAL) < 0
              ? -1
              : recv(socket, answer, sizeof answer - 1, 0);
    if (got > 2) {
        answer[got - 1] = '\0';
        printf("%s: %s\n", words[1], answer + strlen(answer) + 1);
    } else {
        printf("%s: gone\n", words[1]);
    }
}

#define CALL(s, ...) \
    call(s, (const char *const[]){"1", __VA_ARGS__, NULL}, NULL, 0)

/* Volumes of other jobs and guests, and numbers that are none. */
static void attack_staged(int s)
{
    static const char mark[] = "rehost warm 0123456789abcdef";

    CALL(s, "stage-make", "0", "1048576");
    CALL(s, "stage-open", "rehost warm ../../etc/passwd", "");
    CALL(s, "stage-open", "rehost warm 0123456789ABCDEF", "");
    CALL(s, "begin", "web01", "", mark);
    CALL(s, "stage-open", mark, "100 --force");
    printf("then\n");
    CALL(s, "stage-open", mark, "");
    printf("then\n");
    CALL(s, "stage-make", "64", "1048576");
    CALL(s, "stage-make", "-1", "1048576");
    CALL(s, "stage-make", "0", "0");
    CALL(s, "stage-use", "tank:vm-105-disk-0-0a1b2c3d", "1048576");
    CALL(s, "begin", "web01", "101", mark);
    CALL(s, "stage-drop", "rehost warm 0123456789abcdee");
    CALL(s, "stage-drop", mark);
}

static void attack(int s, const char *what)
{
    if (!strcmp(what, "terminal")) {
        printf("typed: %s\n", ioctl(0, TIOCSTI, "x") == 0 ? "yes" : "no");
        return;
    }
    if (!strcmp(what, "fds")) { /* our own end with it: it is never closed */
        call(s, (const char *const[]){"1", "look", "", NULL},
             (const int[]){s, s}, 2);
        return;
    }
    if (!strcmp(what, "staged")) {
        attack_staged(s);
        return;
    }
    CALL(s, "begin", "web01", "", "");
    CALL(s, "alloc", "1048576");
    if (!strcmp(what, "switch"))
        CALL(s, "create", NOTE, "onboot", "--args=-device vfio-pci",
             "description", NOTE);
    else
        CALL(s, "create", NOTE, "description", NOTE);
    CALL(s, "keep");
    CALL(s, "start");
}

int main(int argc, char **argv)
{
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    rh_options *o = rh_options_new();
    int status = 2;

    if (argc == 3 && lib && rh_options_add(o, "out", argv[1], &e) == 0)
        switch (rh_lib_split(lib, o, &status, &e)) {
        case 0:
            attack(find_socket(), argv[2]);
            fflush(stdout);
            _exit(0);
        case 1:
            printf("ended: %d\n", status);
            break;
        default:
            fprintf(stderr, "%s\n", rh_error_message(e));
        }
    rh_error_free(e);
    rh_options_free(o);
    rh_lib_free(lib);
    return status;
}
