#include "record.h"

#include <string.h>

#include "wire.h"

/* Whether path is relative, without "." or ".." and with no part empty or too long. */
static bool is_inner(const char *path)
{
    size_t total = strlen(path);
    if (total > MAX_ENTRY_PATH)
        return false;
    for (const char *at = path;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || size > MAX_ENTRY_NAME || (size == 1 && *at == '.') ||
            (size == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += size;
        if (!*at)
            return true;
    }
}

static bool is_sound(const struct entry *e)
{
    size_t link = strlen(e->link);
    bool device = e->type == ENTRY_CHARACTER || e->type == ENTRY_BLOCK;
    if (e->type < ENTRY_FILE || e->type > ENTRY_FIFO || e->mode & ~07777U)
        return false;
    if (*e->path && !is_inner(e->path))
        return false;
    if (e->type == ENTRY_HARD_LINK ? !is_inner(e->link)
                                   : (link != 0) != (e->type == ENTRY_LINK) || link > MAX_LINK)
        return false;
    return (!e->size || e->type == ENTRY_FILE) && ((!e->major && !e->minor) || device);
}

static void read_xattrs(struct reader *r, struct entry *e)
{
    uint32_t count = read_u32(r);
    r->bad |= count > MAX_XATTRS;
    size_t total = 0;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct xattr *x = &e->xattrs[i];
        x->name = read_str(r);
        x->value = read_bytes(r, &x->size);
        size_t name = strlen(x->name);
        total += name + x->size;
        r->bad |= !name || name > MAX_ENTRY_NAME || total > MAX_XATTR_BYTES;
    }
    e->xattr_count = r->bad ? 0 : count;
}

bool entry_decode(struct entry *e, uint8_t *body, size_t size)
{
    struct reader r = {.at = body, .end = body + size};
    e->path = read_str(&r);
    e->type = read_u8(&r);
    e->mode = read_u32(&r);
    e->uid = read_u32(&r);
    e->gid = read_u32(&r);
    e->mtime = read_u64(&r);
    e->size = read_u64(&r);
    e->major = read_u32(&r);
    e->minor = read_u32(&r);
    e->link = read_str(&r);
    read_xattrs(&r, e);
    return read_end(&r) && is_sound(e) && e->size <= INT64_MAX;
}

size_t entry_encode(const struct entry *e, uint8_t *to, size_t room)
{
    struct writer w = {.at = to, .end = to + room};
    write_str(&w, e->path);
    write_u8(&w, e->type);
    write_u32(&w, e->mode);
    write_u32(&w, e->uid);
    write_u32(&w, e->gid);
    write_u64(&w, e->mtime);
    write_u64(&w, e->size);
    write_u32(&w, e->major);
    write_u32(&w, e->minor);
    write_str(&w, e->link);
    write_u32(&w, e->xattr_count);
    for (uint32_t i = 0; i < e->xattr_count; i++) {
        write_str(&w, e->xattrs[i].name);
        write_bytes(&w, e->xattrs[i].value, e->xattrs[i].size);
    }
    return w.bad ? 0 : (size_t)(w.at - to);
}

bool record_header(const uint8_t header[RECORD_HEADER], enum record_kind *kind, size_t *size)
{
    *kind = (enum record_kind)header[0];
    *size = get_u32(header + 1);
    return header[0] >= RECORD_STAT && header[0] <= RECORD_ERROR && *size <= MAX_RECORD;
}
