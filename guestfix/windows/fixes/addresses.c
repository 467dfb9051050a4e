/* addresses.c - what was set on a network card goes to the card that takes its
 * place.
 *
 * For Windows the new machine's card is another one: settings stay with the
 * old, which becomes a phantom.  They are taken off it here, so that Windows
 * has nothing to complain about ("the address is already assigned"), and given
 * to the new card, by its MAC address, at the first start. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/fixes/firstboot.h"

/* --- what is asked of the first start ----------------------------------------
 */
struct card {
    struct rh_buf *steps;
    const char *mac;
    const struct rh_win_nic *n;
    bool old; /* Windows before Vista: netsh speaks otherwise */
};

static bool is_ipv6(const char *address)
{
    return strchr(address, ':') != NULL;
}

/* "10.0.0.5/24" in its two parts. */
static void split(const char *address, char ret[INET6_ADDRSTRLEN],
                  unsigned *ret_prefix)
{
    size_t n = strcspn(address, "/");

    snprintf(ret, INET6_ADDRSTRLEN, "%.*s", (int)n, address);
    *ret_prefix = address[n] ? (unsigned)strtoul(address + n + 1, NULL, 10) : 0;
}

static void mask_of(unsigned prefix, char ret[INET_ADDRSTRLEN])
{
    struct in_addr a = {.s_addr = htonl(prefix < 32 ? ~(~0U >> prefix) : ~0U)};

    inet_ntop(AF_INET, &a, ret, INET_ADDRSTRLEN);
}

/* "10.0.0.1 metric 5": " gateway=10.0.0.1 gwmetric=5", as netsh has it. */
static char *gateway_words(const char *gateway)
{
    size_t n = strcspn(gateway, " ");
    const char *metric = strstr(gateway, " metric ");

    return rh_printf(" gateway=%.*s gwmetric=%s", (int)n, gateway,
                     metric ? metric + 8 : "1");
}

/* The next gateway of IPv4 from *i on; NULL: there is no other. */
static const char *next_gateway(const struct card *c, size_t *i)
{
    while (*i < c->n->gateways.count) {
        const char *gateway = c->n->gateways.items[(*i)++];

        if (!is_ipv6(gateway))
            return gateway;
    }
    return NULL;
}

/* The first address takes the place of DHCP, with the first gateway. */
static void set_ipv4(const struct card *c)
{
    const char *family = c->old ? "ip" : "ipv4";
    const char *addr = c->old ? "addr" : "address";
    size_t count = 0, at = 0;
    const char *first = next_gateway(c, &at), *more;

    for (size_t i = 0; i < c->n->addresses.count; i++) {
        RH_AUTO(rh_freep) char *gateway = NULL;
        char address[INET6_ADDRSTRLEN], mask[INET_ADDRSTRLEN];
        unsigned prefix;

        if (is_ipv6(c->n->addresses.items[i]))
            continue;
        split(c->n->addresses.items[i], address, &prefix);
        mask_of(prefix, mask);
        if (!count && first)
            gateway = gateway_words(first);
        rh_win_step(c->steps, c->mac, RH_WIN_NEEDED,
                    count ? "netsh interface %s add address name=@NAME@ "
                            "%s%s=%s mask=%s%s"
                          : "netsh interface %s set address name=@NAME@ "
                            "%s%s=%s mask=%s%s",
                    family, count ? "" : "source=static ", addr, address, mask,
                    gateway ? gateway : "");
        count++;
    }
    while (count && (more = next_gateway(c, &at)) != NULL) {
        RH_AUTO(rh_freep) char *gateway = gateway_words(more);

        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "netsh interface %s add address name=@NAME@%s", family,
                    gateway);
    }
}

/* "PREFIX HOP" or "PREFIX HOP metric N", anew where it is there already. */
static void set_route(const struct card *c, const char *prefix, size_t n,
                      const char *hop, enum rh_win_need need)
{
    const char *metric = strstr(hop, " metric ");
    const char *family = is_ipv6(hop) ? "ipv6" : "ipv4";
    int hop_n = (int)strcspn(hop, " ");

    rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                "netsh interface %s delete route prefix=%.*s "
                "interface=@NAME@ nexthop=%.*s",
                family, (int)n, prefix, hop_n, hop);
    rh_win_step(c->steps, c->mac, need,
                "netsh interface %s add route prefix=%.*s interface=@NAME@ "
                "nexthop=%.*s%s%s store=persistent",
                family, (int)n, prefix, hop_n, hop, metric ? " metric=" : "",
                metric ? metric + 8 : "");
}

static void set_routes(const struct card *c)
{
    for (size_t i = 0; i < c->n->gateways.count; i++)
        if (is_ipv6(c->n->gateways.items[i]))
            set_route(c, "::/0", 4, c->n->gateways.items[i], RH_WIN_NEEDED);
    for (size_t i = 0; i < c->n->routes.count; i++) {
        const char *route = c->n->routes.items[i];
        size_t n = strcspn(route, " ");

        set_route(c, route, n, route + n + 1, RH_WIN_OPTIONAL);
    }
}

static void set_ipv6(const struct card *c)
{
    for (size_t i = 0; i < c->n->addresses.count; i++) {
        const char *address = c->n->addresses.items[i];

        if (!is_ipv6(address))
            continue;
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "netsh interface ipv6 delete address "
                    "interface=@NAME@ address=%.*s",
                    (int)strcspn(address, "/"), address);
        rh_win_step(c->steps, c->mac, RH_WIN_NEEDED,
                    "netsh interface ipv6 add address interface=@NAME@ "
                    "address=%s",
                    address);
    }
}

static void set_servers(const struct card *c)
{
    size_t count[2] = {0, 0};

    for (size_t i = 0; i < c->n->dns.count; i++) {
        const char *server = c->n->dns.items[i];
        bool six = is_ipv6(server);
        const char *first = count[six]++ ? NULL : "source=static ";

        if (c->old && !six)
            rh_win_step(c->steps, c->mac, RH_WIN_NEEDED,
                        "netsh interface ip %s dns name=@NAME@ %saddr=%s",
                        first ? "set" : "add", first ? first : "", server);
        else
            rh_win_step(c->steps, c->mac, RH_WIN_NEEDED,
                        "netsh interface %s %s dnsservers name=@NAME@ "
                        "%saddress=%s validate=no",
                        six ? "ipv6" : "ipv4", first ? "set" : "add",
                        first ? first : "", server);
    }
    for (size_t i = 0; i < c->n->wins.count; i++)
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    c->old ? "netsh interface %s %s wins name=@NAME@ "
                             "%saddr=%s"
                           : "netsh interface %s %s winsservers "
                             "name=@NAME@ %saddress=%s",
                    c->old ? "ip" : "ipv4", i ? "add" : "set",
                    i ? "" : "source=static ", c->n->wins.items[i]);
}

static void set_the_rest(const struct card *c)
{
    static const char tcp[] = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\Tcpip"
                              "\\Parameters\\Interfaces\\@GUID@";
    static const char netbt[] =
        "HKLM\\SYSTEM\\CurrentControlSet\\Services\\NetBT"
        "\\Parameters\\Interfaces\\Tcpip_@GUID@";

    if (c->n->suffix && rh_win_is_plain(c->n->suffix))
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "reg add %s /v Domain /t REG_SZ /d \"%s\" /f", tcp,
                    c->n->suffix);
    if (c->n->unregistered)
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "reg add %s /v RegistrationEnabled /t REG_DWORD /d 0 /f",
                    tcp);
    if (c->n->by_name)
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "reg add %s /v RegisterAdapterName /t REG_DWORD /d 1 /f",
                    tcp);
    if (c->n->netbios)
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "reg add %s /v NetbiosOptions /t REG_DWORD /d %u /f", netbt,
                    (unsigned)c->n->netbios);
    if (c->n->metric)
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    c->old ? "reg add %s /v InterfaceMetric /t REG_DWORD "
                             "/d %u /f"
                           : "netsh interface ipv4 set interface "
                             "@NAME@%.0s metric=%u",
                    tcp, (unsigned)RH_MIN(c->n->metric, 9999U));
    if (c->n->mtu)
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    c->old ? "reg add %s /v MTU /t REG_DWORD /d %u /f"
                           : "netsh interface ipv4 set subinterface "
                             "@NAME@%.0s mtu=%u store=persistent",
                    tcp, (unsigned)c->n->mtu);
    if (c->n->name && rh_win_is_plain(c->n->name))
        rh_win_step(c->steps, c->mac, RH_WIN_OPTIONAL,
                    "netsh interface set interface name=@NAME@ "
                    "newname=\"%s\"",
                    c->n->name);
}

/* --- the old card gives them up ----------------------------------------------
 */
static const char *const ipv4_values[] = {"IPAddress", "SubnetMask",
                                          "DefaultGateway",
                                          "DefaultGatewayMetric", "NameServer"};

/* What was set by hand beside addresses; defaults stay. */
static int drop_options(struct rh_hive_edit *e, const char *path,
                        const struct rh_win_nic *n, rh_error **err)
{
    const struct {
        bool is_set;
        const char *value;
    } all[] = {{n->suffix != NULL, "Domain"},
               {n->metric != 0, "InterfaceMetric"},
               {n->mtu != 0, "MTU"},
               {n->unregistered, "RegistrationEnabled"},
               {n->by_name, "RegisterAdapterName"}};

    for (size_t i = 0; i < RH_COUNT(all); i++)
        if (all[i].is_set && rh_hive_drop_value(e, path, all[i].value, err) < 0)
            return -1;
    return 0;
}

static int drop_ipv4(struct rh_hive_edit *e, const char *set,
                     const struct rh_win_nic *n, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s\\Services\\Tcpip\\Parameters\\Interfaces\\%s",
                           set, n->guid);

    if (!rh_hive_key(e->h, 0, path))
        return 0;
    if (rh_hive_set_number(e, path, "EnableDHCP", 1, err) < 0)
        return -1;
    for (size_t i = 0; i < RH_COUNT(ipv4_values); i++)
        if (rh_hive_drop_value(e, path, ipv4_values[i], err) < 0)
            return -1;
    return drop_options(e, path, n, err);
}

/* IPv6's servers, and WINS: left there, a second run would take the card for
 * one that is still set up, and ask the first start for these alone. */
static int drop_servers(struct rh_hive_edit *e, const char *set,
                        const struct rh_win_nic *n, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *six = rh_printf("%s\\Services\\Tcpip6\\Parameters\\Interfaces\\%s",
                          set, n->guid);
    RH_AUTO(rh_freep)
    char *netbt = rh_printf(
        "%s\\Services\\NetBT\\Parameters\\Interfaces\\Tcpip_%s", set, n->guid);

    if (rh_hive_drop_value(e, six, "NameServer", err) < 0 ||
        rh_hive_drop_value(e, netbt, "NameServerList", err) < 0)
        return -1;
    return n->netbios ? rh_hive_drop_value(e, netbt, "NetbiosOptions", err) : 0;
}

/* What the network store keeps by the card's LUID: its addresses (10) and its
 * routes (16), of both protocols. */
static int drop_nsi(struct rh_hive_edit *e, const char *set,
                    const struct rh_win_nic *n, rh_error **err)
{
    static const struct {
        const char *key;
        size_t luid;
    } parts[] = {
        {"{eb004a00-9b1a-11d4-9123-0050047759bc}\\10", RH_WIN_LUID_ADDRESS},
        {"{eb004a00-9b1a-11d4-9123-0050047759bc}\\16", RH_WIN_LUID_ROUTE4},
        {"{eb004a01-9b1a-11d4-9123-0050047759bc}\\10", RH_WIN_LUID_ADDRESS},
        {"{eb004a01-9b1a-11d4-9123-0050047759bc}\\16", RH_WIN_LUID_ROUTE6}};

    for (size_t i = 0; n->has_luid && i < RH_COUNT(parts); i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s\\Control\\Nsi\\%s", set, parts[i].key);
        RH_AUTO(rh_name_list_freep)
        char **names = rh_hive_values(e->h, rh_hive_key(e->h, 0, path));

        for (size_t k = 0; names && names[k]; k++)
            if (rh_win_is_of_card(names[k], parts[i].luid, n) &&
                rh_hive_drop_value(e, path, names[k], err) < 0)
                return -1;
    }
    return 0;
}

/* "0.0.0.0,0.0.0.0,GATEWAY,-1" stands for each static gateway. */
static int drop_routes(struct rh_hive_edit *e, const char *set,
                       const struct rh_win_nic *n, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path =
        rh_printf("%s\\Services\\Tcpip\\Parameters\\PersistentRoutes", set);

    for (size_t i = 0; i < n->gateways.count; i++) {
        const char *gateway = n->gateways.items[i];
        RH_AUTO(rh_freep)
        char *name = rh_printf("0.0.0.0,0.0.0.0,%.*s,-1",
                               (int)strcspn(gateway, " "), gateway);

        if (rh_hive_drop_value(e, path, name, err) < 0)
            return -1;
    }
    return 0;
}

/* The name becomes free for the new card. */
static int give_name_away(struct rh_hive_edit *e, const char *set,
                          const struct rh_win_nic *n, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path =
        rh_printf("%s\\Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}"
                  "\\%s\\Connection",
                  set, n->guid);
    RH_AUTO(rh_freep) char *name = NULL;

    if (!n->name || !rh_win_is_plain(n->name) || !rh_hive_key(e->h, 0, path))
        return 0;
    name = rh_printf("%s (before the move)", n->name);
    return rh_hive_set_text(e, path, "Name", hive_t_REG_SZ, name, err);
}

static int disarm(struct rh_hive_edit *e, const struct rh_win_nic *n,
                  rh_error **err)
{
    const struct rh_windows *w = rh_win_of(e->j);

    for (size_t i = 0; i < w->sets.count; i++) {
        const char *set = w->sets.items[i];

        if (drop_ipv4(e, set, n, err) < 0 || drop_servers(e, set, n, err) < 0 ||
            drop_nsi(e, set, n, err) < 0 || drop_routes(e, set, n, err) < 0 ||
            give_name_away(e, set, n, err) < 0)
            return -1;
    }
    return 0;
}

/* --- which cards -------------------------------------------------------------
 */
static bool has_settings(const struct rh_win_nic *n)
{
    return n->addresses.count || n->dns.count || n->wins.count ||
           n->routes.count ||
           (n->gateways.count &&
            is_ipv6(n->gateways.items[n->gateways.count - 1]));
}

/* A card with DHCP may have its own metric or suffix all the same. */
static bool has_options(const struct rh_win_nic *n)
{
    return n->suffix || n->metric || n->mtu || n->netbios || n->unregistered ||
           n->by_name;
}

static bool shares_address(const struct rh_win_nic *a,
                           const struct rh_win_nic *b)
{
    for (size_t i = 0; i < a->addresses.count; i++)
        for (size_t k = 0; k < b->addresses.count; k++)
            if (!strcmp(a->addresses.items[i], b->addresses.items[k]))
                return true;
    return false;
}

static void say_lost(struct rh_fix_job *j, const struct rh_win_nic *n)
{
    rh_finding_add(j->o->findings, RH_F_WINDOWS_ADDRESS_LEFT, "os",
                   N_("the network card \"%s\" (%s, %s) is none of this VM's "
                      "NICs, as far as slot, MAC address and name tell; what "
                      "is set on it stays with it"),
                   n->name ? n->name : n->guid, n->device->id,
                   n->addresses.count ? n->addresses.items[0] : "DHCP");
}

static int move_one(struct rh_hive_edit *e, const struct rh_win_nic *n,
                    struct rh_win_job *job, rh_error **err)
{
    const struct rh_nic_config *c = &e->j->o->vm->nics.items[n->nic];
    const struct rh_windows *w = rh_win_of(e->j);
    struct card card = {.steps = &job->network,
                        .mac = c->mac.text,
                        .n = n,
                        .old = w->major < 6};

    if (c->mac.kind != RH_VALUE_TEXT) {
        say_lost(e->j, n);
        return 0;
    }
    set_ipv4(&card);
    set_ipv6(&card);
    set_routes(&card);
    set_servers(&card);
    set_the_rest(&card);
    if (n->name && !rh_win_is_plain(n->name))
        rh_finding_add(e->j->o->findings, RH_F_WINDOWS_NIC_NAME, "os",
                       N_("the connection \"%s\" gets a new name: the old one "
                          "holds characters that the first start cannot set"),
                       n->name);
    return disarm(e, n, err);
}

int rh_win_move_addresses(struct rh_hive_edit *e, struct rh_win_job *job,
                          rh_error **err)
{
    const struct rh_windows *w = rh_win_of(e->j);

    for (size_t i = 0; e->j->o->vm && i < w->nics.count; i++) {
        const struct rh_win_nic *n = &w->nics.items[i];
        bool in_the_way = false;

        if (!has_settings(n) && (n->nic == SIZE_MAX || !has_options(n)))
            continue;
        if (n->nic != SIZE_MAX) {
            if (move_one(e, n, job, err) < 0)
                return -1;
            continue;
        }
        /* A phantom keeps what is its own, but no address that is wanted. */
        for (size_t k = 0; k < w->nics.count; k++)
            in_the_way |= w->nics.items[k].nic != SIZE_MAX &&
                          shares_address(n, &w->nics.items[k]);
        if (in_the_way && disarm(e, n, err) < 0)
            return -1;
        if (!in_the_way && !n->device->gone)
            say_lost(e->j, n);
    }
    return 0;
}

/* A server takes disks that come by a new controller offline: for one start it
 * does not, and then has its own policy again. */
static int bring_disks_online(struct rh_hive_edit *e, struct rh_win_job *job,
                              rh_error **err)
{
    static const char key[] = "Services\\partmgr\\Parameters";
    const struct rh_windows *w = rh_win_of(e->j);
    enum { ONLINE_ALL = 1 };
    uint64_t was = 0;
    bool any = false;

    if (w->major < 6 || !e->j->o->vm || e->j->o->vm->disks.count < 2)
        return 0;
    for (size_t i = 0; i < w->sets.count; i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s\\%s", w->sets.items[i], key);
        uint64_t now = 0;
        bool has =
            rh_hive_number(e->h, rh_hive_key(e->h, 0, path), "SanPolicy", &now);

        if (has && now == ONLINE_ALL)
            continue;
        if (!i)
            was = now;
        any = true;
        if (rh_hive_set_number(e, path, "SanPolicy", ONLINE_ALL, err) < 0)
            return -1;
    }
    if (any && was)
        rh_win_step(&job->after, NULL, RH_WIN_OPTIONAL,
                    "reg add HKLM\\SYSTEM\\CurrentControlSet\\%s /v SanPolicy "
                    "/t REG_DWORD /d %u /f",
                    key, (unsigned)was);
    else if (any)
        rh_win_step(&job->after, NULL, RH_WIN_OPTIONAL,
                    "reg delete HKLM\\SYSTEM\\CurrentControlSet\\%s /v "
                    "SanPolicy /f",
                    key);
    return 0;
}

static void say_teams(struct rh_fix_job *j)
{
    const struct rh_windows *w = rh_win_of(j);

    for (size_t i = 0; i < w->nics.count; i++)
        if (w->nics.items[i].vlan && !w->nics.items[i].device->gone)
            rh_finding_add(j->o->findings, RH_F_WINDOWS_TEAM, "os",
                           N_("the driver of the network card \"%s\" tags what "
                              "it sends with VLAN %u; the new card will not"),
                           w->nics.items[i].name ? w->nics.items[i].name
                                                 : w->nics.items[i].guid,
                           (unsigned)w->nics.items[i].vlan);
    for (size_t i = 0; i < w->teams.count; i++)
        rh_finding_add(j->o->findings, RH_F_WINDOWS_TEAM, "os",
                       N_("a team, bridge or virtual switch (%s) is set up; it "
                          "is not carried over to the new cards"),
                       w->teams.items[i]);
}

int rh_fix_win_first_boot(struct rh_fix_job *j, rh_error **err)
{
    RH_AUTO(rh_hive_closep) struct rh_hive *system = NULL;
    RH_AUTO(rh_win_job_free) struct rh_win_job job = {0};
    struct rh_hive_edit e = {
        .j = j, .what = _("the network settings move to the new card")};
    size_t pages;

    if (!rh_win_can_edit(j))
        return RH_FIX_NOT_POSSIBLE;
    say_teams(j);
    e.h = system = rh_win_open(rh_win_of(j), "SYSTEM", &pages, err);
    if (!system || rh_win_move_addresses(&e, &job, err) < 0)
        return -1;
    if (rh_win_stage_drivers(&e, &job, err) < 0 ||
        rh_win_stage_xen_tools(j, &job, err) < 0 ||
        rh_win_stage_uninstall(j, &job, err) < 0)
        return -1;
    e.what = _("data disks come online at the first start");
    if (bring_disks_online(&e, &job, err) < 0)
        return -1;
    if (rh_win_job_is_empty(&job))
        return 0;
    e.what = _("a service that runs once, at the first start");
    if (rh_win_job_install(&e, &job, err) < 0)
        return -1;
    return rh_hive_commit(&e, err);
}
