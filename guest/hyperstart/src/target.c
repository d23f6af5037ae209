#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { MAX_LINKS = 16, PLACE_MODE = 0755 };

static int open_in(int root, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .mode = flags & O_CREAT ? 0644 : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, *path ? path : "/", &how, sizeof how);
}

int target_open(int root, const char *path)
{
    return open_in(root, path, O_PATH);
}

/* The path a dangling link at prefix stands for, with rest behind it. */
static bool follow(int parent, const char *name, const char *prefix, size_t prefix_size,
                   const char *rest, char *out)
{
    char link[PATH_MAX], base[PATH_MAX];
    ssize_t n = readlinkat(parent, name, link, sizeof link - 1);
    if (n < 0)
        return false;
    link[n] = 0;
    memcpy(base, prefix, prefix_size);
    base[prefix_size] = 0;
    errno = ENAMETOOLONG;
    return join(out, PATH_MAX, *link == '/' ? "" : base, *link == '/' ? "" : "/", link, rest, NULL);
}

/* Makes name in parent; the directory if more follows or one is wanted. */
static bool make_one(int parent, const char *name, bool directory, mode_t mode)
{
    struct stat s;
    bool timed = !fstat(parent, &s);
    _cleanup_close_ int fd = -1;
    if (directory && mkdirat(parent, name, mode))
        return false;
    if (!directory)
        fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (!directory && fd < 0)
        return false;
    /* A place for a mount is no change of the container's. */
    struct timespec times[2] = {s.st_atim, s.st_mtim};
    if (timed)
        utimensat(parent, ".", times, 0);
    return true;
}

static int make(int root, const char *path, bool directory, mode_t mode, int links)
{
    char prefix[PATH_MAX], name[NAME_MAX + 1], next[PATH_MAX];
    _cleanup_close_ int parent = open_in(root, "/", O_PATH);
    size_t at = 0;
    if (strlen(path) >= sizeof prefix) {
        errno = ENAMETOOLONG;
        return -1;
    }
    while (parent >= 0) {
        size_t start = at + strspn(path + at, "/");
        size_t size = strcspn(path + start, "/");
        if (!size)
            return steal_fd(&parent);
        if (size > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path + start, size);
        name[size] = 0;
        memcpy(prefix, path, start + size);
        prefix[start + size] = 0;
        int fd = open_in(root, prefix, O_PATH);
        bool last = !path[start + size + strspn(path + start + size, "/")];
        if (fd < 0 && errno == ENOENT && !make_one(parent, name, directory || !last, mode) &&
            errno == EEXIST) {
            if (!links || !follow(parent, name, prefix, start, path + start + size, next))
                return -1;
            return make(root, next, directory, mode, links - 1);
        }
        if (fd < 0 && (fd = open_in(root, prefix, O_PATH)) < 0)
            return -1;
        close_fd(&parent);
        parent = fd;
        at = start + size;
    }
    return -1;
}

int target_make(int root, const char *path, enum target_kind kind)
{
    int fd = target_open(root, path);
    if (fd < 0 && errno == ENOENT)
        fd = make(root, path, kind != FILE_, PLACE_MODE, MAX_LINKS);
    struct stat s;
    if (fd < 0 || kind == ANY || fstat(fd, &s))
        return fd;
    bool directory = S_ISDIR(s.st_mode);
    if (directory == (kind == DIRECTORY))
        return fd;
    close(fd);
    errno = directory ? EISDIR : ENOTDIR;
    return -1;
}

int target_make_like(int root, const char *path)
{
    struct stat s;
    if (fstat(root, &s))
        return -1;
    return make(root, path, true, s.st_mode & 0777, MAX_LINKS);
}

bool mount_on(int target, const char *source, const char *type, unsigned long flags,
              const char *data)
{
    char path[64];
    join(path, sizeof path, "/proc/self/fd/", DEC(target), NULL);
    return !mount(source, path, type, flags, data);
}
