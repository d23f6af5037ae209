/* What is waiting to be written to the host. */
#pragma once

#include "frame.h"
#include "wire.h"

enum {
    TX_SIZE = 192 * 1024,
    TX_DATA = 64 * 1024,         /* streams may fill so much */
    TX_CONTROL = TX_SIZE - 8192, /* above it no further request is taken */
};

/* Events, and the longest body of one. */
enum event { EVENT_PROCESS_EXIT = 1, EVENT_GUEST_ERROR = 2, EVENT_OOM_KILL = 3 };
enum { EVENT_SIZE = 2 + 4 + MAX_TEXT };

/* Bytes for the host, in [start, end). */
struct tx {
    size_t start, end;
    size_t begun; /* where the body of the frame begun last is */
    uint8_t buffer[TX_SIZE];
};

static inline size_t tx_held(const struct tx *t)
{
    return t->end - t->start;
}

/* Begins a frame with so long a body and returns where the body goes, with END_BYTE already behind
 * it; NULL if there is no room. */
uint8_t *tx_frame(struct tx *t, enum frame_type type, uint8_t flags, uint32_t stream,
                  size_t length);

/* Begins a frame whose body is what the writer is given until tx_end, at most so much; false if
 * there is no room for that. */
bool tx_begin(struct tx *t, struct writer *w, enum frame_type type, uint32_t stream, size_t most);

/* The frame begun last is complete, as long as what was written. Had that not fitted, there is
 * none, and false is returned. */
bool tx_end(struct tx *t, const struct writer *w);

/* Writes until nothing is left (true) or the port takes no more (false). */
bool tx_flush(struct tx *t, int fd);
