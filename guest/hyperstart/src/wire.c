#include "wire.h"

#include <string.h>

struct arena_block {
    struct arena_block *next;
    _Alignas(16) uint8_t memory[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_block *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->next = a->blocks;
    a->blocks = block;
    return block->memory;
}

void arena_free(struct arena *a)
{
    for (struct arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    a->blocks = NULL;
}

uint8_t *write_raw(struct writer *w, size_t size)
{
    if (w->bad || (size_t)(w->end - w->at) < size) {
        w->bad = true;
        return NULL;
    }
    w->at += size;
    return w->at - size;
}

void write_u8(struct writer *w, uint8_t value)
{
    uint8_t *p = write_raw(w, 1);
    if (p)
        *p = value;
}

void write_u16(struct writer *w, uint16_t value)
{
    uint8_t *p = write_raw(w, 2);
    if (p)
        put_u16(p, value);
}

void write_u32(struct writer *w, uint32_t value)
{
    uint8_t *p = write_raw(w, 4);
    if (p)
        put_u32(p, value);
}

void write_u64(struct writer *w, uint64_t value)
{
    uint8_t *p = write_raw(w, 8);
    if (p)
        put_u64(p, value);
}

void write_bytes(struct writer *w, const void *data, size_t size)
{
    write_u32(w, (uint32_t)size);
    uint8_t *p = write_raw(w, size);
    if (p && size)
        memcpy(p, data, size);
}

void write_str(struct writer *w, const char *text)
{
    write_bytes(w, text, strlen(text));
}

const uint8_t *read_raw(struct reader *r, size_t size)
{
    if (r->bad || (size_t)(r->end - r->at) < size) {
        r->bad = true;
        return NULL;
    }
    r->at += size;
    return r->at - size;
}

uint8_t read_u8(struct reader *r)
{
    const uint8_t *p = read_raw(r, 1);
    return p ? *p : 0;
}

uint16_t read_u16(struct reader *r)
{
    const uint8_t *p = read_raw(r, 2);
    return p ? get_u16(p) : 0;
}

uint32_t read_u32(struct reader *r)
{
    const uint8_t *p = read_raw(r, 4);
    return p ? get_u32(p) : 0;
}

uint64_t read_u64(struct reader *r)
{
    const uint8_t *p = read_raw(r, 8);
    return p ? get_u64(p) : 0;
}

const char *read_str(struct reader *r)
{
    uint32_t size = read_u32(r);
    uint8_t *at = r->at;
    if (size > MAX_STR || !read_raw(r, size) || memchr(at, 0, size)) {
        r->bad = true;
        return "";
    }
    /* The length has been read: its last byte makes room for the terminator. */
    memmove(at - 1, at, size);
    (at - 1)[size] = 0;
    return (const char *)at - 1;
}

const uint8_t *read_bytes(struct reader *r, size_t *size)
{
    *size = read_u32(r);
    const uint8_t *p = read_raw(r, *size);
    if (!p)
        *size = 0;
    return p;
}

void *read_list(struct reader *r, size_t item_size, size_t least, uint32_t max, uint32_t *count)
{
    uint32_t n = read_u32(r);
    *count = 0;
    if (n > max || n > (size_t)(r->end - r->at) / least)
        r->bad = true;
    void *items = arena_alloc(r->arena, r->bad ? item_size : (n + (size_t)1) * item_size);
    if (!items)
        r->bad = r->no_memory = true;
    else if (!r->bad)
        *count = n;
    return items;
}

const char **read_strs(struct reader *r, uint32_t max, uint32_t *count)
{
    const char **items = read_list(r, sizeof *items, 4, max, count);
    for (uint32_t i = 0; i < *count; i++)
        items[i] = read_str(r);
    return items;
}

bool read_end(struct reader *r)
{
    if (r->at != r->end)
        r->bad = true;
    return !r->bad;
}
