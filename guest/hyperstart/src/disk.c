#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "groups.h"
#include "tunables.h"

/* A free place has no source. */
struct shared {
    char *source;
    bool writable;
    uint32_t users;
};

static struct shared shared[MAX_SHARED];
static size_t shared_count;

static bool mount_once(const char *type, const char *target, const char *data, struct error *e)
{
    if (mount(type, target, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) && errno != EBUSY)
        return fail(e, CODE_MOUNT, errno, "mount ", target, NULL);
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
    if (!cgroups_prepare(e))
        return false;
    tunables_set();
    if (mkdir("/run", 0755) && errno != EEXIST)
        return fail(e, CODE_SYSTEM, errno, "mkdir /run", NULL);
    if (mkdir(RUN, 0700) && errno != EEXIST)
        return fail(e, CODE_SYSTEM, errno, "mkdir " RUN, NULL);
    /* Not noexec: files and volumes of containers may live here. */
    if (mount("tmpfs", RUN, "tmpfs", 0, "mode=0700"))
        return fail(e, CODE_MOUNT, errno, "mount " RUN, NULL);
    done = true;
    return true;
}

static bool plain_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 128;
}

/* Whether the block device of this name has this serial: virtio's, or page 80h of a SCSI disk. */
static bool has_serial(const char *device, const char *serial)
{
    enum { HEADER = 4 };
    char path[300], found[64];
    if (join(path, sizeof path, "/sys/block/", device, "/serial", NULL) &&
        read_file(path, found, sizeof found) >= 0) {
        found[strcspn(found, "\n")] = 0;
        return strcmp(found, serial) == 0;
    }
    if (!join(path, sizeof path, "/sys/block/", device, "/device/vpd_pg80", NULL))
        return false;
    ssize_t n = read_file(path, found, sizeof found);
    size_t length = strlen(serial);
    return n == (ssize_t)(HEADER + length) && !memcmp(found + HEADER, serial, length);
}

static bool find_serial(const char *name, char *path, size_t size)
{
    DIR *blocks = opendir("/sys/block");
    bool found = false;
    for (struct dirent *d; blocks && !found && (d = readdir(blocks));)
        if (*d->d_name != '.' && has_serial(d->d_name, name))
            found = join(path, size, "/dev/", d->d_name, NULL);
    if (blocks)
        closedir(blocks);
    return found;
}

/* The disks of the one SCSI controller are known to the kernel. Their driver takes them on in the
 * background: who binds it is either first, or waits until that is done. */
static void scan(void)
{
    write_file("/sys/class/scsi_host/host0/scan", "0 0 -");
    DIR *devices = opendir("/sys/class/scsi_device");
    for (struct dirent *d; devices && (d = readdir(devices));)
        if (*d->d_name != '.')
            write_file("/sys/bus/scsi/drivers/sd/bind", d->d_name);
    if (devices)
        closedir(devices);
}

bool disk_find(const char *name, char *path, size_t size, struct error *e)
{
    if (!plain_name(name))
        return fail(e, CODE_NO_SUCH, 0, "no disk \"", name, "\"", NULL);
    struct stat s;
    if (find_serial(name, path, size))
        return true;
    if (join(path, size, "/dev/", name, NULL) && !stat(path, &s) && S_ISBLK(s.st_mode))
        return true;
    scan();
    return find_serial(name, path, size) ||
           fail(e, CODE_NO_SUCH, 0, "no disk \"", name, "\"", NULL);
}

void disk_forget(const char *path)
{
    char file[300];
    if (strncmp(path, "/dev/sd", 7) == 0 &&
        join(file, sizeof file, "/sys/block/", path + 5, "/device/delete", NULL))
        write_file(file, "1");
}

static bool holds(const struct held *held, size_t i)
{
    return held->bits[i / 64] >> i % 64 & 1;
}

/* The place of this source, or a free one. */
static size_t place_of(const char *source)
{
    size_t place = shared_count;
    for (size_t i = 0; i < shared_count; i++) {
        if (!shared[i].source)
            place = i;
        else if (strcmp(shared[i].source, source) == 0)
            return i;
    }
    return place;
}

static void hold(struct held *held, size_t i)
{
    shared[i].users += !holds(held, i);
    held->bits[i / 64] |= (uint64_t)1 << i % 64;
}

bool shared_mount(struct held *held, const char *type, const char *source, const char *what,
                  unsigned long flags, const char *data, char *path, size_t size, struct error *e)
{
    size_t i = place_of(source);
    if (!join(path, size, RUN "/m", DEC(i), NULL))
        return fail(e, CODE_SYSTEM, ENAMETOOLONG, "mount ", what, NULL);
    if (i < shared_count && shared[i].source) {
        hold(held, i);
        return true;
    }
    if (i == MAX_SHARED)
        return fail(e, CODE_LIMIT, 0, "more than ", DEC(MAX_SHARED), " file systems", NULL);
    _cleanup_free_ char *copy = strdup(source);
    if (!copy || (mkdir(path, 0755) && errno != EEXIST))
        return fail(e, CODE_SYSTEM, errno, "mount ", what, NULL);
    bool mounted = !mount(source, path, type, flags, data);
    if (!mounted && (errno == EACCES || errno == EROFS)) { /* the device is read-only */
        flags |= MS_RDONLY;
        mounted = !mount(source, path, type, flags, data);
    }
    if (!mounted)
        return fail(e, CODE_MOUNT, errno, "mount ", what, " (", type, ")", NULL);
    shared[i] = (struct shared){copy, !(flags & MS_RDONLY), 0};
    shared_count += i == shared_count;
    hold(held, i);
    copy = NULL;
    return true;
}

/* False: it is busy. An error that is no reason to keep it is noted. */
static bool release(size_t i, struct error *e)
{
    struct shared *s = &shared[i];
    char path[64];
    join(path, sizeof path, RUN "/m", DEC(i), NULL);
    /* A name space that is being taken down may hold the file system a little longer than its
     * processes lived: what is read-only is safe whoever holds it. */
    if (s->writable && mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL)) {
        if (errno == EBUSY)
            return false;
        fail(e, CODE_MOUNT, errno, "make read-only ", s->source, NULL);
    }
    umount2(path, MNT_DETACH);
    disk_forget(s->source);
    free(s->source);
    *s = (struct shared){0};
    return true;
}

bool shared_drop(struct held *held, struct error *e)
{
    for (size_t i = shared_count; i-- > 0;) {
        if (!holds(held, i))
            continue;
        if (shared[i].users == 1 && !release(i, e))
            return false;
        shared[i].users -= shared[i].users > 0;
        held->bits[i / 64] &= ~((uint64_t)1 << i % 64);
    }
    return e->code == CODE_OK;
}

int share_open(const char *tag)
{
    char path[64];
    size_t i = place_of(tag);
    errno = ENOENT;
    if (i == shared_count || !shared[i].source)
        return -1;
    join(path, sizeof path, RUN "/m", DEC(i), NULL);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void share_lost(const char *tag, struct error *e)
{
    char path[64];
    /* Held for ever: its last unmount would wait for answers that do not come. */
    int held = share_open(tag);
    if (held < 0) {
        fail(e, CODE_NO_SUCH, errno, "no share \"", tag, "\"", NULL);
        return;
    }
    join(path, sizeof path, RUN "/m", DEC(place_of(tag)), NULL);
    if ((umount2(path, MNT_FORCE) && errno != EBUSY))
        fail(e, CODE_SYSTEM, errno, "give up the share \"", tag, "\"", NULL);
}

bool shared_release(struct error *e)
{
    for (; shared_count; shared_count--)
        if (shared[shared_count - 1].source && !release(shared_count - 1, e))
            return false;
    return e->code == CODE_OK;
}
