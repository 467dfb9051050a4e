/* boot_watch.c - read a booting guest's console, its screen and its wires.
 *
 * Console and screen say how far it got; the wire says whether the network is
 * up: IPv4 or ARP frames with an address of its own, or IPv6, which an
 * interface speaks as soon as the guest has configured it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "base/limits.h"
#include "convert/boot/boot.h"

/* Seconds: the network's time after the login, between two looks at the screen,
 * until a picture counts as one that stands still, and until the serial port of
 * a guest that used it counts as quiet. */
enum { SETTLE = 20, LOOK = 2, STILL = 20, QUIET = 60, RESETS_MAX = 3 };
enum { TEXT_MAX = 1024 * 1024 };

static const struct {
    const char *text;
    size_t flag;
} marks[] = {
    {"GRUB", offsetof(struct rh_boot_seen, bootloader)},
    {"SYSLINUX", offsetof(struct rh_boot_seen, bootloader)},
    {"Linux version ", offsetof(struct rh_boot_seen, kernel)},
    {"Copyright (c) 1992-", offsetof(struct rh_boot_seen, kernel)},
    {"OpenBSD ", offsetof(struct rh_boot_seen, kernel)},
    {"systemd[1]: ", offsetof(struct rh_boot_seen, init)},
    {"INIT: version", offsetof(struct rh_boot_seen, init)},
    {"init started", offsetof(struct rh_boot_seen, init)},
    {"login: ", offsetof(struct rh_boot_seen, login)},
};

/* Texts after which a guest does not get any further by itself. */
static const struct {
    const char *text, *word;
} failures[] = {
    {"(initramfs)", "initramfs-shell"},
    {"Dropping to a shell!", "initramfs-shell"},
    {"Entering emergency mode", "emergency-mode"},
    {"You are in emergency mode", "emergency-mode"},
    {"Warning: Could not boot", "dracut-no-root"},
    {"dracut:/#", "dracut-no-root"},
    {"Press Enter for maintenance", "emergency-mode"},
    {"Cannot open access to console", "emergency-mode"},
    {"Kernel panic - not syncing", "kernel-panic"},
    {"grub rescue>", "grub-rescue"},
    {"Minimal BASH-like line editing", "grub-shell"},
    {"No bootable device", "no-boot-device"},
    {"BdsDxe: No bootable option", "no-boot-device"},
    {"UEFI Interactive Shell", "no-boot-device"},
    {">>Start PXE over IP", "no-boot-device"},
    {"Boot failed: not a bootable disk", "no-boot-device"},
    {"Operating System not found", "no-boot-device"},
    {"INACCESSIBLE_BOOT_DEVICE", "no-root"},
    {"mountroot>", "no-root"},
};

void rh_boot_marks(struct rh_boot_seen *seen, const char *text)
{
    for (size_t i = 0; i < RH_COUNT(marks); i++)
        if (strstr(text, marks[i].text))
            *(bool *)((char *)seen + marks[i].flag) = true;
    for (size_t i = 0; i < RH_COUNT(failures) && !seen->failure; i++)
        if (strstr(text, failures[i].text))
            seen->failure = failures[i].word;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void take(struct rh_boot_seen *seen, const char *bytes, size_t n)
{
    size_t from = seen->text.length;

    for (size_t i = 0; i < n && seen->text.length < TEXT_MAX; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f))
            rh_buf_putc(&seen->text, (char)c);
    }
    if (seen->text.length == from)
        return;
    seen->heard = now();
    /* A mark may be cut by two reads: look a little further back. */
    rh_buf_putc(&seen->text, '\0');
    seen->text.length--;
    rh_boot_marks(seen, seen->text.data + (from > 64 ? from - 64 : 0));
}

/* No login can be read off a picture: one that stands still, of a guest whose
 * network speaks, is as far as it goes.  But a system that reports its start on
 * the serial port (a firmware's picture may stand all the while) is waited for
 * until it has been quiet there, too. */
static bool looks_up(const struct rh_boot_seen *seen, int quiet)
{
    if ((seen->kernel || seen->init) && now() < seen->heard + quiet)
        return false;
    return seen->graphics && seen->still_since != 0 &&
           now() > seen->still_since + STILL &&
           (seen->address[0] || seen->address6[0]);
}

/* After the login prompt the network gets a little more time. */
static bool finished(struct rh_boot_qemu *q, struct rh_boot_seen *seen,
                     double *settle_until)
{
    if (seen->failure)
        return true;
    if (!seen->login && !seen->graphics)
        return false;
    rh_boot_wire(q, seen);
    if (!seen->login)
        return seen->graphical = looks_up(seen, QUIET);
    if (*settle_until == 0)
        *settle_until = now() + SETTLE;
    return seen->address[0] || now() > *settle_until;
}

/* Whatever the console has; -1: QEMU is gone. */
static int listen_to(struct rh_boot_qemu *q, struct rh_boot_seen *seen)
{
    struct pollfd p = {q->console, POLLIN, 0};
    char bytes[4096];
    ssize_t n;

    if (poll(&p, 1, 250) <= 0)
        return 0;
    n = read(q->console, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0)
        return -1;
    take(seen, bytes, (size_t)n);
    return 0;
}

static const char *gone(const struct rh_boot_qemu *q)
{
    return q->off ? "switched-off" : "qemu-ended";
}

int rh_boot_watch(rh_lib *lib, struct rh_boot_qemu *q, unsigned seconds,
                  struct rh_boot_seen *seen, rh_error **err)
{
    double start = now(), settle = 0, looked = start;

    while (!finished(q, seen, &settle)) {
        if (rh_go_on(lib, err) < 0)
            return -1;
        rh_progress(lib, "boot", (uint64_t)(now() - start), seconds);
        if (now() > start + seconds)
            break;
        if (listen_to(q, seen) < 0 || rh_boot_hear(q) < 0) {
            seen->failure = seen->failure ? seen->failure : gone(q);
            break;
        }
        if (q->stopped)
            seen->failure = "qemu-ended";
        if (q->resets >= RESETS_MAX)
            seen->failure = "reboot-loop";
        if (now() > looked + LOOK) {
            rh_boot_look(q, seen, now());
            looked = now();
        }
    }
    rh_boot_wire(q, seen);
    if (!seen->login && !seen->graphical && !seen->failure) {
        seen->graphical = looks_up(seen, STILL);
        seen->failure = seen->graphical ? NULL : "timeout";
    }
    return 0;
}

void rh_boot_seen_free(struct rh_boot_seen *seen)
{
    rh_buf_free(&seen->text);
    rh_buf_free(&seen->screen);
    free(seen->page);
    free(seen->pixels);
    memset(seen, 0, sizeof *seen);
}

/* --- the wire
 * -------------------------------------------------------------------------- */

/* Offsets within an Ethernet frame. */
enum {
    ETH_SOURCE = 6,
    ETH_TYPE = 12,
    ARP_SENDER_IP = 28,
    IP_START = 14,
    IP6_SOURCE = IP_START + 8,
    IP_CARRIES = IP_START + 9,
    IP_SOURCE = IP_START + 12,
    UDP_FROM_PORT = IP_START + 20,
    DHCP_YOURS = IP_START + 20 + 8 + 16,
};

static bool useful_address(const uint8_t *ip)
{
    /* Not 0.0.0.0, not link-local 169.254, not QEMU's own 10.0.2.2 and .3. */
    if (!ip[0] || (ip[0] == 169 && ip[1] == 254))
        return false;
    return !(ip[0] == 10 && !ip[1] && ip[2] == 2 && (ip[3] == 2 || ip[3] == 3));
}

static void note_address(struct rh_boot_seen *seen, const uint8_t *ip)
{
    if (!seen->address[0] && useful_address(ip))
        snprintf(seen->address, sizeof seen->address, "%u.%u.%u.%u", ip[0],
                 ip[1], ip[2], ip[3]);
}

/* ff02::/16 is for receivers, :: for who has none yet. */
static void note_address6(struct rh_boot_seen *seen, const uint8_t *ip)
{
    static const uint8_t none[16];

    if (!seen->address6[0] && memcmp(ip, none, sizeof none))
        inet_ntop(AF_INET6, ip, seen->address6, sizeof seen->address6);
}

static void look_at_frame(struct rh_boot_seen *seen, const uint8_t *f, size_t n)
{
    static const uint8_t host[3] = {0x52, 0x55, 0x0a}; /* QEMU's gateway */
    uint16_t type;

    if (n < IP_START + 20)
        return;
    type = rh_be16(f + ETH_TYPE);
    if (!memcmp(f + ETH_SOURCE, host, sizeof host)) {
        /* From the gateway: a DHCP answer gives the guest its address. */
        if (type == 0x0800 && f[IP_CARRIES] == 17 && n >= DHCP_YOURS + 4 &&
            rh_be16(f + UDP_FROM_PORT) == 67) {
            seen->dhcp = true;
        }
        return;
    }
    seen->frames++;
    if (type == 0x86dd && n >= IP6_SOURCE + 16)
        note_address6(seen, f + IP6_SOURCE);
    if (!seen->mac[0])
        snprintf(seen->mac, sizeof seen->mac, "%02x:%02x:%02x:%02x:%02x:%02x",
                 f[6], f[7], f[8], f[9], f[10], f[11]);
    if (type == 0x0806 && n >= ARP_SENDER_IP + 4)
        note_address(seen, f + ARP_SENDER_IP);
    else if (type == 0x0800)
        note_address(seen, f + IP_SOURCE);
}

/* A capture is QEMU's own classic pcap, in this machine's byte order. */
static void look_at_wire(const char *capture, struct rh_boot_seen *seen)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(AT_FDCWD, capture, 0, NULL);
    RH_AUTO(rh_freep) char *bytes = NULL;
    size_t n = 0, at = 24;

    if (!io || rh_io_slurp(io, 64 * RH_MIB, &bytes, &n, NULL) < 0)
        return;
    while (at + 16 <= n) {
        uint32_t length;

        memcpy(&length, bytes + at + 8, sizeof length);
        at += 16;
        if (length > n - at)
            break;
        look_at_frame(seen, (const uint8_t *)bytes + at, length);
        at += length;
    }
}

void rh_boot_wire(const struct rh_boot_qemu *q, struct rh_boot_seen *seen)
{
    seen->frames = 0;
    for (size_t i = 0; i < q->nics; i++) {
        RH_AUTO(rh_freep)
        char *capture = rh_printf("%s/net%zu.pcap", q->folder, i);

        look_at_wire(capture, seen);
    }
}
