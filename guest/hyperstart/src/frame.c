#include "frame.h"

#include <string.h>

#include "wire.h"

static const uint8_t allowed_flags[] = {
    [FRAME_HELLO] = 0,           [FRAME_REQUEST] = FRAME_MORE, [FRAME_REPLY] = 0,
    [FRAME_EVENT] = 0,           [FRAME_DATA] = FRAME_FIN,     [FRAME_ACK] = 0,
    [FRAME_CARRIED] = FRAME_FIN,
};

size_t decoder_space(struct decoder *d, uint8_t **where)
{
    if (d->start == d->end)
        d->start = d->end = 0;
    if (d->start && DECODER_SIZE - d->end < DECODER_SIZE / 2) {
        memmove(d->buffer, d->buffer + d->start, d->end - d->start);
        d->end -= d->start;
        d->start = 0;
    }
    *where = d->buffer + d->end;
    return DECODER_SIZE - d->end;
}

void decoder_filled(struct decoder *d, size_t count)
{
    d->end += count;
}

static void skip_padding(struct decoder *d)
{
    while (d->start < d->end && !d->buffer[d->start])
        d->start++;
}

/* Skips to the end of RESYNC zeros in a row; returns whether they have come. */
static bool find_again(struct decoder *d)
{
    while (d->start < d->end && d->zeros < RESYNC)
        d->zeros = d->buffer[d->start++] ? 0 : d->zeros + 1;
    d->lost = d->zeros < RESYNC;
    return !d->lost;
}

static enum decoded refuse(struct decoder *d, size_t used)
{
    /* The zeros of RESYNC may have begun inside the header that was refused. */
    d->zeros = 0;
    while (d->zeros < used && !d->buffer[d->start + used - 1 - d->zeros])
        d->zeros++;
    d->start += used;
    d->lost = true;
    return DECODED_REFUSED;
}

static bool header_allowed(const uint8_t *h)
{
    uint8_t type = h[0];
    return type >= FRAME_HELLO && type <= FRAME_CARRIED && !(h[1] & ~allowed_flags[type]) &&
           !get_u16(h + 2) && get_u32(h + 8) <= MAX_BODY;
}

static bool stream_allowed(const struct frame *f)
{
    if (f->type == FRAME_HELLO || f->type == FRAME_EVENT)
        return f->stream == 0;
    if (f->type == FRAME_REQUEST || f->type == FRAME_REPLY)
        return f->stream != 0;
    return true;
}

enum decoded decoder_next(struct decoder *d, struct frame *frame)
{
    for (;;) {
        if (d->lost && !find_again(d))
            return DECODED_NOTHING;
        skip_padding(d);
        size_t held = d->end - d->start;
        uint8_t *h = d->buffer + d->start;
        if (held < HEADER_SIZE)
            return DECODED_NOTHING;
        if (!header_allowed(h))
            return refuse(d, HEADER_SIZE);
        *frame = (struct frame){(enum frame_type)h[0], h[1], get_u32(h + 4), get_u32(h + 8),
                                h + HEADER_SIZE};
        size_t size = HEADER_SIZE + (size_t)frame->length + 1;
        if (held < size)
            return DECODED_NOTHING;
        uint8_t end = h[size - 1];
        if (end && (end != END_BYTE || !stream_allowed(frame)))
            return refuse(d, size);
        d->start += size;
        if (end)
            return DECODED_FRAME;
    }
}

void decoder_lose(struct decoder *d)
{
    d->zeros = 0;
    d->lost = true;
}

void frame_length(uint8_t *header, uint32_t length)
{
    put_u32(header + 8, length);
}

void frame_header(uint8_t *to, enum frame_type type, uint8_t flags, uint32_t stream,
                  uint32_t length)
{
    to[0] = (uint8_t)type;
    to[1] = flags;
    put_u16(to + 2, 0);
    put_u32(to + 4, stream);
    frame_length(to, length);
}
