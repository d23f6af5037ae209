/* Large files past the page cache: under emulation each page that goes through it costs more than
 * the disk does, and a copy of a file is no reason to forget what programs read. */
#pragma once

#include "base.h"

enum {
    DIRECT_LEAST = 1024 * 1024, /* a file of less stays in the cache for whoever wants it next */
    DIRECT_PIECE = 512 * 1024,
};

/* A piece of a file's content, of whole pages. */
extern uint8_t direct_piece[DIRECT_PIECE];

/* Reads and writes of the open file go past the cache, if it is large and its file system can. */
void direct_begin(int fd, uint64_t size);

/* They go through the cache again. Returns whether they did not. */
bool direct_end(int fd);
