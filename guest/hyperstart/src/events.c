#include "events.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

#include "disk.h"
#include "target.h"

/* Of our kernel (0004-virtiofs.patch): who sets it causes an event. The answer is EALREADY. */
static const char attribute[] = "trusted.hyper.event";

static bool has_inotify(const char *process)
{
    char path[300], target[64];
    if (!join(path, sizeof path, "/proc/", process, "/fd", NULL))
        return false;
    DIR *files = opendir(path);
    bool found = false;
    for (struct dirent *d; files && !found && (d = readdir(files));) {
        ssize_t n = readlinkat(dirfd(files), d->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        found = strcmp(target, "anon_inode:inotify") == 0;
    }
    if (files)
        closedir(files);
    return found;
}

static bool somebody_watches(void)
{
    DIR *processes = opendir("/proc");
    bool found = false;
    for (struct dirent *d; processes && !found && (d = readdir(processes));)
        found = *d->d_name >= '0' && *d->d_name <= '9' && has_inotify(d->d_name);
    if (processes)
        closedir(processes);
    return found;
}

/* Causes an event of an open file, or of this name in an open directory. */
static void cause(int fd, uint32_t mask, const char *name)
{
    struct {
        uint32_t mask;
        char name[NAME_MAX];
    } value = {.mask = mask};
    char path[64];
    size_t size = strlen(name);
    if (size > sizeof value.name)
        return;
    memcpy(value.name, name, size);
    join(path, sizeof path, "/proc/self/fd/", DEC(fd), NULL);
    setxattr(path, attribute, &value, sizeof value.mask + size, 0);
}

static void tell_of_entry(int root, const char *path, uint32_t mask)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    if (!size || size >= sizeof parent)
        return;
    memcpy(parent, path, size);
    parent[size] = 0;
    _cleanup_close_ int fd = target_open(root, parent);
    if (fd >= 0)
        cause(fd, mask, slash + 1);
}

static void tell(int root, const char *event)
{
    const char *path = event + 1;
    switch (*event) {
    case 'm': {
        _cleanup_close_ int fd = target_open(root, path);
        if (fd < 0)
            return;
        cause(fd, IN_MODIFY, "");
        cause(fd, IN_CLOSE_WRITE, "");
        return;
    }
    case 'c':
        tell_of_entry(root, path, IN_CREATE);
        return;
    case 'C':
        tell_of_entry(root, path, IN_CREATE | IN_ISDIR);
        return;
    case 'd':
        tell_of_entry(root, path, IN_DELETE);
        return;
    case 'D':
        tell_of_entry(root, path, IN_DELETE | IN_ISDIR);
        return;
    }
}

bool events_tell(const char *tag, const char **events, uint32_t count, struct error *e)
{
    if (!somebody_watches())
        return fail(e, CODE_NO_SUCH, 0, "nobody watches", NULL);
    _cleanup_close_ int root = share_open(tag);
    if (root < 0)
        return fail(e, CODE_NO_SUCH, errno, "no share \"", tag, "\"", NULL);
    for (uint32_t i = 0; i < count; i++)
        tell(root, events[i]);
    return true;
}
