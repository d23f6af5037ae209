#include "ring.h"

#include <string.h>
#include <sys/mman.h>

static bool ring_memory(struct ring *r)
{
    if (r->memory)
        return true;
    void *p =
        mmap(NULL, CARRIER_WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    r->memory = p;
    return true;
}

size_t ring_space(struct ring *r, uint8_t **where)
{
    if (r->held == CARRIER_WINDOW || !ring_memory(r))
        return 0;
    uint32_t tail = (r->head + r->held) % CARRIER_WINDOW;
    *where = r->memory + tail;
    return min_size(CARRIER_WINDOW - r->held, CARRIER_WINDOW - tail);
}

void ring_added(struct ring *r, size_t count)
{
    r->held += (uint32_t)count;
}

bool ring_append(struct ring *r, const uint8_t *data, size_t size)
{
    if (size > CARRIER_WINDOW - r->held || (size && !ring_memory(r)))
        return false;
    while (size) {
        uint8_t *where;
        size_t n = min_size(ring_space(r, &where), size);
        memcpy(where, data, n);
        ring_added(r, n);
        data += n;
        size -= n;
    }
    return true;
}

size_t ring_peek(const struct ring *r, size_t at, const uint8_t **where)
{
    if (at >= r->held)
        return 0;
    size_t place = (r->head + at) % CARRIER_WINDOW;
    *where = r->memory + place;
    return min_size(r->held - at, CARRIER_WINDOW - place);
}

void ring_drop(struct ring *r, size_t count)
{
    r->held -= (uint32_t)count;
    r->head = (r->head + (uint32_t)count) % CARRIER_WINDOW;
    if (!r->held)
        r->head = 0; /* small traffic stays on few pages */
}

void ring_free(struct ring *r)
{
    if (r->memory)
        munmap(r->memory, CARRIER_WINDOW);
    *r = (struct ring){0};
}
