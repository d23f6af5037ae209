#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "carrier.h"
#include "container.h"
#include "disk.h"
#include "inspect.h"
#include "net.h"
#include "removal.h"
#include "reply.h"
#include "sandbox.h"
#include "shutdown.h"

#ifndef AGENT
#define AGENT "hyperstart 0.1.0"
#endif

struct session session;

void session_started(const struct process *p, const struct error *e)
{
    uint8_t pid[4];
    put_u32(pid, (uint32_t)p->pid);
    if (p->request_id)
        reply_send(p->request_id, e, pid, sizeof pid);
}

/* What is not told here the exit tells. */
static void session_oom(const struct process *p)
{
    struct writer w;
    if (!host.greeted || !reply_event(&w, EVENT_OOM_KILL))
        return;
    write_u32(&w, p->id);
    tx_end(&host.tx, &w);
}

void session_oom_events(void)
{
    processes_oom(session_oom);
}

static uint32_t process_count(void)
{
    uint32_t count = 0;
    for (size_t i = 0; i < process_slots; i++)
        count += processes[i] && !processes[i]->forsaken;
    return count;
}

static void write_process(struct writer *w, const struct process *p)
{
    write_u32(w, p->id);
    write_u8(w, p->state == PROCESS_EXITED ? 2 : 1);
    write_u64(w, p->in.expected);
    write_u64(w, p->out.base);
    write_u64(w, p->err.base);
}

static void send_hello(const uint8_t *nonce)
{
    struct writer w;
    if (!tx_begin(&host.tx, &w, FRAME_HELLO, 0, MAX_BODY))
        return;
    write_u32(&w, MAGIC);
    write_u16(&w, VERSION);
    write_u16(&w, 0);
    uint8_t *at = write_raw(&w, NONCE_SIZE);
    if (at)
        memcpy(at, nonce, NONCE_SIZE);
    write_u64(&w, session.boot_ns);
    write_str(&w, AGENT);
    write_u32(&w, process_count());
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && !processes[i]->forsaken)
            write_process(&w, processes[i]);
    tx_end(&host.tx, &w);
}

static void drop_partial(struct session *s)
{
    free(s->partial);
    s->partial = NULL;
    s->partial_size = 0;
    s->partial_id = 0;
}

/* Everything that was under way ends; what is kept is told again. */
static bool on_hello(struct session *s, const struct frame *f)
{
    struct hello hello;
    if (!hello_decode(&hello, f->body, f->length))
        return false;
    host.tx.start = host.tx.end = 0;
    shutdown_unasked();
    removals_unasked();
    drop_partial(s);
    disk_forget(carrier_drop());
    processes_forsake();
    send_hello(hello.nonce);
    host.greeted = hello.version == VERSION;
    if (!host.greeted)
        return true;
    sandbox_clock(hello.realtime_ns);
    sandbox_entropy(hello.entropy);
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i])
            process_greeted(processes[i]);
    return true;
}

/* The disk of this name is the carrier from now on; "": none is. */
static void change_carrier(const char *name, struct error *e)
{
    char path[300];
    disk_forget(carrier_drop());
    if (!*name || !runtime_prepare(e) || !disk_find(name, path, sizeof path, e))
        return;
    _cleanup_close_ int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size >= CARRIER_SIZE)
        return carrier_use(steal_fd(&fd), path);
    fail(e, CODE_SYSTEM, size < 0 ? errno : EINVAL, "use ", path, " as the carrier", NULL);
    close_fd(&fd);
    disk_forget(path);
}

/* A container whose memory events are watched. */
static void create_container(struct session *s, struct request *q, struct error *e)
{
    struct container *c = container_create(q, e);
    struct epoll_event event = {.events = EPOLLPRI | EPOLLET, .data.u64 = TAG_OOM};
    if (c && c->events >= 0)
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->events, &event);
}

/* Does a request; returns who answers it. */
static enum answer perform(struct session *s, struct request *q, struct error *e)
{
    bool begins =
        q->op == OP_SANDBOX_SETUP || q->op == OP_CONTAINER_CREATE || q->op == OP_PROCESS_START;
    if (shutdown_begun() && begins) {
        fail(e, CODE_STATE, 0, "shutting down", NULL);
        return ANSWER_NOW;
    }
    switch (q->op) {
    case OP_SANDBOX_SETUP:
        sandbox_setup(&q->setup, e);
        return ANSWER_NOW;
    case OP_CONTAINER_CREATE:
        create_container(s, q, e);
        return ANSWER_NOW;
    case OP_PROCESS_START:
        return process_start(q, s->epoll, e);
    case OP_PROCESS_SIGNAL:
        process_signal(&q->signal, e);
        return ANSWER_NOW;
    case OP_PROCESS_RESIZE:
        process_resize(&q->resize, e);
        return ANSWER_NOW;
    case OP_PROCESS_REAP:
        process_reap(q->reap, e);
        return ANSWER_NOW;
    case OP_CONTAINER_STATS:
        return inspect_stats(q, e);
    case OP_CONTAINER_TOP:
        return inspect_top(q, e);
    case OP_CONTAINER_UPDATE:
        sandbox_clock(q->update.realtime_ns);
        container_update(&q->update, e);
        return ANSWER_NOW;
    case OP_INTERFACE_ADD:
        interface_add(&q->interface, e);
        return ANSWER_NOW;
    case OP_INTERFACE_REMOVE:
        interface_remove(&q->interface, e);
        return ANSWER_NOW;
    case OP_CONTAINER_FILES:
        container_refill(&q->refill, e);
        return ANSWER_NOW;
    case OP_SHARE_LOST:
        share_lost(q->lost, e);
        return ANSWER_NOW;
    case OP_CONTAINER_REMOVE:
        return removal_begin(q->remove, q->id, e);
    case OP_CARRIER:
        change_carrier(q->carrier, e);
        return ANSWER_NOW;
    case OP_SANDBOX_CLOCK:
        sandbox_clock(q->clock_ns);
        return ANSWER_NOW;
    case OP_SHUTDOWN:
        return shutdown_begin(q->id, q->shutdown_ms);
    }
    fail(e, CODE_UNKNOWN_OP, 0, "unknown request ", DEC(q->op), NULL);
    return ANSWER_NOW;
}

static void handle_request(struct session *s, uint32_t id, uint8_t *body, size_t size)
{
    struct error e = {0};
    struct request q;
    enum answer answer = ANSWER_NOW;
    if (request_decode(&q, id, body, size, &e))
        answer = perform(s, &q, &e);
    if (answer == ANSWER_NOW)
        reply_send(id, &e, NULL, 0);
    request_free(&q);
}

static bool on_request(struct session *s, const struct frame *f)
{
    if ((s->partial_id && s->partial_id != f->stream) || s->partial_size + f->length > MAX_REQUEST)
        return false;
    uint8_t *grown = realloc(s->partial, s->partial_size + f->length + 1);
    if (!grown) {
        struct error e;
        fail(&e, CODE_SYSTEM, ENOMEM, "request", NULL);
        reply_send(f->stream, &e, NULL, 0);
        drop_partial(s);
        return true;
    }
    memcpy(grown + s->partial_size, f->body, f->length);
    s->partial = grown;
    s->partial_size += f->length;
    s->partial_id = f->stream;
    if (f->flags & FRAME_MORE)
        return true;
    uint8_t *body = s->partial;
    size_t size = s->partial_size;
    s->partial = NULL;
    drop_partial(s);
    handle_request(s, f->stream, body, size);
    return true;
}

/* False: the frame is one the host must not send. */
static bool on_frame(struct session *s, const struct frame *f)
{
    struct error e = {0};
    if (f->type == FRAME_HELLO) {
        bool answered = on_hello(s, f);
        /* At once: what was asked together with it may take long, and the host counts a boot until
         * here. */
        (void)tx_flush(&host.tx, host.port);
        return answered;
    }
    if (!host.greeted)
        return true;
    if (s->partial_id && f->type == FRAME_REQUEST && f->stream != s->partial_id)
        return false;
    switch (f->type) {
    case FRAME_REQUEST:
        return on_request(s, f);
    case FRAME_DATA:
        if (!process_data(f->stream, f->flags & FRAME_FIN, f->body, f->length, &e))
            reply_error(&e);
        return true;
    case FRAME_CARRIED:
        if (f->length != CARRIED_HEADER)
            return false;
        if (!process_carried(f->stream, f->flags & FRAME_FIN, f->body, f->length, &e))
            reply_error(&e);
        return true;
    case FRAME_ACK:
        if (f->length != 8)
            return false;
        if (!process_ack(f->stream, get_u64(f->body), &e))
            reply_error(&e);
        return true;
    case FRAME_HELLO:
    case FRAME_REPLY:
    case FRAME_EVENT:
        break;
    }
    return false;
}

static void refused(struct session *s)
{
    struct error e;
    drop_partial(s);
    if (!host.greeted)
        return;
    fail(&e, CODE_MALFORMED, 0, "protocol error: everything is ignored until the next HELLO", NULL);
    reply_error(&e);
}

bool session_receive(struct session *s)
{
    struct frame f;
    for (;;) {
        if (tx_held(&host.tx) > TX_CONTROL)
            return false; /* the host does not read: nor do we */
        enum decoded got = decoder_next(&s->decoder, &f);
        if (got == DECODED_NOTHING)
            break;
        if (got == DECODED_FRAME && on_frame(s, &f))
            continue;
        if (got == DECODED_FRAME)
            decoder_lose(&s->decoder);
        refused(s);
    }
    if (!s->readable)
        return false;
    uint8_t *where;
    size_t room = decoder_space(&s->decoder, &where);
    ssize_t n = read(host.port, where, room);
    if (n > 0)
        decoder_filled(&s->decoder, (size_t)n);
    else if (n == 0 || errno != EINTR)
        s->readable = false; /* nothing there, or the host is away: epoll says when it is back */
    return true;
}

bool session_transmit(void)
{
    static size_t turn;
    if (!host.greeted && !tx_held(&host.tx))
        return false;
    bool more = false;
    size_t slots = process_slots;
    for (size_t i = 0; host.greeted && i < slots; i++) {
        struct process *p = processes[(turn + i) % slots];
        if (p)
            more |= process_transmit(p, &host.tx);
    }
    turn = slots ? (turn + 1) % slots : 0;
    return tx_flush(&host.tx, host.port) && more;
}
