#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { MAX_SHARED = 512 };

struct shared {
    char *source;
    bool writable;
};

static struct shared shared[MAX_SHARED];
static size_t shared_count;

static bool mount_once(const char *type, const char *target, const char *data, struct error *e)
{
    if (mount(type, target, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) && errno != EBUSY)
        return fail(e, MOUNT_FAILED, errno, "mount ", target, NULL);
    return true;
}

bool runtime_prepare(struct error *e)
{
    static bool done;
    if (done)
        return true;
    if (!mount_once("proc", "/proc", NULL, e) || !mount_once("sysfs", "/sys", NULL, e) ||
        !mount_once("cgroup2", "/cgroup", NULL, e))
        return false;
    /* Counting memory tells a kill by the OOM killer from any other; all is what stats are made of.
     */
    write_file("/cgroup/cgroup.subtree_control", "+memory +pids +io");
    if (mkdir("/run", 0755) && errno != EEXIST)
        return fail(e, SYSTEM, errno, "mkdir /run", NULL);
    if (mkdir(RUN, 0700) && errno != EEXIST)
        return fail(e, SYSTEM, errno, "mkdir " RUN, NULL);
    /* Not noexec: files and volumes of containers may live here. */
    if (mount("tmpfs", RUN, "tmpfs", 0, "mode=0700"))
        return fail(e, MOUNT_FAILED, errno, "mount " RUN, NULL);
    done = true;
    return true;
}

static bool plain_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 128;
}

/* Whether the block device of this name has this virtio serial. */
static bool has_serial(const char *device, const char *serial)
{
    char path[300], found[64];
    if (!join(path, sizeof path, "/sys/block/", device, "/serial", NULL) ||
        read_file(path, found, sizeof found) < 0)
        return false;
    found[strcspn(found, "\n")] = 0;
    return strcmp(found, serial) == 0;
}

bool disk_find(const char *name, char *path, size_t size, struct error *e)
{
    if (!plain_name(name))
        return fail(e, NO_SUCH, 0, "no disk \"", name, "\"", NULL);
    DIR *blocks = opendir("/sys/block");
    bool found = false;
    for (struct dirent *d; blocks && !found && (d = readdir(blocks));)
        if (*d->d_name != '.' && has_serial(d->d_name, name))
            found = join(path, size, "/dev/", d->d_name, NULL);
    if (blocks)
        closedir(blocks);
    struct stat s;
    if (!found && join(path, size, "/dev/", name, NULL))
        found = !stat(path, &s) && S_ISBLK(s.st_mode);
    return found || fail(e, NO_SUCH, 0, "no disk \"", name, "\"", NULL);
}

bool shared_mount(const char *type, const char *source, const char *what, unsigned long flags,
                  const char *data, char *path, size_t size, struct error *e)
{
    size_t i = 0;
    while (i < shared_count && strcmp(shared[i].source, source) != 0)
        i++;
    if (!join(path, size, RUN "/m", DEC(i), NULL))
        return fail(e, SYSTEM, ENAMETOOLONG, "mount ", what, NULL);
    if (i < shared_count)
        return true;
    if (i == MAX_SHARED)
        return fail(e, LIMIT, 0, "more than ", DEC(MAX_SHARED), " file systems", NULL);
    _cleanup_free_ char *copy = strdup(source);
    if (!copy || (mkdir(path, 0755) && errno != EEXIST))
        return fail(e, SYSTEM, errno, "mount ", what, NULL);
    bool mounted = !mount(source, path, type, flags, data);
    if (!mounted && (errno == EACCES || errno == EROFS)) { /* the device is read-only */
        flags |= MS_RDONLY;
        mounted = !mount(source, path, type, flags, data);
    }
    if (!mounted)
        return fail(e, MOUNT_FAILED, errno, "mount ", what, " (", type, ")", NULL);
    shared[shared_count++] = (struct shared){copy, !(flags & MS_RDONLY)};
    copy = NULL;
    return true;
}

bool shared_release(struct error *e)
{
    bool all = true;
    while (shared_count) {
        struct shared *s = &shared[shared_count - 1];
        char path[64];
        join(path, sizeof path, RUN "/m", DEC(shared_count - 1), NULL);
        /* A name space that is being taken down may hold the file system a little longer than its
         * processes lived: what is read-only is safe whoever holds it. */
        if (s->writable && mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL)) {
            if (errno == EBUSY)
                return false;
            all = fail(e, MOUNT_FAILED, errno, "make read-only ", s->source, NULL);
        }
        umount2(path, MNT_DETACH);
        free(s->source);
        shared_count--;
    }
    return all;
}
