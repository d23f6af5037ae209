#include "tx.h"

#include <errno.h>
#include <string.h>

uint8_t *tx_frame(struct tx *t, enum frame_type type, uint8_t flags, uint32_t stream, size_t length)
{
    size_t size = HEADER_SIZE + length + 1;
    if (t->start == t->end)
        t->start = t->end = 0;
    if (TX_SIZE - t->end < size && t->start) {
        memmove(t->buffer, t->buffer + t->start, t->end - t->start);
        t->end -= t->start;
        t->start = 0;
    }
    if (length > MAX_BODY || TX_SIZE - t->end < size)
        return NULL;
    uint8_t *at = t->buffer + t->end;
    frame_header(at, type, flags, stream, (uint32_t)length);
    at[size - 1] = END_BYTE;
    t->end += size;
    return at + HEADER_SIZE;
}

bool tx_begin(struct tx *t, struct writer *w, enum frame_type type, uint32_t stream, size_t most)
{
    uint8_t *body = tx_frame(t, type, 0, stream, most);
    if (!body)
        return false;
    *w = (struct writer){.at = body, .end = body + most};
    t->begun = (size_t)(body - t->buffer);
    return true;
}

bool tx_end(struct tx *t, const struct writer *w)
{
    uint8_t *body = t->buffer + t->begun;
    size_t length = (size_t)(w->at - body);
    t->end = t->begun - HEADER_SIZE;
    if (w->bad)
        return false;
    frame_length(body - HEADER_SIZE, (uint32_t)length);
    body[length] = END_BYTE;
    t->end = t->begun + length + 1;
    return true;
}

bool tx_flush(struct tx *t, int fd)
{
    while (t->start < t->end) {
        ssize_t n = write(fd, t->buffer + t->start, t->end - t->start);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        t->start += (size_t)n;
    }
    return true;
}
