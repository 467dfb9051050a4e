/* network.h - what the readers of network configuration share: one file says
 * something of one or several interfaces; network.c collects it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_NETWORK_H
#define RH_GUESTFIX_LINUX_NETWORK_H

#include "guestfix/linux/linux.h"

/* What one file (or one stanza) says of an interface. */
struct rh_said {
    const char *names; /* separated by blanks or semicolons; NULL: none */
    const char *lower; /* the interfaces that a software one stands on */
    const char *mac;
    bool soft, idle;
    bool elsewhere; /* no Ethernet: Wi-Fi and the like */
    bool by_driver;
    bool narrow;   /* the address is not all that has to fit */
    uint32_t path; /* RH_PCI(...) that a match by path names, or 0 */
    struct rh_net net;
    /* An address and its mask may stand in two lines. */
    const char *address[RH_NET_MAX], *mask[RH_NET_MAX];
};

bool rh_nic_good_name(const char *name);
struct rh_nic_name *rh_nic_add(struct rh_linux *l, const char *name,
                               const char *mac, const char *where);
/* eth0.100 and eth0:1 are eth0. */
struct rh_nic_name *rh_nic_add_base(struct rh_linux *l, const char *name,
                                    const char *where);
/* Each word of a list, likewise. */
void rh_nic_add_words(struct rh_linux *l, const char *words, const char *where);
void rh_nic_add_soft(struct rh_linux *l, const char *name, const char *where,
                     const struct rh_net *net);
struct rh_mac_use *rh_nic_add_mac(struct rh_linux *l, const char *mac,
                                  const char *where);
/* Everything a file said; the last interface that it names, or NULL. */
struct rh_nic_name *rh_nic_add_said(struct rh_linux *l, struct rh_said *s,
                                    const char *where);
void rh_network_uses(struct rh_linux *l, const char *kind);

/* --- addresses
 * ------------------------------------------------------------------ */
/* Takes "192.0.2.1/24", or an address with its mask ("255.255.255.0" or "24",
 * may be NULL); what is no address is passed over. */
void rh_net_address(struct rh_linux *l, struct rh_net *net, const char *text,
                    const char *mask);
/* Every address in a list separated by blanks, commas or semicolons. */
void rh_net_gateways(struct rh_linux *l, struct rh_net *net, const char *text);
void rh_net_dns(struct rh_linux *l, struct rh_net *net, const char *text);
void rh_net_merge(struct rh_net *to, const struct rh_net *from);

/* --- lines
 * ---------------------------------------------------------------------- */
/* `key = value` below `[section]` (shell has none): blanks and quotes go. */
typedef void rh_line_fn(void *user, const char *section, const char *key,
                        char *value);
void rh_each_assignment(char *text, rh_line_fn *fn, void *user);
char *rh_trimmed(char *text, const char *also);
/* "no", "false", "off" or "0" */
bool rh_says_no(const char *value);
/* One form of a MAC address: systemd takes dashes, too. */
const char *rh_plain_mac(char *value);
/* What editors and package managers leave is read by nobody. */
bool rh_is_leftover(const char *name);
/* "pci-0000:0b:00.0" anywhere in a text, as RH_PCI(); 0: none. */
uint32_t rh_pci_in(const char *text);

/* --- the forms
 * ------------------------------------------------------------------ */
void rh_net_ifupdown(struct rh_linux *l, rh_error **err);
void rh_net_ifcfg(struct rh_linux *l, rh_error **err);
void rh_net_ini(struct rh_linux *l, rh_error **err);
void rh_net_netplan(struct rh_linux *l, rh_error **err);
void rh_net_rules(struct rh_linux *l, rh_error **err);
void rh_net_other(struct rh_linux *l, rh_error **err);

#endif
