/* The carrier: a disk that takes the payload of streams past the port, which moves 4 KiB at a time
 * (docs/protocol.md, "The carrier"). Its blocks are read and written without the page cache. */
#pragma once

#include "base.h"

/* Uses fd, owned from now on, as the carrier; path is the device's, or "". */
void carrier_use(int fd, const char *path);

/* There is none any more. Returns the path of its device, "" if there was none. */
const char *carrier_drop(void);

bool carrier_is_here(void);

/* Whether a block is free to be written. */
bool carrier_has_room(void);

/* Reads size bytes that the host has put at place. They go to where if they fit there with all of
 * their sectors (room bytes), else to a buffer that is good until the next call; NULL with an error
 * filled in if they cannot be read. */
const uint8_t *carrier_read(uint64_t place, size_t size, uint8_t *where, size_t room,
                            struct error *e);

/* Writes data, the bytes of stream from offset on, into a free block, which stays the stream's
 * until they are acknowledged. data lies in whole sectors of memory that may be read. Returns how
 * many bytes went there, and place; 0 if no block is free or the disk is broken. */
size_t carrier_write(uint32_t stream, uint64_t offset, const uint8_t *data, size_t size,
                     uint64_t *place);

/* The host has taken over everything of stream before offset. */
void carrier_acknowledged(uint32_t stream, uint64_t offset);
