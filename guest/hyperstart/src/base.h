/* What every file needs: cleanup attributes, errors, bounded text, small files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "limits.h"

/* Codes of a REPLY (docs/protocol.md, "Replies and events"). */
enum code {
    CODE_OK = 0,
    CODE_MALFORMED = 1,
    CODE_UNKNOWN_OP = 2,
    CODE_NO_SUCH = 3,
    CODE_EXISTS = 4,
    CODE_LIMIT = 5,
    CODE_MOUNT = 6,
    CODE_NETWORK = 7,
    CODE_USER = 8,
    CODE_CWD = 9,
    CODE_NOT_FOUND = 10,
    CODE_NOT_EXECUTABLE = 11,
    CODE_STATE = 12,
    CODE_SYSTEM = 13,
};

/* Why a request failed. Functions that can fail return false and have filled one in. */
struct error {
    uint16_t code;
    uint16_t err; /* errno, or 0 */
    char text[MAX_TEXT + 1];
};

/* Fills in e from the strings that follow, up to a NULL; ": " and errno's words are added if err is
 * not 0. Cut to MAX_TEXT. Always returns false. */
bool fail(struct error *e, enum code code, int err, ...) __attribute__((sentinel));

/* Appends src to dst, which holds size bytes; cuts rather than overflows. dst stays terminated. */
void append(char *dst, size_t size, const char *src);

/* Fills dst with the strings that follow, up to a NULL. False (and dst empty) if they do not fit.
 */
bool join(char *dst, size_t size, ...) __attribute__((sentinel));

struct decimal {
    char text[24];
};
struct decimal decimal(uint64_t value);
#define DEC(value) (decimal((uint64_t)(value)).text)

/* Parses a decimal number that fills text up to its end; false if it is none or above max. */
bool parse_decimal(const char *text, uint64_t max, uint64_t *value);

static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
static inline void free_pointer(void *p)
{
    free(*(void **)p);
}
#define _cleanup_close_ __attribute__((cleanup(close_fd)))
#define _cleanup_free_ __attribute__((cleanup(free_pointer)))

/* Takes the descriptor out of its variable, so that cleanup leaves it alone. */
static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Nanoseconds of a clock. */
uint64_t now_ns(int clock);

/* Writes all of text to an existing file such as those of /proc. Sets errno. */
bool write_file(const char *path, const char *text);

/* Reads at most size - 1 bytes of a file and terminates them; -1 and errno if that fails. */
ssize_t read_file(const char *path, char *buffer, size_t size);
