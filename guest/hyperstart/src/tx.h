/* What is waiting to be written to the host. */
#pragma once

#include "base.h"

enum {
    TX_SIZE = 192 * 1024,
    TX_DATA = 64 * 1024,         /* streams may fill so much */
    TX_CONTROL = TX_SIZE - 8192, /* above it no further request is taken */
};

/* Bytes for the host, in [start, end). */
struct tx {
    size_t start, end;
    uint8_t buffer[TX_SIZE];
};

static inline size_t tx_held(const struct tx *t)
{
    return t->end - t->start;
}

/* Begins a frame with so long a body and returns where the body goes, with END_BYTE already behind
 * it; NULL if there is no room. */
uint8_t *tx_frame(struct tx *t, uint8_t type, uint8_t flags, uint32_t stream, size_t length);

/* Writes until nothing is left (true) or the port takes no more (false). */
bool tx_flush(struct tx *t, int fd);
