#include "extract.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

#include "direct.h"
#include "wire.h"

enum { INPUT = 128 * 1024, MAX_LATE = 65536 };

/* Directories get their times last: what is put into them changes these. */
struct late {
    struct late *next;
    uint64_t mtime;
    char path[];
};

static uint8_t input[INPUT];
static size_t input_at, input_end;
static struct late *late;
static size_t late_count;
/* The directory of the last file: the next one is mostly beside it. */
static char parent_path[MAX_ENTRY_PATH + 1];
static int parent_fd = -1;

static bool input_fill(struct error *e)
{
    ssize_t n;
    while ((n = read(0, input, sizeof input)) < 0 && errno == EINTR)
        ;
    if (n <= 0)
        return fail(e, CODE_MALFORMED, n ? errno : 0, "the records end too early", NULL);
    input_at = 0;
    input_end = (size_t)n;
    return true;
}

static bool take(uint8_t *to, size_t size, struct error *e)
{
    while (size) {
        if (input_at == input_end && !input_fill(e))
            return false;
        size_t n = min_size(size, input_end - input_at);
        memcpy(to, input + input_at, n);
        input_at += n;
        to += n;
        size -= n;
    }
    return true;
}

/* Writes the content of a record to fd, which is -1 to skip it. */
static bool take_content(int fd, uint64_t size, struct error *e)
{
    while (size) {
        if (input_at == input_end && !input_fill(e))
            return false;
        size_t n = input_end - input_at < size ? input_end - input_at : (size_t)size;
        ssize_t done = fd < 0 ? (ssize_t)n : write(fd, input + input_at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        input_at += (size_t)done;
        size -= (uint64_t)done;
    }
    return true;
}

/* The next size bytes of the input are in direct_piece. */
static bool take_piece(size_t size, struct error *e)
{
    size_t have = min_size(size, input_end - input_at);
    memcpy(direct_piece, input + input_at, have);
    input_at += have;
    while (have < size) {
        ssize_t n = read(0, direct_piece + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(e, CODE_MALFORMED, n ? errno : 0, "the records end too early", NULL);
        have += (size_t)n;
    }
    return true;
}

static bool write_piece(int fd, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, direct_piece + done, size - done);
        if (n < 0 && (errno == EINTR || (errno == EINVAL && direct_end(fd))))
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* The same for a large file, whose last piece need not be of whole pages. */
static bool take_large(int fd, uint64_t size, struct error *e)
{
    direct_begin(fd, size);
    while (size) {
        size_t n = size < DIRECT_PIECE ? (size_t)size : DIRECT_PIECE;
        if (n < DIRECT_PIECE)
            direct_end(fd);
        if (!take_piece(n, e) || !write_piece(fd, n))
            return false;
        size -= n;
    }
    direct_end(fd);
    return true;
}

static int open_below(int root, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

static void forget_parent(void)
{
    close_fd(&parent_fd);
}

/* Makes the directories on the way to the last part of path that are missing. */
static bool make_way(const struct extract *x, const char *path, size_t size)
{
    char part[MAX_ENTRY_PATH + 1];
    for (size_t at = 1; at <= size; at++) {
        if (at < size && path[at] != '/')
            continue;
        memcpy(part, path, at);
        part[at] = 0;
        if (!mkdirat(x->root, part, 0755)) {
            if (x->chown && fchownat(x->root, part, x->uid, x->gid, AT_SYMLINK_NOFOLLOW))
                return false;
        } else if (errno != EEXIST) {
            return false;
        }
    }
    return true;
}

/* Opens the directory that holds path, made if missing; name is the last part. */
static bool enter_parent(const struct extract *x, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (parent_fd >= 0 && strlen(parent_path) == size && memcmp(parent_path, path, size) == 0)
        return true;
    forget_parent();
    memcpy(parent_path, path, size);
    parent_path[size] = 0;
    parent_fd = open_below(x->root, parent_path, O_PATH | O_DIRECTORY);
    if (parent_fd < 0 && errno == ENOENT && make_way(x, path, size))
        parent_fd = open_below(x->root, parent_path, O_PATH | O_DIRECTORY);
    return parent_fd >= 0;
}

static bool remove_tree(int parent, const char *name, int depth)
{
    if (!unlinkat(parent, name, 0) || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        close_fd(&fd);
        return false;
    }
    bool ok = depth < MAX_TREE_DEPTH;
    for (struct dirent *d; ok && (d = readdir(entries));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            ok = remove_tree(fd, d->d_name, depth + 1);
    int err = ok ? 0 : errno;
    closedir(entries);
    errno = err;
    return ok && !unlinkat(parent, name, AT_REMOVEDIR);
}

static bool refuse(const struct extract *x, const struct entry *f, bool over, struct error *e)
{
    const char *was = over ? "directory" : "non-directory";
    const char *is = over ? "non-directory" : "directory";
    const char *slash = x->path[1] ? "/" : "";
    return fail(e, CODE_EXISTS, 0, "cannot overwrite ", was, " \"", x->path, slash, f->path,
                "\" with ", is, " \"", x->path, "\"", NULL);
}

/* Takes away what is in the way of f; there is whether its directory is there already. */
static bool clear(const struct extract *x, const struct entry *f, const char *name, bool *there,
                  struct error *e)
{
    struct stat s;
    *there = false;
    if (fstatat(parent_fd, name, &s, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT || fail(e, CODE_SYSTEM, errno, f->path, NULL);
    bool over = S_ISDIR(s.st_mode), directory = f->type == ENTRY_DIRECTORY;
    if (x->keep_kinds && over != directory)
        return refuse(x, f, over, e);
    *there = over && directory;
    if (!*there && !remove_tree(parent_fd, name, 0))
        return fail(e, CODE_SYSTEM, errno, "remove ", f->path, NULL);
    return true;
}

static struct timespec time_of(uint64_t seconds)
{
    return (struct timespec){.tv_sec = (time_t)seconds};
}

static void set_xattrs(int fd, const struct entry *f)
{
    /* What the file system does not know is left out, as docker does. */
    for (uint32_t i = 0; i < f->xattr_count; i++)
        fsetxattr(fd, f->xattrs[i].name, f->xattrs[i].value, f->xattrs[i].size, 0);
}

/* Owner, mode and time of an open file; the mode after the owner, which clears set-user-ID. */
static bool dress(const struct extract *x, int fd, const struct entry *f)
{
    struct timespec times[2] = {time_of(f->mtime), time_of(f->mtime)};
    if (fchown(fd, x->chown ? x->uid : f->uid, x->chown ? x->gid : f->gid) || fchmod(fd, f->mode))
        return false;
    set_xattrs(fd, f);
    return !futimens(fd, times);
}

static bool make_file(const struct extract *x, const struct entry *f, const char *name,
                      struct error *e)
{
    _cleanup_close_ int fd =
        openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(e, CODE_SYSTEM, errno, "create ", f->path, NULL);
    e->code = CODE_OK;
    if (f->size < DIRECT_LEAST ? !take_content(fd, f->size, e) : !take_large(fd, f->size, e))
        return e->code ? false : fail(e, CODE_SYSTEM, errno, "write ", f->path, NULL);
    return dress(x, fd, f) || fail(e, CODE_SYSTEM, errno, "create ", f->path, NULL);
}

static bool keep_time(const struct entry *f)
{
    struct late *l = late_count < MAX_LATE ? malloc(sizeof *l + strlen(f->path) + 1) : NULL;
    if (!l)
        return true; /* it gets the time of its making */
    l->mtime = f->mtime;
    strcpy(l->path, f->path);
    l->next = late;
    late = l;
    late_count++;
    return true;
}

static bool make_directory(const struct extract *x, const struct entry *f, const char *name,
                           bool there, struct error *e)
{
    if (!there && mkdirat(parent_fd, name, 0700))
        return fail(e, CODE_SYSTEM, errno, "mkdir ", f->path, NULL);
    _cleanup_close_ int fd =
        openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !dress(x, fd, f))
        return fail(e, CODE_SYSTEM, errno, "mkdir ", f->path, NULL);
    return keep_time(f);
}

static bool make_hard_link(const struct extract *x, const struct entry *f, const char *name)
{
    const char *slash = strrchr(f->link, '/');
    char way[MAX_ENTRY_PATH + 1] = "";
    if (slash) {
        memcpy(way, f->link, (size_t)(slash - f->link));
        way[slash - f->link] = 0;
    }
    _cleanup_close_ int from = open_below(x->root, way, O_PATH | O_DIRECTORY);
    return from >= 0 && !linkat(from, slash ? slash + 1 : f->link, parent_fd, name, 0);
}

static bool make_special(const struct entry *f, const char *name)
{
    mode_t kind = f->type == ENTRY_FIFO ? S_IFIFO : f->type == ENTRY_BLOCK ? S_IFBLK : S_IFCHR;
    return !mknodat(parent_fd, name, kind | 0600, makedev(f->major, f->minor));
}

/* A link or a special file: what cannot be opened. */
static bool make_other(const struct extract *x, const struct entry *f, const char *name,
                       struct error *e)
{
    struct timespec times[2] = {time_of(f->mtime), time_of(f->mtime)};
    bool link = f->type == ENTRY_LINK;
    if (f->type == ENTRY_HARD_LINK)
        return make_hard_link(x, f, name) ||
               fail(e, CODE_SYSTEM, errno, "link ", f->path, " to ", f->link, NULL);
    if (link ? symlinkat(f->link, parent_fd, name) != 0 : !make_special(f, name))
        return fail(e, CODE_SYSTEM, errno, "create ", f->path, NULL);
    if (fchownat(parent_fd, name, x->chown ? x->uid : f->uid, x->chown ? x->gid : f->gid,
                 AT_SYMLINK_NOFOLLOW) ||
        (!link && fchmodat(parent_fd, name, f->mode, 0)) ||
        utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW))
        return fail(e, CODE_SYSTEM, errno, "create ", f->path, NULL);
    return true;
}

static bool make_entry(const struct extract *x, const struct entry *f, struct error *e)
{
    const char *name;
    bool there;
    if (!*f->path) /* the place itself: it is there and stays as it is */
        return f->type == ENTRY_DIRECTORY ||
               fail(e, CODE_MALFORMED, 0, "an entry without a path", NULL);
    if (!enter_parent(x, f->path, &name))
        return fail(e, CODE_SYSTEM, errno, "make the way to ", f->path, NULL);
    if (!clear(x, f, name, &there, e))
        return false;
    if (f->type == ENTRY_FILE)
        return make_file(x, f, name, e);
    bool ok = f->type == ENTRY_DIRECTORY ? make_directory(x, f, name, there, e)
                                         : make_other(x, f, name, e);
    forget_parent(); /* the same path may lead elsewhere now */
    return ok;
}

/* Best effort: a later entry may have replaced one. */
static void set_late_times(const struct extract *x)
{
    for (const struct late *l = late; l; l = l->next) {
        struct timespec times[2] = {time_of(l->mtime), time_of(l->mtime)};
        utimensat(x->root, l->path, times, AT_SYMLINK_NOFOLLOW);
    }
}

bool extract_tree(struct extract *x, struct error *e)
{
    static uint8_t body[MAX_RECORD];
    static struct entry entry;
    uint8_t header[RECORD_HEADER];
    enum record_kind kind;
    size_t size;
    for (;;) {
        if (!take(header, sizeof header, e))
            return false;
        if (!record_header(header, &kind, &size))
            return fail(e, CODE_MALFORMED, 0, "malformed record", NULL);
        if (!take(body, size, e))
            return false;
        if (kind == RECORD_END)
            break;
        if (kind != RECORD_ENTRY || !entry_decode(&entry, body, size))
            return fail(e, CODE_MALFORMED, 0, "malformed record", NULL);
        if (!make_entry(x, &entry, e))
            return false;
    }
    set_late_times(x);
    return true;
}
