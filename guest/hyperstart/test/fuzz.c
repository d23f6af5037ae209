/* libFuzzer: whatever the host's stream holds, decoding it must not step outside its memory.
 * The first byte says in which pieces the rest arrives. */
#include <string.h>

#include "frame.h"
#include "record.h"
#include "request.h"
#include "source.h"
#include "user.h"

static void one_request(const struct frame *f)
{
    struct error e = {0};
    struct request q;
    uint8_t *body = malloc(f->length ? f->length : 1);
    memcpy(body, f->body, f->length);
    bool good = request_decode(&q, f->stream, body, f->length, &e);
    if (good != (e.code == CODE_OK) || (!good && !*e.text))
        abort();
    request_free(&q);
}

static void one_frame(const struct frame *f)
{
    struct hello h;
    if (f->type == FRAME_REQUEST)
        one_request(f);
    if (f->type == FRAME_HELLO)
        hello_decode(&h, f->body, f->length);
}

static void frames(const uint8_t *data, size_t size, size_t piece)
{
    static struct decoder d;
    struct frame f;
    memset(&d, 0, offsetof(struct decoder, buffer));
    while (size) {
        uint8_t *where;
        size_t n = min_size(min_size(decoder_space(&d, &where), size), piece);
        if (!n)
            abort();
        memcpy(where, data, n);
        decoder_filled(&d, n);
        data += n;
        size -= n;
        for (enum decoded got; (got = decoder_next(&d, &f)) != DECODED_NOTHING;)
            if (got == DECODED_FRAME)
                one_frame(&f);
    }
}

/* What a builtin reads: each body in memory of its own. What is taken is written the same again. */
static void records(const uint8_t *data, size_t size)
{
    static struct entry f;
    static uint8_t again[MAX_RECORD];
    enum record_kind kind;
    size_t length;
    while (size >= RECORD_HEADER && record_header(data, &kind, &length)) {
        data += RECORD_HEADER;
        size -= RECORD_HEADER;
        if (length > size)
            return;
        uint8_t *body = malloc(length ? length : 1);
        memcpy(body, data, length);
        if (kind == RECORD_ENTRY && entry_decode(&f, body, length) &&
            (entry_encode(&f, again, sizeof again) != length || memcmp(again, data, length)))
            abort();
        free(body);
        data += length;
        size -= length;
    }
}

/* The string that says where a mount comes from, after its flags: all it is taken apart into is in
 * it. */
static void source(const uint8_t *data, size_t size)
{
    struct mount_source s;
    if (size < 4)
        return;
    char *text = strndup((const char *)data + 4, size - 4);
    size_t whole = strlen(text);
    if (source_decode(&s, text, get_u32(data)) &&
        strlen(s.name) + strlen(s.path) + strlen(s.sub) > whole + 1)
        abort();
    free(text);
}

static void users(const uint8_t *data, size_t size)
{
    static struct user u;
    struct error e;
    size_t half = size / 2;
    char *passwd = strndup((const char *)data, half);
    char *group = strndup((const char *)data + half, size - half);
    const char *more[] = {"video"};
    user_resolve(&u, "www:video", more, 1, passwd, group, &e);
    user_resolve(&u, "33", NULL, 0, passwd, group, &e);
    if (strnlen(u.home, sizeof u.home) == sizeof u.home)
        abort();
    free(passwd);
    free(group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    frames(data + 1, size - 1, data[0] ? data[0] * (size_t)17 : 1 << 20);
    if (data[0] == 1)
        users(data + 1, size - 1);
    if (data[0] == 2)
        records(data + 1, size - 1);
    if (data[0] == 4)
        source(data + 1, size - 1);
    return 0;
}
