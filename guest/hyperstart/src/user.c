#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_ID = 0x7fffffff };

/* A piece of a line: not terminated. */
struct field {
    const char *at;
    size_t size;
};

static bool equal(struct field f, const char *text, size_t size)
{
    return f.size == size && memcmp(f.at, text, size) == 0;
}

/* Splits the line at *text into exactly count fields (the last one takes all that is left) and goes
 * on to the next line. Returns false at the end of the text; fields[0].size is 0 on lines of
 * another form. */
static bool next_line(const char **text, struct field *fields, size_t count)
{
    const char *at = *text;
    if (!*at)
        return false;
    const char *end = strchrnul(at, '\n');
    *text = *end ? end + 1 : end;
    for (size_t i = 0; i < count; i++) {
        size_t left = (size_t)(end - at);
        const char *colon = memchr(at, ':', left);
        bool last = i == count - 1;
        if (!last && !colon) {
            fields[0].size = 0;
            return true;
        }
        fields[i] = (struct field){at, last || !colon ? left : (size_t)(colon - at)};
        at += last ? 0 : fields[i].size + 1;
    }
    return true;
}

static bool field_id(struct field f, uint32_t *id)
{
    char text[16];
    uint64_t value;
    if (f.size >= sizeof text)
        return false;
    memcpy(text, f.at, f.size);
    text[f.size] = 0;
    if (!parse_decimal(text, MAX_ID, &value))
        return false;
    *id = (uint32_t)value;
    return true;
}

static bool add_group(struct user *u, uint32_t gid)
{
    for (size_t i = 0; i < u->group_count; i++)
        if (u->groups[i] == gid)
            return true;
    if (u->group_count == MAX_GROUPS)
        return false;
    u->groups[u->group_count++] = gid;
    return true;
}

/* Whether a comma-separated list has the name. */
static bool list_has(struct field list, struct field name)
{
    const char *at = list.at, *end = list.at + list.size;
    while (name.size && at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t size = (size_t)((comma ? comma : end) - at);
        if (equal(name, at, size))
            return true;
        at += size + 1;
    }
    return false;
}

/* Finds the line of passwd: by name, else by number. */
static bool find_user(struct user *u, struct field want, const char *passwd, struct field *name)
{
    struct field f[7];
    uint32_t id = 0, uid, gid;
    bool numeric = field_id(want, &id);
    for (int by_number = 0; by_number <= numeric; by_number++) {
        for (const char *text = passwd; next_line(&text, f, COUNT(f));) {
            if (!f[0].size || !field_id(f[2], &uid) || !field_id(f[3], &gid))
                continue;
            if (by_number ? uid != id : !equal(f[0], want.at, want.size))
                continue;
            u->uid = uid;
            u->gid = gid;
            *name = f[0];
            if (f[5].size && f[5].size < sizeof u->home) {
                memcpy(u->home, f[5].at, f[5].size);
                u->home[f[5].size] = 0;
            }
            return true;
        }
    }
    u->uid = id;
    return numeric;
}

static bool find_group(const char *want, size_t size, const char *group, uint32_t *gid)
{
    struct field f[4];
    for (const char *text = group; next_line(&text, f, COUNT(f));)
        if (f[0].size && equal(f[0], want, size) && field_id(f[2], gid))
            return true;
    return field_id((struct field){want, size}, gid);
}

static bool member_groups(struct user *u, struct field name, const char *group)
{
    struct field f[4];
    uint32_t gid;
    for (const char *text = group; next_line(&text, f, COUNT(f));)
        if (f[0].size && list_has(f[3], name) && field_id(f[2], &gid) && !add_group(u, gid))
            return false;
    return true;
}

bool user_resolve(struct user *u, const char *spec, const char **groups, size_t group_count,
                  const char *passwd, const char *group, struct error *e)
{
    *u = (struct user){.home = "/"};
    const char *colon = strchrnul(spec, ':');
    struct field want = {spec, (size_t)(colon - spec)}, name = {spec, 0};
    if (!want.size)
        want = (struct field){"0", 1};
    if (!find_user(u, want, passwd, &name))
        return fail(e, CODE_USER, 0, "unable to find user ", spec,
                    ": no matching entries in passwd file", NULL);
    if (*colon && colon[1] && !find_group(colon + 1, strlen(colon + 1), group, &u->gid))
        return fail(e, CODE_USER, 0, "unable to find group ", colon + 1,
                    ": no matching entries in group file", NULL);
    bool ok = add_group(u, u->gid) && (*colon || member_groups(u, name, group));
    for (size_t i = 0; ok && i < group_count; i++) {
        uint32_t gid;
        if (!find_group(groups[i], strlen(groups[i]), group, &gid))
            return fail(e, CODE_USER, 0, "unable to find group ", groups[i],
                        ": no matching entries in group file", NULL);
        ok = add_group(u, gid);
    }
    return ok || fail(e, CODE_LIMIT, 0, "user ", spec, " is in more than ", DEC(MAX_GROUPS),
                      " groups", NULL);
}

/* Reads a regular file of bounded size; one that is missing is empty. An image may have put
 * anything there: a FIFO must not block, a device must not be read. */
static char *read_accounts(const char *path, struct error *e)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat s = {0};
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENXIO) {
        fail(e, CODE_USER, errno, "read ", path, NULL);
        return NULL;
    }
    bool regular = fd >= 0 && !fstat(fd, &s) && S_ISREG(s.st_mode);
    if (regular && s.st_size > MAX_ACCOUNTS_FILE) {
        fail(e, CODE_USER, EFBIG, "read ", path, NULL);
        return NULL;
    }
    size_t size = regular ? (size_t)s.st_size : 0, used = 0;
    char *text = malloc(size + 1);
    if (!text) {
        fail(e, CODE_SYSTEM, ENOMEM, "read ", path, NULL);
        return NULL;
    }
    for (ssize_t n; used < size && (n = read(fd, text + used, size - used)) > 0;)
        used += (size_t)n;
    text[used] = 0;
    return text;
}

bool user_lookup(struct user *u, const char *spec, const char **groups, size_t group_count,
                 struct error *e)
{
    _cleanup_free_ char *passwd = read_accounts("/etc/passwd", e);
    _cleanup_free_ char *group = passwd ? read_accounts("/etc/group", e) : NULL;
    return group && user_resolve(u, spec, groups, group_count, passwd, group, e);
}
