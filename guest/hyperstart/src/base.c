#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

void append(char *dst, size_t size, const char *src)
{
    size_t used = strnlen(dst, size);
    if (used >= size)
        return;
    size_t count = min_size(strlen(src), size - used - 1);
    memcpy(dst + used, src, count);
    dst[used + count] = 0;
}

/* What err means, in the small letters that Docker's clients know from Go; but for those from which
 * its command line takes it that a program is not there or cannot be run. */
static void append_reason(char *dst, size_t size, int err)
{
    const char *reason = strerror(err);
    char first[2] = {reason[0], 0};
    bool word = reason[0] && reason[1] >= 'a' && reason[1] <= 'z' && /* not "I/O error" */
                err != ENOENT && err != EACCES && err != EISDIR;
    if (word && first[0] >= 'A' && first[0] <= 'Z')
        first[0] = (char)(first[0] | ' ');
    append(dst, size, first);
    append(dst, size, reason[0] ? reason + 1 : reason);
}

bool fail(struct error *e, enum code code, int err, ...)
{
    e->code = (uint16_t)code;
    e->err = (uint16_t)err;
    e->text[0] = 0;
    va_list parts;
    va_start(parts, err);
    for (const char *part; (part = va_arg(parts, const char *));)
        append(e->text, sizeof e->text, part);
    va_end(parts);
    if (err) {
        append(e->text, sizeof e->text, ": ");
        append_reason(e->text, sizeof e->text, err);
    }
    return false;
}

bool join(char *dst, size_t size, ...)
{
    size_t used = 0;
    bool fits = true;
    va_list parts;
    va_start(parts, size);
    for (const char *part; fits && (part = va_arg(parts, const char *));) {
        size_t count = strlen(part);
        fits = count < size - used;
        if (fits)
            memcpy(dst + used, part, count);
        used += count;
    }
    va_end(parts);
    dst[fits ? used : 0] = 0;
    return fits;
}

struct decimal decimal(uint64_t value)
{
    struct decimal d;
    char *at = d.text + sizeof d.text - 1;
    *at = 0;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    memmove(d.text, at, strlen(at) + 1);
    return d;
}

bool parse_decimal(const char *text, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > max || sum > (max - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

uint64_t now_ns(int clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool write_file(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t size = strlen(text);
    ssize_t n = write(fd, text, size);
    if (n >= 0 && (size_t)n != size)
        errno = EIO;
    return n == (ssize_t)size;
}

ssize_t read_file(const char *path, char *buffer, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t used = 0;
    while (used < size - 1) {
        ssize_t n = read(fd, buffer + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    buffer[used] = 0;
    return (ssize_t)used;
}
