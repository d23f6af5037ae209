#include "volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "target.h"
#include "tree.h"

enum { MAX_DEPTH = 128 }; /* two descriptors each */

/* What is being copied: where in it we are, what has several names, and the copy's own root. */
static struct tree copied;
static int copy_root = -1;

static void copy_attributes(int from, int to)
{
    char names[4096], value[4096];
    ssize_t size = flistxattr(from, names, sizeof names);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t n = fgetxattr(from, names + at, value, sizeof value);
        if (n >= 0)
            fsetxattr(to, names + at, value, (size_t)n, 0);
    }
}

/* Owner, mode and times of an open file; the mode last, since chown clears set-user-ID. */
static bool copy_owner(int to, const struct stat *s)
{
    const struct timespec times[2] = {s->st_atim, s->st_mtim};
    return !fchown(to, s->st_uid, s->st_gid) && !fchmod(to, s->st_mode & 07777) &&
           !futimens(to, times);
}

static bool copy_file(int from, int to, const char *name, const struct stat *s)
{
    _cleanup_close_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_close_ int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (in < 0 || out < 0)
        return false;
    ssize_t n;
    while ((n = sendfile(out, in, NULL, 1 << 20)) > 0)
        ;
    copy_attributes(in, out);
    return n == 0 && copy_owner(out, s);
}

static bool copy_link(int from, int to, const char *name, const struct stat *s)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = 0;
    return !symlinkat(target, to, name) &&
           !fchownat(to, name, s->st_uid, s->st_gid, AT_SYMLINK_NOFOLLOW);
}

static bool copy_special(int to, const char *name, const struct stat *s)
{
    return !mknodat(to, name, s->st_mode, s->st_rdev) &&
           !fchownat(to, name, s->st_uid, s->st_gid, AT_SYMLINK_NOFOLLOW) &&
           !fchmodat(to, name, s->st_mode & 07777, 0);
}

static bool copy_level(int from, int to, int depth);

static bool copy_directory(int from, int to, const char *name, int depth)
{
    errno = ELOOP;
    if (depth == MAX_DEPTH || mkdirat(to, name, 0700))
        return false;
    _cleanup_close_ int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return in >= 0 && out >= 0 && copy_level(in, out, depth + 1);
}

static bool copy_one(int from, const char *name, int to, int depth)
{
    struct stat s;
    if (fstatat(from, name, &s, AT_SYMLINK_NOFOLLOW))
        return false;
    if (S_ISDIR(s.st_mode))
        return copy_directory(from, to, name, depth);
    const char *first = s.st_nlink > 1 ? links_first(&copied.links, &s, copied.path) : NULL;
    if (first && !linkat(copy_root, first, to, name, 0))
        return true;
    switch (s.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(from, to, name, &s);
    case S_IFLNK:
        return copy_link(from, to, name, &s);
    default:
        return copy_special(to, name, &s);
    }
}

static bool copy_entry(int from, const char *name, int to, int depth)
{
    if (!tree_down(&copied, name))
        return false;
    bool ok = copy_one(from, name, to, depth);
    int err = errno;
    tree_up(&copied, name);
    errno = err;
    return ok;
}

/* Calls use for each name in directory from until it fails. */
static bool each_entry(int from, bool (*use)(int from, const char *name, int to, int depth), int to,
                       int depth)
{
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = again < 0 ? NULL : fdopendir(again);
    if (!entries) {
        close_fd(&again);
        return false;
    }
    bool ok = true;
    for (struct dirent *d; ok && (d = readdir(entries));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            ok = use(from, d->d_name, to, depth);
    int err = errno;
    closedir(entries);
    errno = err;
    return ok;
}

static bool copy_own(int from, int to)
{
    struct stat s;
    if (fstat(from, &s))
        return false;
    copy_attributes(from, to);
    return copy_owner(to, &s);
}

static bool copy_level(int from, int to, int depth)
{
    return each_entry(from, copy_entry, to, depth) && copy_own(from, to);
}

static bool move_entry(int from, const char *name, int to, int depth)
{
    (void)depth;
    return !renameat(from, name, to, name);
}

static bool remove_entry(int from, const char *name, int to, int depth)
{
    errno = ELOOP;
    if (depth == MAX_DEPTH)
        return false;
    if (!unlinkat(from, name, 0) || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    _cleanup_close_ int inside =
        openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return inside >= 0 && each_entry(inside, remove_entry, to, depth + 1) &&
           !unlinkat(from, name, AT_REMOVEDIR);
}

/* Where a copy is made before it is moved to its place: it may take long and be cut short. */
static const char draft[] = ".hyper-copy-up";

static bool is_draft(int from, const char *name, int to, int depth)
{
    (void)from, (void)to, (void)depth;
    return strcmp(name, draft) == 0;
}

/* Opens an O_PATH descriptor for reading. */
static int reopen(int fd)
{
    char path[64];
    join(path, sizeof path, "/proc/self/fd/", DEC(fd), NULL);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool volume_fill(int whole, int from)
{
    if (!remove_entry(whole, draft, -1, 0) || mkdirat(whole, draft, 0700))
        return false;
    _cleanup_close_ int to = openat(whole, draft, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    copy_root = to;
    copied.length = 0;
    copied.path[0] = 0;
    copied.depth = 0;
    bool ok = to >= 0 && copy_level(from, to, 0);
    int err = errno;
    links_free(&copied.links);
    errno = err;
    return ok && each_entry(to, move_entry, whole, 0) && !unlinkat(whole, draft, AT_REMOVEDIR) &&
           copy_own(from, whole);
}

/* Fills the directory whole with what is at target, if there is a target, and nothing in whole. */
static bool fill_once(int whole, int root, const char *target)
{
    if (!each_entry(whole, is_draft, -1, 0))
        return true;
    _cleanup_close_ int place = target_open(root, target);
    if (place < 0 && errno == ENOENT)
        return true; /* the volume keeps its own owner and mode */
    _cleanup_close_ int from = place < 0 ? -1 : reopen(place);
    return from >= 0 && volume_fill(whole, from);
}

/* The same for what may be a file, which is full. */
static bool fill_directory(int sub, int root, const char *target)
{
    struct stat s;
    if (fstat(sub, &s))
        return false;
    if (!S_ISDIR(s.st_mode))
        return true;
    _cleanup_close_ int directory = reopen(sub);
    return directory >= 0 && fill_once(directory, root, target);
}

int volume_open(int shared, int root, const struct container_mount *m)
{
    const struct mount_source *s = &m->source;
    bool copy = !(m->flags & MOUNT_NO_COPY);
    _cleanup_close_ int place = target_make(shared, s->path, DIRECTORY);
    _cleanup_close_ int whole = place < 0 ? -1 : reopen(place);
    if (whole < 0 || (!*s->sub && copy && !fill_once(whole, root, m->target)))
        return -1;
    if (!*s->sub)
        return steal_fd(&whole);
    _cleanup_close_ int sub = target_open(whole, s->sub);
    if (sub < 0 && errno == ENOENT && m->flags & MOUNT_MAKE_SUB)
        sub = target_make_like(whole, s->sub);
    if (sub < 0 || (copy && !fill_directory(sub, root, m->target)))
        return -1;
    return steal_fd(&sub);
}
