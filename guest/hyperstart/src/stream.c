/* The streams of processes: pipes and terminals on one side, frames on the other. */
#include <errno.h>
#include <string.h>

#include "frame.h"
#include "process.h"
#include "wire.h"

enum {
    CHUNK = 32768 - HEADER_SIZE - DATA_HEADER - 1, /* a DATA frame is one write to virtio-serial */
    PUMP = 64 * 1024, /* bytes of one stream before others have their turn */
};

/* Nobody takes input any more: all that was accepted counts as taken. */
static void input_end(struct process *p)
{
    struct input *in = &p->in;
    if (!(p->flags & START_TTY)) /* a terminal's descriptor is its output's */
        close_fd(&in->fd);
    in->fd = -1;
    ring_free(&in->ring);
    in->ack_due |= in->written != in->expected;
    in->written = in->expected;
}

static void output_finish(struct process *p, struct output *o)
{
    if (p->flags & START_TTY)
        input_end(p);
    o->ended = true;
    o->readable = false;
    close_fd(&o->fd);
}

static bool output_pump(struct process *p, struct output *o)
{
    if (!o->used || o->ended)
        return false;
    o->readable |= p->orphaned;
    for (size_t done = 0; o->readable && done < PUMP;) {
        uint8_t *where;
        size_t room = ring_space(&o->ring, &where);
        if (!room)
            return false;
        ssize_t n = read(o->fd, where, room);
        if (n > 0) {
            ring_added(&o->ring, (size_t)n);
            o->end += (uint64_t)n;
            done += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            output_finish(p, o); /* EIO: the last slave of a terminal has closed */
        } else if (errno == EAGAIN) {
            o->readable = false;
            if (p->orphaned)
                output_finish(p, o);
        }
    }
    return o->readable;
}

static bool input_pump(struct process *p)
{
    struct input *in = &p->in;
    if (p->state == EXITED ? in->fd >= 0 : in->fd < 0 && in->written != in->expected)
        input_end(p);
    for (size_t done = 0; in->fd >= 0 && in->writable && in->ring.held && done < PUMP;) {
        const uint8_t *where;
        size_t size = ring_peek(&in->ring, 0, &where);
        ssize_t n = write(in->fd, where, size);
        if (n > 0) {
            ring_drop(&in->ring, (size_t)n);
            in->written += (uint64_t)n;
            in->ack_due = true;
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            in->writable = false;
        } else if (n == 0 || errno != EINTR) {
            input_end(p);
        }
    }
    /* A terminal's input has no end that its program could see: the descriptor stays. */
    if (in->fin && in->fd >= 0 && !in->ring.held)
        input_end(p);
    return in->fd >= 0 && in->writable && in->ring.held;
}

bool process_pump(struct process *p)
{
    if (p->state == STARTING)
        return false;
    bool more = input_pump(p);
    more |= output_pump(p, &p->out);
    more |= output_pump(p, &p->err);
    return more;
}

bool process_data(uint32_t stream, bool fin, const uint8_t *body, size_t size, struct error *e)
{
    struct process *p = process_find(stream / 4);
    if (size < DATA_HEADER || stream % 4)
        return fail(e, MALFORMED, 0, "malformed DATA of stream ", DEC(stream), NULL);
    if (!p)
        return true; /* reaped, or its start failed */
    struct input *in = &p->in;
    uint64_t offset = get_u64(body);
    size -= DATA_HEADER;
    if (offset < in->expected && size + fin <= in->expected - offset)
        return true;
    if (offset != in->expected || in->fin)
        return fail(e, MALFORMED, 0, "DATA of stream ", DEC(stream), " at ", DEC(offset),
                    ", expected ", DEC(in->expected), NULL);
    bool taken = in->fd >= 0 || p->state == STARTING;
    if (taken && !ring_append(&in->ring, body + DATA_HEADER, size))
        return fail(e, LIMIT, 0, "DATA of stream ", DEC(stream), " beyond the window", NULL);
    in->expected += size + fin;
    in->fin = fin;
    if (!taken)
        input_end(p);
    return true;
}

static uint64_t output_sendable(const struct output *o)
{
    return o->end + o->ended;
}

bool process_ack(uint32_t stream, uint64_t offset, struct error *e)
{
    struct process *p = process_find(stream / 4);
    if (!p)
        return true;
    struct output *o = stream % 4 == 1 ? &p->out : &p->err;
    if (stream % 4 == 0 || stream % 4 == 3 || !o->used)
        return fail(e, MALFORMED, 0, "ACK of stream ", DEC(stream), NULL);
    if (offset < o->base && !o->paused)
        return true;
    uint64_t highest = o->paused ? output_sendable(o) : o->next;
    if (offset < o->base || offset > highest)
        return fail(e, MALFORMED, 0, "ACK of stream ", DEC(stream), " at ", DEC(offset), ", held ",
                    DEC(o->base), " to ", DEC(highest), NULL);
    ring_drop(&o->ring, min_size((size_t)(offset - o->base), o->ring.held));
    o->base = offset;
    if (o->paused)
        o->next = offset;
    o->paused = false;
    if (o->ended && !o->ring.held)
        ring_free(&o->ring);
    return true;
}

/* Sends what may be sent; returns whether there is more than room. */
static bool output_transmit(struct output *o, uint32_t stream, struct tx *tx)
{
    while (o->used && !o->paused && o->next < output_sendable(o)) {
        const uint8_t *where = NULL;
        if (tx_held(tx) >= TX_DATA)
            return true;
        size_t size = min_size(ring_peek(&o->ring, (size_t)(o->next - o->base), &where), CHUNK);
        bool fin = o->ended && o->next + size == o->end;
        uint8_t *body = tx_frame(tx, DATA, fin ? FIN : 0, stream, DATA_HEADER + size);
        if (!body)
            return true;
        put_u64(body, o->next);
        if (size)
            memcpy(body + DATA_HEADER, where, size);
        o->next += size + fin;
    }
    return false;
}

static bool exit_transmit(struct process *p, struct tx *tx)
{
    uint8_t *body = tx_frame(tx, EVENT, 0, 0, 23);
    if (!body)
        return false;
    put_u16(body, 1);
    put_u32(body + 2, p->id);
    put_u32(body + 6, p->exit_status);
    put_u32(body + 10, p->exit_signal);
    body[14] = p->oom;
    put_u64(body + 15, p->exit_ns);
    return true;
}

bool process_transmit(struct process *p, struct tx *tx)
{
    if (p->forsaken)
        return false;
    if (p->exit_due && exit_transmit(p, tx))
        p->exit_due = false;
    uint8_t *body = p->in.ack_due ? tx_frame(tx, ACK, 0, p->id * 4, 8) : NULL;
    if (body) {
        put_u64(body, p->in.written);
        p->in.ack_due = false;
    }
    bool more = p->exit_due || p->in.ack_due;
    more |= output_transmit(&p->out, p->id * 4 + 1, tx);
    more |= output_transmit(&p->err, p->id * 4 + 2, tx);
    return more;
}

void process_greeted(struct process *p)
{
    p->request_id = 0;
    p->exit_due = p->state == EXITED;
    p->in.ack_due = true; /* the last one may have been lost: without it the host would wait */
    p->out.paused = p->out.used;
    p->err.paused = p->err.used;
}

bool process_drained(const struct process *p)
{
    if (p->forsaken)
        return true;
    return (!p->out.used || p->out.base > p->out.end) && (!p->err.used || p->err.base > p->err.end);
}
