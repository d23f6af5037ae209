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

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t size)
{
    put_u32(at, (uint32_t)size);
    if (size)
        memcpy(at + 4, data, size);
    return at + 4 + size;
}

size_t entry_encode(const struct entry *e, uint8_t *to, size_t room)
{
    size_t path = strlen(e->path), link = strlen(e->link);
    size_t need = 4 + path + 1 + 3 * 4 + 2 * 8 + 2 * 4 + 4 + link + 4;
    for (uint32_t i = 0; i < e->xattr_count; i++)
        need += 8 + strlen(e->xattrs[i].name) + e->xattrs[i].size;
    if (need > room)
        return 0;
    uint8_t *at = put_bytes(to, e->path, path);
    at[0] = e->type;
    put_u32(at + 1, e->mode);
    put_u32(at + 5, e->uid);
    put_u32(at + 9, e->gid);
    put_u64(at + 13, e->mtime);
    put_u64(at + 21, e->size);
    put_u32(at + 29, e->major);
    put_u32(at + 33, e->minor);
    at = put_bytes(at + 37, e->link, link);
    put_u32(at, e->xattr_count);
    at += 4;
    for (uint32_t i = 0; i < e->xattr_count; i++) {
        at = put_bytes(at, e->xattrs[i].name, strlen(e->xattrs[i].name));
        at = put_bytes(at, e->xattrs[i].value, e->xattrs[i].size);
    }
    return need;
}

bool record_header(const uint8_t header[RECORD_HEADER], enum record_kind *kind, size_t *size)
{
    *kind = (enum record_kind)header[0];
    *size = get_u32(header + 1);
    return header[0] >= RECORD_STAT && header[0] <= RECORD_ERROR && *size <= MAX_RECORD;
}
