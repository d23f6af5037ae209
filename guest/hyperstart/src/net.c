#include "net.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_ETHERNETS = 32 };

struct link {
    int index;
    uint8_t mac[MAC_SIZE];
    bool hardware; /* a card; what has a kind is software: macvlan (ours), dummy (not ours) */
    bool taken;
    bool up;
};

struct links {
    struct link of[MAX_ETHERNETS];
    size_t count;
};

/* A request under construction. */
struct message {
    struct nlmsghdr header;
    uint8_t body[512];
};

static void *message_begin(struct message *m, uint16_t type, uint16_t flags, size_t size)
{
    *m = (struct message){
        .header = {.nlmsg_len = NLMSG_LENGTH((uint32_t)size),
                   .nlmsg_type = type,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
    };
    return NLMSG_DATA(&m->header);
}

static void message_add(struct message *m, uint16_t type, const void *data, size_t size)
{
    struct rtattr *a = (void *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(a), data, size);
    m->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

/* Begins an attribute that holds others. */
static struct rtattr *message_open(struct message *m, uint16_t type)
{
    struct rtattr *a = (void *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));
    message_add(m, type | NLA_F_NESTED, NULL, 0);
    return a;
}

static void message_close(struct message *m, struct rtattr *a)
{
    a->rta_len = (uint16_t)((char *)m + m->header.nlmsg_len - (char *)a);
}

/* Sends a request and waits for the kernel's verdict: 0 or an errno. */
static int message_send(int fd, struct message *m)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        uint8_t rest[1024];
    } answer;
    m->header.nlmsg_flags |= NLM_F_ACK;
    if (send(fd, m, m->header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0)
        return errno;
    return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
}

static void note_link(struct links *links, const struct nlmsghdr *h)
{
    const struct ifinfomsg *info = NLMSG_DATA(h);
    size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof *info);
    if (info->ifi_type != ARPHRD_ETHER || links->count == MAX_ETHERNETS)
        return;
    struct link link = {.index = info->ifi_index, .hardware = true, .up = info->ifi_flags & IFF_UP};
    bool found = false;
    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        link.hardware &= a->rta_type != IFLA_LINKINFO;
        found |= a->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(a) == MAC_SIZE;
        if (a->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(a) == MAC_SIZE)
            memcpy(link.mac, RTA_DATA(a), MAC_SIZE);
    }
    if (found)
        links->of[links->count++] = link;
}

static bool list_links(int fd, struct links *links)
{
    *links = (struct links){0};
    struct message m;
    struct ifinfomsg *info = message_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof *info);
    static _Alignas(16) uint8_t answer[32768];
    if (send(fd, &m, m.header.nlmsg_len, 0) < 0)
        return false;
    for (;;) {
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        if (n < 0)
            return false;
        size_t left = (size_t)n;
        for (const struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return true;
            if (h->nlmsg_type == NLMSG_ERROR) {
                errno = EPROTO;
                return false;
            }
            if (h->nlmsg_type == RTM_NEWLINK)
                note_link(links, h);
        }
    }
}

static int link_up(int fd, int index, uint32_t mtu, const uint8_t *mac)
{
    struct message m;
    struct ifinfomsg *info = message_begin(&m, RTM_NEWLINK, 0, sizeof *info);
    info->ifi_index = index;
    info->ifi_flags = info->ifi_change = IFF_UP;
    if (mtu)
        message_add(&m, IFLA_MTU, &mtu, sizeof mtu);
    if (mac)
        message_add(&m, IFLA_ADDRESS, mac, MAC_SIZE);
    return message_send(fd, &m);
}

/* A card of its own MAC on the cable of another: what a machine without hot-plug has instead of a
 * second one. */
static int macvlan_add(int fd, int parent, const uint8_t *mac)
{
    static const char kind[] = "macvlan", name[] = "eth%d";
    const uint32_t mode = MACVLAN_MODE_BRIDGE;
    struct message m;
    struct ifinfomsg *info =
        message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *info);
    message_add(&m, IFLA_IFNAME, name, sizeof name);
    message_add(&m, IFLA_LINK, &parent, sizeof parent);
    message_add(&m, IFLA_ADDRESS, mac, MAC_SIZE);
    struct rtattr *linkinfo = message_open(&m, IFLA_LINKINFO);
    message_add(&m, IFLA_INFO_KIND, kind, strlen(kind));
    struct rtattr *data = message_open(&m, IFLA_INFO_DATA);
    message_add(&m, IFLA_MACVLAN_MODE, &mode, sizeof mode);
    message_close(&m, data);
    message_close(&m, linkinfo);
    return message_send(fd, &m);
}

static int link_delete(int fd, int index)
{
    struct message m;
    struct ifinfomsg *info = message_begin(&m, RTM_DELLINK, 0, sizeof *info);
    info->ifi_index = index;
    return message_send(fd, &m);
}

static uint8_t family(const struct ip *ip)
{
    return ip->family == 4 ? AF_INET : AF_INET6;
}

static size_t address_size(const struct ip *ip)
{
    return ip->family == 4 ? 4 : 16;
}

static int address_do(int fd, uint16_t type, int index, const struct ip *ip)
{
    uint16_t flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct message m;
    struct ifaddrmsg *a = message_begin(&m, type, flags, sizeof *a);
    a->ifa_family = family(ip);
    a->ifa_prefixlen = ip->prefix;
    a->ifa_index = (unsigned)index;
    a->ifa_flags = IFA_F_NODAD; /* the host hands out addresses: nobody else has this one */
    message_add(&m, IFA_LOCAL, ip->address, address_size(ip));
    message_add(&m, IFA_ADDRESS, ip->address, address_size(ip));
    if (ip->family == 4 && ip->prefix < 31) {
        uint8_t broadcast[4];
        memcpy(broadcast, ip->address, 4);
        for (unsigned bit = ip->prefix; bit < 32; bit++)
            broadcast[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        message_add(&m, IFA_BROADCAST, broadcast, 4);
    }
    return message_send(fd, &m);
}

/* The IPv6 address that a card has by itself, made of its MAC (RFC 4291, appendix A). The kernel
 * makes it when a card comes up. One whose MAC changes while it is up keeps the old one, and to
 * take it down first costs 40 ms of an emulated machine. Without IPv6 there is neither. */
static void link_local(int fd, uint16_t type, int index, const uint8_t *mac)
{
    uint8_t address[ADDRESS_SIZE] = {0xfe, 0x80, [11] = 0xff, 0xfe};
    struct ip ip = {.family = 6, .prefix = 64, .address = address};
    memcpy(address + 8, mac, 3);
    memcpy(address + 13, mac + 3, 3);
    address[8] ^= 2;
    address_do(fd, type, index, &ip);
}

static int route_add(int fd, int index, const struct route *r)
{
    static const uint8_t none[ADDRESS_SIZE];
    struct message m;
    struct rtmsg *t = message_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof *t);
    bool direct = memcmp(r->gateway.address, none, sizeof none) == 0;
    t->rtm_family = family(&r->destination);
    t->rtm_dst_len = r->destination.prefix;
    t->rtm_table = RT_TABLE_MAIN;
    t->rtm_protocol = RTPROT_BOOT;
    t->rtm_scope = direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    t->rtm_type = RTN_UNICAST;
    if (r->destination.prefix)
        message_add(&m, RTA_DST, r->destination.address, address_size(&r->destination));
    if (!direct)
        message_add(&m, RTA_GATEWAY, r->gateway.address, address_size(&r->destination));
    message_add(&m, RTA_OIF, &index, sizeof index);
    return message_send(fd, &m);
}

/* The link with this MAC; failing that the first one nobody asked for by its MAC, to be given it (a
 * clone has its template's). */
static struct link *find_link(struct links *links, const struct setup_request *s,
                              const uint8_t *mac)
{
    struct link *free_one = NULL;
    for (size_t i = links->count; i-- > 0;) {
        struct link *l = &links->of[i];
        bool asked = false;
        if (!l->taken && memcmp(l->mac, mac, MAC_SIZE) == 0)
            return l;
        for (uint32_t n = 0; n < s->interface_count; n++)
            asked |= memcmp(l->mac, s->interfaces[n].mac, MAC_SIZE) == 0;
        if (l->hardware && !l->taken && !asked)
            free_one = l;
    }
    return free_one;
}

static void mac_text(const uint8_t *mac, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MAC_SIZE; i++) {
        text[3 * i] = digits[mac[i] >> 4];
        text[3 * i + 1] = digits[mac[i] & 15];
        text[3 * i + 2] = i == MAC_SIZE - 1 ? 0 : ':';
    }
}

static struct link *link_with(struct links *links, const uint8_t *mac)
{
    for (size_t i = 0; i < links->count; i++)
        if (memcmp(links->of[i].mac, mac, MAC_SIZE) == 0)
            return &links->of[i];
    return NULL;
}

/* A link of a new MAC on the first card's cable, as the last of links. */
static struct link *make_link(int fd, struct links *links, const uint8_t *mac, struct error *e)
{
    static struct links now;
    const struct link *parent = NULL;
    for (size_t i = 0; !parent && i < links->count; i++)
        parent = links->of[i].hardware ? &links->of[i] : NULL;
    int err = parent && links->count < MAX_ETHERNETS ? 0 : ENODEV;
    if (!err && !(err = link_up(fd, parent->index, 0, NULL)))
        err = macvlan_add(fd, parent->index, mac);
    const struct link *made = !err && list_links(fd, &now) ? link_with(&now, mac) : NULL;
    if (!made) {
        fail(e, CODE_NETWORK, err ? err : ENODEV, "make an interface", NULL);
        return NULL;
    }
    links->of[links->count] = *made;
    return &links->of[links->count++];
}

static bool interface_setup(int fd, struct links *links, struct link *l, const struct interface *i,
                            struct error *e)
{
    char name[3 * MAC_SIZE];
    mac_text(i->mac, name);
    if (!l && !(l = make_link(fd, links, i->mac, e)))
        return false;
    l->taken = true;
    bool same = memcmp(l->mac, i->mac, MAC_SIZE) == 0;
    bool changes = !same && l->up;
    if (changes)
        link_local(fd, RTM_DELADDR, l->index, l->mac);
    int err = link_up(fd, l->index, i->mtu, same ? NULL : i->mac);
    if (changes && !err)
        link_local(fd, RTM_NEWADDR, l->index, i->mac);
    if (err)
        return fail(e, CODE_NETWORK, err, "bring up interface ", name, NULL);
    for (uint32_t n = 0; n < i->address_count; n++)
        if ((err = address_do(fd, RTM_NEWADDR, l->index, &i->addresses[n])))
            return fail(e, CODE_NETWORK, err, "address ", DEC(n), " of interface ", name, NULL);
    for (uint32_t n = 0; n < i->route_count; n++)
        if ((err = route_add(fd, l->index, &i->routes[n])))
            return fail(e, CODE_NETWORK, err, "route ", DEC(n), " of interface ", name, NULL);
    return true;
}

bool network_setup(const struct setup_request *s, struct error *e)
{
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    static struct links links;
    if (fd < 0)
        return fail(e, CODE_NETWORK, errno, "open rtnetlink", NULL);
    int err = link_up(fd, 1, 0, NULL); /* lo is always the first */
    if (err)
        return fail(e, CODE_NETWORK, err, "bring up lo", NULL);
    if (s->interface_count && !list_links(fd, &links))
        return fail(e, CODE_NETWORK, errno, "list interfaces", NULL);
    for (uint32_t i = 0; i < s->interface_count; i++) {
        const struct interface *n = &s->interfaces[i];
        if (!interface_setup(fd, &links, find_link(&links, s, n->mac), n, e))
            return false;
    }
    return true;
}

bool interface_add(const struct interface *i, struct error *e)
{
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    static struct links links;
    if (fd < 0 || !list_links(fd, &links))
        return fail(e, CODE_NETWORK, errno, "list interfaces", NULL);
    return interface_setup(fd, &links, link_with(&links, i->mac), i, e);
}

bool interface_remove(const struct interface *i, struct error *e)
{
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    static struct links links;
    char name[3 * MAC_SIZE];
    mac_text(i->mac, name);
    if (fd < 0 || !list_links(fd, &links))
        return fail(e, CODE_NETWORK, errno, "list interfaces", NULL);
    const struct link *l = link_with(&links, i->mac);
    if (!l)
        return fail(e, CODE_NO_SUCH, 0, "no interface ", name, NULL);
    int err = l->hardware ? 0 : link_delete(fd, l->index);
    /* A card stays: others may hang on its cable. */
    for (uint32_t n = 0; !err && l->hardware && n < i->address_count; n++) {
        err = address_do(fd, RTM_DELADDR, l->index, &i->addresses[n]);
        err = err == EADDRNOTAVAIL ? 0 : err;
    }
    return !err || fail(e, CODE_NETWORK, err, "remove interface ", name, NULL);
}
