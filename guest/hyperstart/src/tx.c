#include "tx.h"

#include <errno.h>
#include <string.h>

#include "frame.h"

uint8_t *tx_frame(struct tx *t, uint8_t type, uint8_t flags, uint32_t stream, size_t length)
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
