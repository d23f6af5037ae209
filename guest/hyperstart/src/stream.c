/* The streams of processes: pipes and terminals on one side, frames on the other. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "carrier.h"
#include "frame.h"
#include "process.h"
#include "wire.h"

enum {
    CHUNK = 32768 - HEADER_SIZE - DATA_HEADER - 1, /* a DATA frame is one write to virtio-serial */
    PUMP = 64 * 1024,          /* bytes of one stream before others have their turn */
    CARRIED_LEAST = 64 * 1024, /* what a request to a disk is worth */
    /* So much in flight will be acknowledged: the host waits for less than a quarter of WINDOW
     * and the rest of a line. */
    GATHER = 96 * 1024,
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

/* A larger pipe is one that the two at its ends take turns at less often. */
static void widen(int fd, bool *wide)
{
    if (!*wide && fd >= 0)
        fcntl(fd, F_SETPIPE_SZ, 2 * CARRIER_BLOCK);
    *wide = true;
}

/* What one turn moves. */
static size_t pump_size(void)
{
    return carrier_is_here() ? CARRIER_BLOCK : PUMP;
}

/* Where the next bytes of an output go, and how many may. */
static size_t output_room(struct output *o, uint8_t **where)
{
    size_t window = carrier_is_here() ? CARRIER_WINDOW : WINDOW;
    if (o->ring.held >= window)
        return 0;
    return min_size(ring_space(&o->ring, where), window - o->ring.held);
}

static bool output_pump(struct process *p, struct output *o)
{
    if (!o->used || o->ended)
        return false;
    o->readable |= p->orphaned;
    if (carrier_is_here() && o->ring.held >= WINDOW / 2)
        widen(o->fd, &o->wide);
    for (size_t done = 0; o->readable && done < pump_size();) {
        uint8_t *where;
        size_t room = output_room(o, &where);
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
    if (p->state == PROCESS_EXITED ? in->fd >= 0 : in->fd < 0 && in->written != in->expected)
        input_end(p);
    for (size_t done = 0; in->fd >= 0 && in->writable && in->ring.held && done < pump_size();) {
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
    if (p->state == PROCESS_STARTING)
        return false;
    bool more = input_pump(p);
    more |= output_pump(p, &p->out);
    more |= output_pump(p, &p->err);
    return more;
}

/* What the host sends at offset of an input. */
struct piece {
    uint64_t offset;
    size_t size;
    bool fin;
};

static bool accepted_already(const struct input *in, const struct piece *piece)
{
    return piece->offset < in->expected && piece->size + piece->fin <= in->expected - piece->offset;
}

/* Whether a piece is the next one of its stream, and fits. */
static bool may_accept(const struct input *in, uint32_t stream, const struct piece *piece,
                       struct error *e)
{
    if (piece->offset != in->expected || in->fin)
        return fail(e, CODE_MALFORMED, 0, "DATA of stream ", DEC(stream), " at ",
                    DEC(piece->offset), ", expected ", DEC(in->expected), NULL);
    if (piece->size > CARRIER_WINDOW - in->ring.held)
        return fail(e, CODE_LIMIT, 0, "DATA of stream ", DEC(stream), " beyond the window", NULL);
    return true;
}

static bool is_taken(const struct process *p)
{
    return p->in.fd >= 0 || p->state == PROCESS_STARTING;
}

static void accept_piece(struct process *p, const struct piece *piece)
{
    p->in.expected += piece->size + piece->fin;
    p->in.fin = piece->fin;
    if (!is_taken(p))
        input_end(p);
}

static bool no_memory(uint32_t stream, struct error *e)
{
    return fail(e, CODE_SYSTEM, ENOMEM, "DATA of stream ", DEC(stream), NULL);
}

bool process_data(uint32_t stream, bool fin, const uint8_t *body, size_t size, struct error *e)
{
    struct process *p = process_find(stream / 4);
    if (size < DATA_HEADER || stream % 4)
        return fail(e, CODE_MALFORMED, 0, "malformed DATA of stream ", DEC(stream), NULL);
    if (!p)
        return true; /* reaped, or its start failed */
    struct piece piece = {get_u64(body), size - DATA_HEADER, fin};
    if (accepted_already(&p->in, &piece))
        return true;
    if (!may_accept(&p->in, stream, &piece, e))
        return false;
    if (is_taken(p) && !ring_append(&p->in.ring, body + DATA_HEADER, piece.size))
        return no_memory(stream, e);
    accept_piece(p, &piece);
    return true;
}

/* Reads a piece from the carrier into the ring: at once where its sectors fit. */
static bool take_carried(struct input *in, uint32_t stream, uint64_t place, size_t size,
                         struct error *e)
{
    uint8_t *where = NULL;
    size_t room = ring_space(&in->ring, &where);
    const uint8_t *data = carrier_read(place, size, where, room, e);
    if (!data)
        return false;
    widen(in->fd, &in->wide);
    if (data == where)
        ring_added(&in->ring, size);
    else if (!ring_append(&in->ring, data, size))
        return no_memory(stream, e);
    return true;
}

bool process_carried(uint32_t stream, bool fin, const uint8_t *body, size_t size, struct error *e)
{
    struct process *p = process_find(stream / 4);
    if (size != CARRIED_HEADER || stream % 4)
        return fail(e, CODE_MALFORMED, 0, "malformed CARRIED of stream ", DEC(stream), NULL);
    if (!p)
        return true;
    struct piece piece = {get_u64(body), get_u32(body + 16), fin};
    if (accepted_already(&p->in, &piece))
        return true;
    if (!may_accept(&p->in, stream, &piece, e))
        return false;
    if (is_taken(p) && !take_carried(&p->in, stream, get_u64(body + 8), piece.size, e)) {
        /* A gap would be taken for what was sent. */
        if (p->pid > 0)
            kill(p->pid, SIGKILL);
        input_end(p);
        return false;
    }
    accept_piece(p, &piece);
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
        return fail(e, CODE_MALFORMED, 0, "ACK of stream ", DEC(stream), NULL);
    if (offset < o->base && !o->paused)
        return true;
    uint64_t highest = o->paused ? output_sendable(o) : o->next;
    if (offset < o->base || offset > highest)
        return fail(e, CODE_MALFORMED, 0, "ACK of stream ", DEC(stream), " at ", DEC(offset),
                    ", held ", DEC(o->base), " to ", DEC(highest), NULL);
    carrier_acknowledged(stream, offset);
    ring_drop(&o->ring, min_size((size_t)(offset - o->base), o->ring.held));
    o->base = offset;
    if (o->paused)
        o->next = offset;
    o->paused = false;
    if (o->ended && !o->ring.held)
        ring_free(&o->ring);
    return true;
}

/* How much of this piece goes by the carrier: as one frame that says where it is; 0: none. */
static size_t carry(struct output *o, uint32_t stream, const uint8_t *where, size_t size,
                    struct tx *tx)
{
    uint64_t place;
    size_t carried = carrier_write(stream, o->next, where, size, &place);
    if (!carried)
        return 0;
    bool fin = o->ended && o->next + carried == o->end;
    uint8_t *body = tx_frame(tx, FRAME_CARRIED, fin ? FRAME_FIN : 0, stream, CARRIED_HEADER);
    if (!body)
        return 0; /* cannot be: TX_DATA is far below */
    put_u64(body, o->next);
    put_u64(body + 8, place);
    put_u32(body + 16, (uint32_t)carried);
    o->next += carried + fin;
    return carried;
}

/* Whether it is better to wait for more: the host has enough to do, and will acknowledge it. */
static bool gathers(const struct output *o)
{
    uint64_t unsent = o->end - o->next;
    return carrier_has_room() && !o->ended && unsent < CARRIER_BLOCK && o->next - o->base >= GATHER;
}

/* Sends what may be sent; returns whether there is more than room. */
static bool output_transmit(struct output *o, uint32_t stream, struct tx *tx)
{
    while (o->used && !o->paused && o->next < output_sendable(o) && !gathers(o)) {
        const uint8_t *where = NULL;
        if (tx_held(tx) >= TX_DATA)
            return true;
        size_t piece = ring_peek(&o->ring, (size_t)(o->next - o->base), &where);
        if (piece >= CARRIED_LEAST && carry(o, stream, where, piece, tx))
            continue;
        size_t size = min_size(piece, CHUNK);
        bool fin = o->ended && o->next + size == o->end;
        uint8_t *body = tx_frame(tx, FRAME_DATA, fin ? FRAME_FIN : 0, stream, DATA_HEADER + size);
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
    struct writer w;
    if (!tx_begin(tx, &w, FRAME_EVENT, 0, EVENT_SIZE))
        return false;
    write_u16(&w, EVENT_PROCESS_EXIT);
    write_u32(&w, p->id);
    write_u32(&w, p->exit_status);
    write_u32(&w, p->exit_signal);
    write_u8(&w, p->oom);
    write_u64(&w, p->exit_ns);
    return tx_end(tx, &w);
}

bool process_transmit(struct process *p, struct tx *tx)
{
    if (p->forsaken)
        return false;
    if (p->exit_due && exit_transmit(p, tx))
        p->exit_due = false;
    uint8_t *body = p->in.ack_due ? tx_frame(tx, FRAME_ACK, 0, p->id * 4, 8) : NULL;
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
    p->exit_due = p->state == PROCESS_EXITED;
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
