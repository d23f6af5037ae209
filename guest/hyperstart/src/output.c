#include "output.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>

#include "direct.h"
#include "wire.h"

enum { KEPT = 64 * 1024, PIECE = 1 << 20 };

static uint8_t buffer[KEPT + RECORD_HEADER + MAX_RECORD];
static size_t held;

static void write_all(const uint8_t *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(1, data + done, size - done);
        if (n < 0 && errno != EINTR)
            _exit(1); /* nobody listens */
        if (n > 0)
            done += (size_t)n;
    }
}

static void flush(void)
{
    write_all(buffer, held);
    held = 0;
}

/* Where the body of the next record goes; there is room for the longest. */
static uint8_t *body(void)
{
    if (held >= KEPT)
        flush();
    return buffer + held + RECORD_HEADER;
}

static struct writer begin(void)
{
    uint8_t *at = body();
    return (struct writer){.at = at, .end = at + MAX_RECORD};
}

static void finish(enum record_kind kind, size_t size)
{
    buffer[held] = (uint8_t)kind;
    put_u32(buffer + held + 1, (uint32_t)size);
    held += RECORD_HEADER + size;
}

static void end(enum record_kind kind, const struct writer *w)
{
    finish(kind, (size_t)(w->at - buffer) - held - RECORD_HEADER);
}

void output_stat(const struct stat *s, const char *link)
{
    struct writer w = begin();
    write_u32(&w, s->st_mode);
    write_u64(&w, (uint64_t)s->st_size);
    write_u64(&w, (uint64_t)s->st_mtim.tv_sec);
    write_u32(&w, (uint32_t)s->st_mtim.tv_nsec);
    write_str(&w, link);
    end(RECORD_STAT, &w);
}

bool output_entry(const struct entry *e)
{
    size_t size = entry_encode(e, body(), MAX_RECORD);
    if (size)
        finish(RECORD_ENTRY, size);
    return size != 0;
}

static void output_zeros(uint64_t count)
{
    while (count) {
        size_t n = count < PIECE / 16 ? (size_t)count : PIECE / 16;
        memset(body() - RECORD_HEADER, 0, n);
        held += n;
        count -= n;
    }
}

/* Pieces of a large file that are read past the cache; what is left then. */
static uint64_t output_direct(int fd, uint64_t size)
{
    flush();
    direct_begin(fd, size);
    for (ssize_t n; size >= DIRECT_PIECE; size -= (uint64_t)n) {
        n = read(fd, direct_piece, DIRECT_PIECE);
        if (n <= 0)
            break; /* not so here, or it has become shorter: as the others */
        write_all(direct_piece, (size_t)n);
    }
    direct_end(fd);
    return size;
}

/* Small files are read into the buffer, others go from file to pipe by themselves. */
void output_content(int fd, uint64_t size)
{
    if (size >= DIRECT_LEAST)
        size = output_direct(fd, size);
    while (size) {
        ssize_t n;
        if (size <= KEPT / 4) {
            n = read(fd, body() - RECORD_HEADER, (size_t)size);
            held += n > 0 ? (size_t)n : 0;
        } else {
            flush();
            n = sendfile(1, fd, NULL, size < PIECE ? (size_t)size : PIECE);
        }
        if (n < 0 && errno != EINTR)
            _exit(1); /* nothing can be said in the middle of a content: the end is missing */
        if (n == 0)   /* it has become shorter */
            break;
        size -= n > 0 ? (uint64_t)n : 0;
    }
    output_zeros(size);
}

void output_change(uint8_t kind, const char *path)
{
    struct writer w = begin();
    write_u8(&w, kind);
    write_str(&w, path);
    end(RECORD_CHANGE, &w);
}

void output_error(const struct error *e)
{
    struct writer w = begin();
    write_u16(&w, e->code);
    write_u16(&w, e->err);
    write_str(&w, e->text);
    end(RECORD_ERROR, &w);
    flush();
}

void output_end(void)
{
    body();
    finish(RECORD_END, 0);
    flush();
}
