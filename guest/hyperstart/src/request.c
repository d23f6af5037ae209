#include "request.h"

#include <errno.h>

static struct ip read_ip(struct reader *r)
{
    struct ip ip = {.family = read_u8(r), .prefix = read_u8(r)};
    ip.address = read_raw(r, ADDRESS_SIZE);
    if (!ip.address)
        return ip;
    if (ip.family == 4) {
        for (size_t i = 4; i < ADDRESS_SIZE; i++)
            r->bad |= ip.address[i] != 0;
        r->bad |= ip.prefix > 32;
    } else {
        r->bad |= ip.family != 6 || ip.prefix > 128;
    }
    return ip;
}

static void read_addresses(struct reader *r, struct interface *i)
{
    i->addresses = read_list(r, sizeof *i->addresses, 18, MAX_ITEMS, &i->address_count);
    for (uint32_t n = 0; n < i->address_count; n++)
        i->addresses[n] = read_ip(r);
}

static void read_interface(struct reader *r, struct interface *i)
{
    i->mac = read_raw(r, MAC_SIZE);
    i->mtu = read_u32(r);
    read_addresses(r, i);
    i->routes = read_list(r, sizeof *i->routes, 36, MAX_ITEMS, &i->route_count);
    for (uint32_t n = 0; n < i->route_count; n++) {
        i->routes[n].destination = read_ip(r);
        i->routes[n].gateway = read_ip(r);
    }
}

static void read_setup(struct reader *r, struct setup_request *s)
{
    s->hostname = read_str(r);
    s->interfaces = read_list(r, sizeof *s->interfaces, 18, MAX_ITEMS, &s->interface_count);
    for (uint32_t i = 0; i < s->interface_count; i++)
        read_interface(r, &s->interfaces[i]);
    s->sysctls = read_list(r, sizeof *s->sysctls, 8, MAX_ITEMS, &s->sysctl_count);
    for (uint32_t i = 0; i < s->sysctl_count; i++) {
        s->sysctls[i].key = read_str(r);
        s->sysctls[i].value = read_str(r);
    }
}

static void read_mount(struct reader *r, struct container_mount *m)
{
    m->type = read_str(r);
    const char *source = read_str(r);
    m->target = read_str(r);
    m->flags = read_u32(r);
    m->data = read_str(r);
    /* Where it was read it is ours to change, as read_str does itself. */
    r->bad |= r->bad || !source_decode(&m->source, (char *)(uintptr_t)source, m->flags);
}

static void read_one_file(struct reader *r, struct container_file *f)
{
    f->path = read_str(r);
    f->mode = read_u32(r);
    f->uid = read_u32(r);
    f->gid = read_u32(r);
    f->content = read_bytes(r, &f->size);
}

static void read_device(struct reader *r, struct container_device *d)
{
    d->path = read_str(r);
    d->type = read_u32(r);
    d->major = read_u32(r);
    d->minor = read_u32(r);
    d->access = read_u32(r);
    d->mode = read_u32(r);
    r->bad |= d->type > DEVICE_CHARACTER || d->access > DEVICE_ACCESS;
    /* A node is of one kind and has numbers. */
    bool some = d->type == DEVICE_ANY || d->major == DEVICE_ALL || d->minor == DEVICE_ALL;
    r->bad |= *d->path && (*d->path != '/' || some);
}

static void read_create(struct reader *r, struct create_request *c)
{
    c->container = read_u32(r);
    c->flags = read_u32(r);
    r->bad |= c->flags > CONTAINER_FLAGS;
    c->hostname = read_str(r);
    c->layers = read_strs(r, MAX_LAYERS, &c->layer_count);
    c->scratch = read_str(r);
    c->mounts = read_list(r, sizeof *c->mounts, 20, MAX_ITEMS, &c->mount_count);
    for (uint32_t i = 0; i < c->mount_count; i++)
        read_mount(r, &c->mounts[i]);
    c->files = read_list(r, sizeof *c->files, 20, MAX_ITEMS, &c->file_count);
    for (uint32_t i = 0; i < c->file_count; i++)
        read_one_file(r, &c->files[i]);
    c->masked = read_strs(r, MAX_ITEMS, &c->masked_count);
    c->readonly = read_strs(r, MAX_ITEMS, &c->readonly_count);
    c->joins = read_u32(r);
    r->bad |= !c->joins && c->flags & CONTAINER_SHARE_PID;
    c->devices = read_list(r, sizeof *c->devices, 24, MAX_DEVICES, &c->device_count);
    for (uint32_t i = 0; i < c->device_count; i++)
        read_device(r, &c->devices[i]);
}

static void read_refill(struct reader *r, struct refill_request *f)
{
    f->container = read_u32(r);
    f->files = read_list(r, sizeof *f->files, 20, MAX_ITEMS, &f->file_count);
    for (uint32_t i = 0; i < f->file_count; i++)
        read_one_file(r, &f->files[i]);
}

static uint32_t read_process(struct reader *r)
{
    uint32_t process = read_u32(r);
    r->bad |= process == 0 || process > MAX_PROCESS_ID;
    return process;
}

static void read_start(struct reader *r, struct start_request *s)
{
    s->process = read_process(r);
    s->container = read_u32(r);
    s->flags = read_u32(r);
    r->bad |= s->flags > START_FLAGS;
    s->args = read_strs(r, MAX_ARGS, &s->arg_count);
    s->env = read_strs(r, MAX_ARGS, &s->env_count);
    s->cwd = read_str(r);
    s->user = read_str(r);
    s->groups = read_strs(r, MAX_ITEMS, &s->group_count);
    s->capabilities = read_u64(r);
    s->limits = read_list(r, sizeof *s->limits, 20, MAX_ITEMS, &s->limit_count);
    for (uint32_t i = 0; i < s->limit_count; i++) {
        s->limits[i].resource = read_u32(r);
        s->limits[i].soft = read_u64(r);
        s->limits[i].hard = read_u64(r);
    }
    s->rows = read_u16(r);
    s->columns = read_u16(r);
    s->seccomp = read_bytes(r, &s->seccomp_size);
    r->bad |= s->seccomp_size > MAX_SECCOMP || s->seccomp_size % SECCOMP_INSTRUCTION;
}

static void read_update(struct reader *r, struct update_request *u)
{
    u->container = read_u32(r);
    u->flags = read_u32(r);
    u->memory = read_u64(r);
    u->pids = read_u64(r);
    u->cpu_us = read_u64(r);
    u->realtime_ns = read_u64(r);
    r->bad |= u->flags > UPDATE_THAW; /* one or the other */
}

static bool read_arguments(struct reader *r, struct request *q)
{
    switch (q->op) {
    case OP_SANDBOX_SETUP:
        read_setup(r, &q->setup);
        return true;
    case OP_CONTAINER_CREATE:
        read_create(r, &q->create);
        return true;
    case OP_PROCESS_START:
        read_start(r, &q->start);
        return true;
    case OP_PROCESS_SIGNAL:
        q->signal.process = read_process(r);
        q->signal.signal = read_u32(r);
        q->signal.flags = read_u32(r);
        r->bad |= q->signal.flags > SIGNAL_CONTAINER;
        return true;
    case OP_PROCESS_RESIZE:
        q->resize.process = read_process(r);
        q->resize.rows = read_u16(r);
        q->resize.columns = read_u16(r);
        return true;
    case OP_PROCESS_REAP:
        q->reap = read_process(r);
        return true;
    case OP_SHUTDOWN:
        q->shutdown_ms = read_u32(r);
        return true;
    case OP_CONTAINER_STATS:
        q->stats = read_u32(r);
        return true;
    case OP_CONTAINER_TOP:
        q->top.container = read_u32(r);
        q->top.after = read_u32(r);
        return true;
    case OP_CONTAINER_UPDATE:
        read_update(r, &q->update);
        return true;
    case OP_INTERFACE_ADD:
        read_interface(r, &q->interface);
        return true;
    case OP_INTERFACE_REMOVE:
        q->interface.mac = read_raw(r, MAC_SIZE);
        read_addresses(r, &q->interface);
        return true;
    case OP_CONTAINER_FILES:
        read_refill(r, &q->refill);
        return true;
    case OP_CONTAINER_REMOVE:
        q->remove = read_u32(r);
        return true;
    case OP_CARRIER:
        q->carrier = read_str(r);
        return true;
    case OP_SHARE_LOST:
        q->lost = read_str(r);
        return true;
    case OP_SANDBOX_CLOCK:
        q->clock_ns = read_u64(r);
        return true;
    }
    return false;
}

bool hello_decode(struct hello *h, uint8_t *body, size_t size)
{
    struct reader r = {.at = body, .end = body + size};
    uint32_t magic = read_u32(&r);
    *h = (struct hello){.version = read_u16(&r)};
    uint16_t reserved = read_u16(&r);
    h->nonce = read_raw(&r, NONCE_SIZE);
    if (r.bad || magic != MAGIC || reserved)
        return false;
    if (h->version != VERSION)
        return true;
    h->realtime_ns = read_u64(&r);
    h->entropy = read_raw(&r, ENTROPY_SIZE);
    return read_end(&r);
}

bool request_decode(struct request *q, uint32_t id, uint8_t *body, size_t size, struct error *e)
{
    *q = (struct request){.id = id, .body = body};
    struct reader r = {.at = body, .end = body + size, .arena = &q->arena};
    q->op = (enum op)read_u16(&r);
    bool known = read_arguments(&r, q);
    if (!known && !r.bad)
        return fail(e, CODE_UNKNOWN_OP, 0, "unknown request ", DEC(q->op), NULL);
    read_end(&r);
    if (r.no_memory)
        return fail(e, CODE_SYSTEM, ENOMEM, "request ", DEC(q->op), NULL);
    if (r.bad)
        return fail(e, CODE_MALFORMED, 0, "malformed request ", DEC(q->op), NULL);
    return true;
}

void request_free(struct request *q)
{
    free(q->body);
    q->body = NULL;
    arena_free(&q->arena);
}
