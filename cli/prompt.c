/* prompt.c - a user's or a password's prompt, on the terminal alone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"

enum { ANSWER = 4096 };

/* Up to a line's end; NULL when nothing came. */
static char *read_line(int fd)
{
    char *text = calloc(1, ANSWER);
    size_t n = 0;

    while (text && n + 1 < ANSWER) {
        ssize_t got = read(fd, text + n, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || text[n] == '\n')
            break;
        n++;
    }
    if (!text)
        return NULL;
    text[n] = '\0';
    return text;
}

static char *ask(void *user, const char *question, int hidden)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios old, silent;
    char *answer;

    (void)user;
    if (fd < 0)
        return NULL;
    prctl(PR_SET_DUMPABLE, 0);
    cli_progress_end();
    if (tcgetattr(fd, &old) < 0) {
        close(fd);
        return NULL;
    }
    silent = old;
    if (hidden)
        silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &silent);
    dprintf(fd, "%s", question);
    answer = read_line(fd);
    if (hidden)
        dprintf(fd, "\n");
    tcsetattr(fd, TCSAFLUSH, &old);
    close(fd);
    return answer;
}

/* A process that holds passwords leaves no core dump. */
void cli_may_ask(struct cli *cli)
{
    prctl(PR_SET_DUMPABLE, 0);
    cli_may_ask_key(cli);
}

void cli_may_ask_key(struct cli *cli)
{
    rh_lib_on_ask(cli->lib, ask, NULL);
}
