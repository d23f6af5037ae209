#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "dev.h"
#include "disk.h"
#include "target.h"
#include "volume.h"

static const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/* source: what /proc/mounts calls it, as in Docker's containers. */
static bool mount_at(int root, const char *target, const char *source, const char *type,
                     unsigned long flags, const char *data, struct error *e)
{
    _cleanup_close_ int fd = target_make(root, target, DIRECTORY);
    if (fd < 0 || !mount_on(fd, source, type, flags, data))
        return fail(e, CODE_MOUNT, errno, "mount ", type, " on ", target, NULL);
    return true;
}

/* What every container has. */
static bool mount_standard(int root, const struct create_request *c, struct error *e)
{
    unsigned long kernel = safe | (c->flags & CONTAINER_PRIVILEGED ? 0 : MS_RDONLY);
    return mount_at(root, "/proc", "proc", "proc", safe, NULL, e) &&
           mount_at(root, "/sys", "sysfs", "sysfs", kernel, NULL, e) &&
           mount_at(root, "/sys/fs/cgroup", "cgroup", "cgroup2", kernel, NULL, e) &&
           mount_at(root, "/dev", "tmpfs", "tmpfs", MS_NOSUID, "mode=755,size=64m", e) &&
           dev_fill(root, c, e) &&
           mount_at(root, "/dev/pts", "devpts", "devpts", MS_NOSUID | MS_NOEXEC,
                    "newinstance,ptmxmode=0666,mode=0620,gid=5", e) &&
           mount_at(root, "/dev/shm", "shm", "tmpfs", safe, "mode=1777,size=64m", e) &&
           mount_at(root, "/dev/mqueue", "mqueue", "mqueue", safe, NULL, e);
}

/* Binds an open file or directory on an open target; flags are set by a second mount. */
static bool bind_on(int target, int source, unsigned long flags)
{
    char path[64];
    join(path, sizeof path, "/proc/self/fd/", DEC(source), NULL);
    return mount_on(target, path, NULL, MS_BIND | (flags & MS_REC), NULL);
}

static const unsigned long bind_flags =
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME;

/* Sets the flags of the mount that is now at path. */
static bool remount_bind(int root, const char *path, unsigned long flags)
{
    if (!(flags & bind_flags))
        return true;
    _cleanup_close_ int fd = target_open(root, path);
    return fd >= 0 && mount_on(fd, NULL, NULL, MS_REMOUNT | MS_BIND | (flags & bind_flags), NULL);
}

static bool bind_at(int root, int source, const char *target, unsigned long flags, struct error *e)
{
    struct stat s;
    if (source < 0 || fstat(source, &s))
        return fail(e, CODE_MOUNT, errno, "bind on ", target, NULL);
    _cleanup_close_ int fd = target_make(root, target, S_ISDIR(s.st_mode) ? DIRECTORY : FILE_);
    if (fd < 0 || !bind_on(fd, source, flags) || !remount_bind(root, target, flags))
        return fail(e, CODE_MOUNT, errno, "bind on ", target, NULL);
    return true;
}

/* What of a volume could not be opened: a part of it that was asked for, which people may have
 * misspelt, or all of it. */
static bool no_source(const struct container_mount *m, struct error *e)
{
    const struct mount_source *s = &m->source;
    if (*s->sub)
        return fail(e, CODE_MOUNT, errno, "subpath \"", s->sub, "\" of the volume on ", m->target,
                    NULL);
    return fail(e, CODE_MOUNT, errno, "mount ", s->path, " of ", s->name, " on ", m->target, NULL);
}

static bool mount_shared(int root, const struct container_mount *m, const struct shared_source *s,
                         struct error *e)
{
    _cleanup_close_ int shared = open(s->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int source = -1;
    if (shared >= 0 && m->flags & MOUNT_VOLUME)
        source = volume_open(shared, root, m);
    else if (shared >= 0)
        source = target_open(shared, m->source.path);
    if (source < 0)
        return no_source(m, e);
    return bind_at(root, source, m->target, m->flags, e);
}

static const char network_place[] = RUN "/net";

/* Mounts what a file server has beside the root and binds the volume in it. Not by the agent, and
 * not for all containers at once: its answer may take long, and what waits for it is only this
 * process. (The kernel makes one file system of two mounts of the same.) */
static bool mount_network(int root, const struct container_mount *m, struct error *e)
{
    const char *device = m->source.name;
    unsigned long flags = m->flags & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME);
    if ((mkdir(network_place, 0700) && errno != EEXIST) ||
        mount(device, network_place, m->type, flags, m->data))
        return fail(e, CODE_MOUNT, errno, "mount ", device, " on ", m->target, NULL);
    _cleanup_close_ int whole = open(network_place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int source = -1;
    if (whole >= 0)
        source = volume_open(whole, root, m);
    bool ok = source < 0 ? no_source(m, e) : bind_at(root, source, m->target, m->flags, e);
    umount2(network_place, MNT_DETACH);
    return ok;
}

static bool mount_inside(int root, const struct container_mount *m, struct error *e)
{
    _cleanup_close_ int source = target_open(root, m->source.path);
    return bind_at(root, source, m->target, m->flags, e);
}

static bool mount_kernel(int root, const struct container_mount *m, struct error *e)
{
    _cleanup_close_ int fd = target_make(root, m->target, m->flags & MS_REMOUNT ? ANY : DIRECTORY);
    if (fd < 0 || !mount_on(fd, m->source.name, m->type, m->flags, *m->data ? m->data : NULL))
        return fail(e, CODE_MOUNT, errno, "mount ", m->type, " on ", m->target, NULL);
    return true;
}

static bool mount_one(int root, const struct container_mount *m, const struct shared_source *s,
                      struct error *e)
{
    switch (m->source.kind) {
    case SOURCE_DISK:
    case SOURCE_SHARE:
        return mount_shared(root, m, s, e);
    case SOURCE_NETWORK:
        return mount_network(root, m, e);
    case SOURCE_ROOT:
        return mount_inside(root, m, e);
    case SOURCE_KERNEL:
        break;
    }
    return mount_kernel(root, m, e);
}

static bool mount_file(int root, const struct container *c, uint32_t number, struct error *e)
{
    char path[64];
    join(path, sizeof path, c->directory, "/f", DEC(number), NULL);
    _cleanup_close_ int source = open(path, O_PATH | O_CLOEXEC);
    return bind_at(root, source, c->request.create.files[number].path, 0, e);
}

static bool mask(int root, const char *path, struct error *e)
{
    _cleanup_close_ int fd = target_open(root, path);
    struct stat s;
    if (fd < 0 || fstat(fd, &s))
        return errno == ENOENT || errno == ENOTDIR ||
               fail(e, CODE_MOUNT, errno, "mask ", path, NULL);
    if (S_ISDIR(s.st_mode)) {
        if (!mount_on(fd, "tmpfs", "tmpfs", safe | MS_RDONLY, "size=0"))
            return fail(e, CODE_MOUNT, errno, "mask ", path, NULL);
        return true;
    }
    _cleanup_close_ int null = target_open(root, "/dev/null");
    if (null < 0 || !bind_on(fd, null, 0))
        return fail(e, CODE_MOUNT, errno, "mask ", path, NULL);
    return true;
}

static bool make_readonly(int root, const char *path, struct error *e)
{
    _cleanup_close_ int fd = target_open(root, path);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ||
               fail(e, CODE_MOUNT, errno, "make read-only ", path, NULL);
    struct statfs s; /* its flags are those of mount(2): what is forbidden already stays so */
    if (fstatfs(fd, &s) || !bind_on(fd, fd, MS_REC) ||
        !remount_bind(root, path, MS_RDONLY | ((unsigned long)s.f_flags & safe)))
        return fail(e, CODE_MOUNT, errno, "make read-only ", path, NULL);
    return true;
}

static int open_root(const struct container *c)
{
    char path[64];
    join(path, sizeof path, c->directory, "/root", NULL);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool root_mount(const struct container *c, struct error *e)
{
    const struct create_request *create = &c->request.create;
    _cleanup_close_ int root = open_root(c);
    if (root < 0)
        return fail(e, CODE_MOUNT, errno, "open the root", NULL);
    bool ok = mount_standard(root, create, e);
    for (uint32_t i = 0; ok && i < create->mount_count; i++)
        ok = mount_one(root, &create->mounts[i], &c->sources[i], e);
    ok = ok && dev_give(root, create, e);
    for (uint32_t i = 0; ok && i < create->file_count; i++)
        ok = mount_file(root, c, i, e);
    for (uint32_t i = 0; ok && i < create->masked_count; i++)
        ok = mask(root, create->masked[i], e);
    for (uint32_t i = 0; ok && i < create->readonly_count; i++)
        ok = make_readonly(root, create->readonly[i], e);
    return ok;
}

bool root_enter(const struct container *c, struct error *e)
{
    _cleanup_close_ int root = open_root(c);
    /* pivot_root refuses to leave the initial root file system; what is moved over it cannot be
     * left either once everything else is detached. */
    if (root < 0 || fchdir(root) || mount(".", "/", NULL, MS_MOVE, NULL))
        return fail(e, CODE_MOUNT, errno, "move the root", NULL);
    umount2(RUN, MNT_DETACH);
    umount2("/cgroup", MNT_DETACH);
    umount2("/dev", MNT_DETACH);
    umount2("/sys", MNT_DETACH);
    umount2("/proc", MNT_DETACH);
    if (chroot(".") || chdir("/"))
        return fail(e, CODE_MOUNT, errno, "enter the root", NULL);
    return true;
}

bool root_seal(const struct container *c, struct error *e)
{
    if (c->request.create.flags & CONTAINER_READ_ONLY &&
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
        return fail(e, CODE_MOUNT, errno, "make the root read-only", NULL);
    return true;
}
