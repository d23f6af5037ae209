/* Values inside bodies: integers, strings, lists. Pure. */
#pragma once

#include "base.h"

static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t get_u64(const uint8_t *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}
static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, (uint16_t)v);
    put_u16(p + 2, (uint16_t)(v >> 16));
}
static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Memory that lives as long as the message decoded into it. */
struct arena {
    struct arena_block *blocks;
};
void *arena_alloc(struct arena *a, size_t size); /* zeroed; NULL if there is none */
void arena_free(struct arena *a);

/* Puts values into a body, from at to end. After the first one for which there is no room bad is
 * set and nothing is put any more. */
struct writer {
    uint8_t *at, *end;
    bool bad;
};

uint8_t *write_raw(struct writer *w, size_t size); /* room for so many bytes; NULL if bad */
void write_u8(struct writer *w, uint8_t value);
void write_u16(struct writer *w, uint16_t value);
void write_u32(struct writer *w, uint32_t value);
void write_u64(struct writer *w, uint64_t value);
void write_bytes(struct writer *w, const void *data, size_t size); /* with their length before */
void write_str(struct writer *w, const char *text);

/* Takes values from a body. After the first malformed one bad is set and everything reads as 0 or
 * "". */
struct reader {
    uint8_t *at, *end;
    struct arena *arena; /* for lists */
    bool bad;
    bool no_memory;
};

uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
const uint8_t *read_raw(struct reader *r, size_t size); /* NULL if bad */

/* Returns a terminated string. It is terminated in place: the body is changed. */
const char *read_str(struct reader *r);
const uint8_t *read_bytes(struct reader *r, size_t *size);

/* Takes a list's count and returns zeroed memory for that many items of item_size bytes and one
 * more. least is the fewest bytes an item takes in the body, max the longest list allowed. */
void *read_list(struct reader *r, size_t item_size, size_t least, uint32_t max, uint32_t *count);
const char **read_strs(struct reader *r, uint32_t max, uint32_t *count);

/* Whether everything was well-formed and nothing is left. */
bool read_end(struct reader *r);
