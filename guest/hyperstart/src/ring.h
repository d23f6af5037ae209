/* A ring of CARRIER_WINDOW bytes; its memory comes with the first byte and goes with ring_free. */
#pragma once

#include "base.h"

struct ring {
    uint8_t *memory;
    uint32_t head; /* place of the oldest byte */
    uint32_t held;
};

/* Where the next bytes go, in one piece; 0 if the ring is full or there is no memory. */
size_t ring_space(struct ring *r, uint8_t **where);
void ring_added(struct ring *r, size_t count);

/* Copies data in; false if it does not all fit. */
bool ring_append(struct ring *r, const uint8_t *data, size_t size);

/* The bytes from at on (counted from the oldest), in one piece; 0 if there are none. */
size_t ring_peek(const struct ring *r, size_t at, const uint8_t **where);
void ring_drop(struct ring *r, size_t count);
void ring_free(struct ring *r);
