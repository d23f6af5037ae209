#include "net.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_ETHERNETS = 32 };

struct link {
    int index;
    uint8_t mac[MAC_SIZE];
    bool taken;
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
    memcpy(RTA_DATA(a), data, size);
    m->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
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
    struct link link = {.index = info->ifi_index};
    bool hardware = true, found = false;
    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        hardware &= a->rta_type != IFLA_LINKINFO; /* dummy0 and its like have a kind */
        found |= a->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(a) == MAC_SIZE;
        if (a->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(a) == MAC_SIZE)
            memcpy(link.mac, RTA_DATA(a), MAC_SIZE);
    }
    if (hardware && found)
        links->of[links->count++] = link;
}

static bool list_links(int fd, struct links *links)
{
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

static uint8_t family(const struct ip *ip)
{
    return ip->family == 4 ? AF_INET : AF_INET6;
}

static size_t address_size(const struct ip *ip)
{
    return ip->family == 4 ? 4 : 16;
}

static int address_add(int fd, int index, const struct ip *ip)
{
    struct message m;
    struct ifaddrmsg *a = message_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof *a);
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
static struct link *find_link(struct links *links, const struct setup *s, const uint8_t *mac)
{
    struct link *free_one = NULL;
    for (size_t i = links->count; i-- > 0;) {
        struct link *l = &links->of[i];
        bool asked = false;
        if (!l->taken && memcmp(l->mac, mac, MAC_SIZE) == 0)
            return l;
        for (uint32_t n = 0; n < s->interface_count; n++)
            asked |= memcmp(l->mac, s->interfaces[n].mac, MAC_SIZE) == 0;
        if (!l->taken && !asked)
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

static bool interface_setup(int fd, struct links *links, const struct setup *s,
                            const struct interface *i, struct error *e)
{
    char name[3 * MAC_SIZE];
    mac_text(i->mac, name);
    struct link *l = find_link(links, s, i->mac);
    if (!l)
        return fail(e, NETWORK, ENODEV, "interface ", name, NULL);
    l->taken = true;
    bool same = memcmp(l->mac, i->mac, MAC_SIZE) == 0;
    int err = link_up(fd, l->index, i->mtu, same ? NULL : i->mac);
    if (err)
        return fail(e, NETWORK, err, "bring up interface ", name, NULL);
    for (uint32_t n = 0; n < i->address_count; n++)
        if ((err = address_add(fd, l->index, &i->addresses[n])))
            return fail(e, NETWORK, err, "address ", DEC(n), " of interface ", name, NULL);
    for (uint32_t n = 0; n < i->route_count; n++)
        if ((err = route_add(fd, l->index, &i->routes[n])))
            return fail(e, NETWORK, err, "route ", DEC(n), " of interface ", name, NULL);
    return true;
}

bool network_setup(const struct setup *s, struct error *e)
{
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    static struct links links;
    links = (struct links){0};
    if (fd < 0)
        return fail(e, NETWORK, errno, "open rtnetlink", NULL);
    int err = link_up(fd, 1, 0, NULL); /* lo is always the first */
    if (err)
        return fail(e, NETWORK, err, "bring up lo", NULL);
    if (s->interface_count && !list_links(fd, &links))
        return fail(e, NETWORK, errno, "list interfaces", NULL);
    for (uint32_t i = 0; i < s->interface_count; i++)
        if (!interface_setup(fd, &links, s, &s->interfaces[i], e))
            return false;
    return true;
}
