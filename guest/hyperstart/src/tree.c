#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

enum { MQUEUE_MAGIC = 0x19800202, MAX_KNOWN_LINKS = 65536, XATTR_NAMES = 16384 };

struct known_link {
    dev_t device;
    ino_t inode;
    char *path;
};

static struct known_link *slot_of(const struct links *l, dev_t device, ino_t inode)
{
    size_t at = (size_t)(inode * 0x9E3779B97F4A7C15u ^ device) & (l->size - 1);
    while (l->slots[at].path && (l->slots[at].inode != inode || l->slots[at].device != device))
        at = (at + 1) & (l->size - 1);
    return &l->slots[at];
}

static bool grow(struct links *l)
{
    struct links grown = {.size = l->size ? 2 * l->size : 256, .used = l->used};
    grown.slots = calloc(grown.size, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < l->size; i++)
        if (l->slots[i].path)
            *slot_of(&grown, l->slots[i].device, l->slots[i].inode) = l->slots[i];
    free(l->slots);
    *l = grown;
    return true;
}

const char *links_first(struct links *l, const struct stat *s, const char *path)
{
    if (2 * l->used >= l->size && (l->used == MAX_KNOWN_LINKS || !grow(l)))
        return NULL;
    struct known_link *found = slot_of(l, s->st_dev, s->st_ino);
    if (found->path)
        return found->path;
    *found = (struct known_link){s->st_dev, s->st_ino, strdup(path)};
    l->used += found->path != NULL;
    return NULL;
}

void links_free(struct links *l)
{
    for (size_t i = 0; i < l->size; i++)
        free(l->slots[i].path);
    free(l->slots);
    *l = (struct links){0};
}

bool tree_down(struct tree *t, const char *name)
{
    size_t size = strlen(name);
    if (t->depth == MAX_TREE_DEPTH || t->length + 1 + size > MAX_ENTRY_PATH) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (t->length)
        t->path[t->length++] = '/';
    memcpy(t->path + t->length, name, size + 1);
    t->length += size;
    t->depth++;
    return true;
}

void tree_up(struct tree *t, const char *name)
{
    t->length -= strlen(name);
    t->length -= t->length != 0;
    t->path[t->length] = 0;
    t->depth--;
}

static bool is_wanted(const char *name)
{
    return strcmp(name, "security.capability") == 0 ||
           (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
}

/* What does not fit is left out: no tool puts so much there. */
static void read_xattrs(int fd, struct entry *entry)
{
    static char names[XATTR_NAMES];
    static uint8_t values[MAX_XATTR_BYTES];
    size_t used = 0;
    ssize_t size = flistxattr(fd, names, sizeof names);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        size_t name = strlen(names + at);
        if (!is_wanted(names + at) || entry->xattr_count == MAX_XATTRS ||
            name >= sizeof values - used)
            continue;
        ssize_t n = fgetxattr(fd, names + at, values + used, sizeof values - used - name);
        if (n < 0)
            continue;
        entry->xattrs[entry->xattr_count++] = (struct xattr){names + at, values + used, (size_t)n};
        used += (size_t)n + name;
    }
}

static bool write_entry(struct tree *t, const struct entry *entry, struct error *e)
{
    return output_entry(entry) || fail(e, CODE_LIMIT, 0, "too large an entry: ", t->path, NULL);
}

static bool gone(int err)
{
    return err == ENOENT || err == ENOTDIR || err == ELOOP;
}

/* A regular file or a directory: opened, since it has more than a name. */
static bool opened_entry(struct tree *t, struct entry *entry, int parent, const char *name,
                         mode_t kind, struct error *e)
{
    struct stat s;
    _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s))
        return gone(errno) || fail(e, CODE_SYSTEM, errno, "open ", t->path, NULL);
    if ((s.st_mode & S_IFMT) != kind)
        return true; /* another one since */
    read_xattrs(fd, entry);
    if (!S_ISREG(kind))
        return write_entry(t, entry, e);
    entry->size = (uint64_t)s.st_size;
    if (!write_entry(t, entry, e))
        return false;
    output_content(fd, entry->size);
    return true;
}

static bool link_entry(struct tree *t, struct entry *entry, int parent, const char *name,
                       struct error *e)
{
    static char target[MAX_LINK + 1];
    ssize_t n = readlinkat(parent, name, target, MAX_LINK);
    if (n <= 0)
        return gone(errno) || fail(e, CODE_SYSTEM, errno, "read link ", t->path, NULL);
    target[n] = 0;
    entry->type = ENTRY_LINK;
    entry->link = target;
    return write_entry(t, entry, e);
}

bool tree_entry(struct tree *t, int parent, const char *name, const struct stat *s, struct error *e)
{
    static struct entry entry;
    entry = (struct entry){
        .path = t->path,
        .type = ENTRY_FILE,
        .mode = s->st_mode & 07777,
        .uid = s->st_uid,
        .gid = s->st_gid,
        .mtime = (uint64_t)s->st_mtim.tv_sec,
        .link = "",
    };
    if (s->st_nlink > 1 && !S_ISDIR(s->st_mode) && !S_ISSOCK(s->st_mode)) {
        const char *first = links_first(&t->links, s, t->path);
        if (first) {
            entry.type = ENTRY_HARD_LINK;
            entry.link = first;
            return write_entry(t, &entry, e);
        }
    }
    switch (s->st_mode & S_IFMT) {
    case S_IFDIR:
        entry.type = ENTRY_DIRECTORY;
        return opened_entry(t, &entry, parent, name, S_IFDIR, e);
    case S_IFREG:
        return opened_entry(t, &entry, parent, name, S_IFREG, e);
    case S_IFLNK:
        return link_entry(t, &entry, parent, name, e);
    case S_IFSOCK:
        return true;
    }
    entry.type = S_ISFIFO(s->st_mode)  ? ENTRY_FIFO
                 : S_ISCHR(s->st_mode) ? ENTRY_CHARACTER
                                       : ENTRY_BLOCK;
    entry.major = major(s->st_rdev);
    entry.minor = minor(s->st_rdev);
    return write_entry(t, &entry, e);
}

bool is_made_up(int fd)
{
    struct statfs s;
    if (fstatfs(fd, &s))
        return false;
    return s.f_type == PROC_SUPER_MAGIC || s.f_type == SYSFS_MAGIC ||
           s.f_type == CGROUP2_SUPER_MAGIC || s.f_type == DEVPTS_SUPER_MAGIC ||
           s.f_type == MQUEUE_MAGIC;
}

bool each_child(int directory, child_fn *visit, void *context, struct error *e)
{
    DIR *entries = fdopendir(directory);
    if (!entries) {
        fail(e, CODE_SYSTEM, errno, "read a directory", NULL);
        close(directory);
        return false;
    }
    bool ok = true;
    for (;;) {
        errno = 0;
        struct dirent *d = readdir(entries);
        if (!d) {
            if (errno)
                ok = fail(e, CODE_SYSTEM, errno, "read a directory", NULL);
            break;
        }
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        ok = visit(context, directory, d->d_name, e);
        if (!ok)
            break;
    }
    closedir(entries);
    return ok;
}

struct level {
    struct tree *tree;
    dev_t device;
};

static bool visit_child(void *context, int directory, const char *name, struct error *e)
{
    const struct level *level = context;
    struct tree *t = level->tree;
    struct stat s;
    if (fstatat(directory, name, &s, AT_SYMLINK_NOFOLLOW))
        return gone(errno) || fail(e, CODE_SYSTEM, errno, "stat ", name, NULL);
    if (!tree_down(t, name))
        return fail(e, CODE_LIMIT, errno, t->path, "/", name, NULL);
    bool ok = tree_entry(t, directory, name, &s, e);
    if (ok && S_ISDIR(s.st_mode)) {
        int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        bool mounted = s.st_dev != level->device;
        if (fd < 0)
            ok = gone(errno) || fail(e, CODE_SYSTEM, errno, "open ", t->path, NULL);
        else if (mounted && (is_made_up(fd) || (t->root && strcmp(t->path, "dev") == 0)))
            close(fd);
        else
            ok = tree_children(t, fd, &s, e);
    }
    tree_up(t, name);
    return ok;
}

bool tree_children(struct tree *t, int directory, const struct stat *s, struct error *e)
{
    struct level level = {t, s->st_dev};
    return each_child(directory, visit_child, &level, e);
}
