#include "dev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "target.h"

enum { LOOPS = 8, LOOP_MAJOR = 7, MAX_DEPTH = 4 };

static bool make_device(int dev, const char *name, unsigned major, unsigned minor)
{
    return !mknodat(dev, name, S_IFCHR | 0666, makedev(major, minor));
}

static bool fill_standard(int dev)
{
    return make_device(dev, "null", 1, 3) && make_device(dev, "zero", 1, 5) &&
           make_device(dev, "full", 1, 7) && make_device(dev, "random", 1, 8) &&
           make_device(dev, "urandom", 1, 9) && make_device(dev, "tty", 5, 0) &&
           !symlinkat("pts/ptmx", dev, "ptmx") && !symlinkat("/proc/self/fd", dev, "fd") &&
           !symlinkat("/proc/self/fd/0", dev, "stdin") &&
           !symlinkat("/proc/self/fd/1", dev, "stdout") &&
           !symlinkat("/proc/self/fd/2", dev, "stderr") && !mkdirat(dev, "pts", 0755) &&
           !mkdirat(dev, "shm", 01777) && !mkdirat(dev, "mqueue", 0755);
}

/* The agent's own port; what mounts and terminals are put on. */
static bool left_out(const char *name)
{
    return *name == '.' || strncmp(name, "vport", 5) == 0 || strcmp(name, "console") == 0;
}

/* Where there is udev, any user may use these. */
static mode_t mode_of(const char *name, mode_t mode)
{
    return strcmp(name, "fuse") == 0 || strcmp(name, "tun") == 0 ? S_IFCHR | 0666 : mode;
}

/* Copies the nodes in from, which is closed, into to. What is there already stays. */
static void copy_nodes(int from, int to, unsigned depth)
{
    DIR *list = from < 0 ? NULL : fdopendir(from);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        const char *name = entry->d_name;
        struct stat s;
        if (left_out(name) || fstatat(from, name, &s, AT_SYMLINK_NOFOLLOW))
            continue;
        if (S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode))
            mknodat(to, name, mode_of(name, s.st_mode), s.st_rdev);
        if (!S_ISDIR(s.st_mode) || depth == MAX_DEPTH)
            continue;
        mkdirat(to, name, 0755);
        _cleanup_close_ int below = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (below >= 0)
            copy_nodes(openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), below, depth + 1);
    }
    if (list)
        closedir(list);
}

/* All that the machine has, and nodes for loop devices, which come to be when they are asked for.
 */
static void fill_all(int dev)
{
    copy_nodes(open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC), dev, 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        char name[16];
        join(name, sizeof name, "loop", DEC(i), NULL);
        mknodat(dev, name, S_IFBLK | 0660, makedev(LOOP_MAJOR, i));
    }
}

bool dev_fill(int root, const struct create_request *c, struct error *e)
{
    _cleanup_close_ int place = target_open(root, "/dev");
    _cleanup_close_ int dev =
        place < 0 ? -1 : openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dev < 0 || !fill_standard(dev))
        return fail(e, CODE_MOUNT, errno, "fill /dev", NULL);
    if (c->flags & CONTAINER_PRIVILEGED)
        fill_all(dev);
    return true;
}

static bool give(int root, const struct container_device *d, struct error *e)
{
    char folder[4096];
    const char *name = strrchr(d->path, '/');
    size_t size = name ? (size_t)(name - d->path) : 0;
    if (!name || !name[1] || size >= sizeof folder)
        return fail(e, CODE_MOUNT, EINVAL, "make device ", d->path, NULL);
    memcpy(folder, d->path, size);
    folder[size] = 0;
    _cleanup_close_ int parent = target_make(root, folder, DIRECTORY);
    mode_t type = d->type == DEVICE_BLOCK ? S_IFBLK : S_IFCHR;
    if (parent < 0 ||
        (mknodat(parent, name + 1, type | (d->mode & 07777), makedev(d->major, d->minor)) &&
         errno != EEXIST))
        return fail(e, CODE_MOUNT, errno, "make device ", d->path, NULL);
    return true;
}

bool dev_give(int root, const struct create_request *c, struct error *e)
{
    for (uint32_t i = 0; i < c->device_count; i++)
        if (*c->devices[i].path && !give(root, &c->devices[i], e))
            return false;
    return true;
}
