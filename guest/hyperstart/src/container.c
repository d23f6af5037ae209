#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "devices.h"
#include "disk.h"
#include "groups.h"

struct container *containers[MAX_CONTAINERS];
size_t container_count;

struct container *container_find(uint32_t id)
{
    for (size_t i = 0; i < container_count; i++)
        if (containers[i]->id == id)
            return containers[i];
    return NULL;
}

static bool make_directory(const char *path, mode_t mode, struct error *e)
{
    if (mkdir(path, mode) && errno != EEXIST)
        return fail(e, CODE_SYSTEM, errno, "mkdir ", path, NULL);
    return true;
}

/* Mounts the layers, lowest first, and writes overlayfs's list of them, highest first. */
static bool mount_layers(struct container *box, char *lower, size_t size, struct error *e)
{
    const struct create_request *c = &box->request.create;
    *lower = 0;
    for (uint32_t i = c->layer_count; i-- > 0;) {
        char device[160], path[64];
        if (!disk_find(c->layers[i], device, sizeof device, e) ||
            !shared_mount(&box->held, "squashfs", device, c->layers[i], MS_RDONLY | MS_NODEV, NULL,
                          path, sizeof path, e))
            return false;
        append(lower, size, *lower ? ":" : "");
        append(lower, size, path);
    }
    return true;
}

/* The directory for upper and work: on the scratch disk if there is one. */
static bool writable_directory(struct container *c, char *path, size_t size, struct error *e)
{
    const char *scratch = c->request.create.scratch;
    char base[64], device[160];
    if (!*scratch)
        return join(path, size, c->directory, NULL);
    if (!disk_find(scratch, device, sizeof device, e) ||
        !shared_mount(&c->held, "ext4", device, scratch, MS_NODEV, NULL, base, sizeof base, e))
        return false;
    join(path, size, base, "/1", NULL); /* whatever its number is in this machine */
    return make_directory(path, 0700, e);
}

/* By this file programs see that they are in a container: systemd, build tools, libraries. It has
 * no time of its own, so that one image is the same tree in every machine. */
static bool mark_root(const char *root, struct error *e)
{
    char path[80];
    join(path, sizeof path, root, "/.dockerenv", NULL);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (fd < 0)
        return errno == EEXIST || fail(e, CODE_SYSTEM, errno, "make ", path, NULL);
    return futimens(fd, (struct timespec[2]){0}) == 0 ||
           fail(e, CODE_SYSTEM, errno, "set the time of ", path, NULL);
}

static bool stack_root(struct container *c, struct error *e)
{
    char lower[MAX_LAYERS * 32], writable[96], upper[112], work[112], root[64], data[3072];
    if (!mount_layers(c, lower, sizeof lower, e) ||
        !writable_directory(c, writable, sizeof writable, e))
        return false;
    join(upper, sizeof upper, writable, "/upper", NULL);
    c->upper = strdup(upper);
    c->lower = strdup(lower);
    if (!c->upper || !c->lower)
        return fail(e, CODE_SYSTEM, ENOMEM, "stack the layers", NULL);
    join(work, sizeof work, writable, "/work", NULL);
    join(root, sizeof root, c->directory, "/root", NULL);
    if (!make_directory(upper, 0755, e) || !make_directory(work, 0700, e) ||
        !make_directory(root, 0755, e))
        return false;
    if (!join(data, sizeof data, "lowerdir=", lower, ",upperdir=", upper, ",workdir=", work, NULL))
        return fail(e, CODE_LIMIT, 0, "too many layers", NULL);
    if (mount("overlay", root, "overlay", 0, data))
        return fail(e, CODE_MOUNT, errno, "stack the layers of container ", DEC(c->id), NULL);
    return mark_root(root, e);
}

/* Keeps a file's content where it can be bind-mounted from. */
static bool keep_file(const struct container *c, uint32_t number, const struct container_file *f,
                      struct error *e)
{
    char path[64];
    join(path, sizeof path, c->directory, "/f", DEC(number), NULL);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(e, CODE_SYSTEM, errno, "keep file ", f->path, NULL);
    for (size_t done = 0; done < f->size;) {
        ssize_t n = write(fd, f->content + done, f->size - done);
        if (n <= 0)
            return fail(e, CODE_SYSTEM, errno, "keep file ", f->path, NULL);
        done += (size_t)n;
    }
    /* Cut last: who reads a file that is being replaced does not find it empty. */
    if (ftruncate(fd, (off_t)f->size) || fchown(fd, f->uid, f->gid) || fchmod(fd, f->mode & 07777))
        return fail(e, CODE_SYSTEM, errno, "keep file ", f->path, NULL);
    return true;
}

/* Mounts the disk or share that a mount's source is in. */
static bool resolve_source(struct held *held, const struct container_mount *m,
                           struct shared_source *s, struct error *e)
{
    const char *name = m->source.name;
    bool disk = m->source.kind == SOURCE_DISK;
    char device[160];
    if (!disk && m->source.kind != SOURCE_SHARE)
        return true;
    if (disk && !disk_find(name, device, sizeof device, e))
        return false;
    /* Read-only is the bind's affair: another may write to the same file system. */
    unsigned long flags = m->flags & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME);
    return shared_mount(held, m->type, disk ? device : name, name, flags, m->data, s->root,
                        sizeof s->root, e);
}

static bool container_fill(struct container *c, struct error *e)
{
    struct create_request *create = &c->request.create;
    join(c->directory, sizeof c->directory, RUN "/c", DEC(c->id), NULL);
    join(c->cgroup, sizeof c->cgroup, CONTAINERS, "/", DEC(c->id), NULL);
    c->sources = arena_alloc(&c->request.arena, (create->mount_count + 1) * sizeof *c->sources);
    if (!c->sources)
        return fail(e, CODE_SYSTEM, ENOMEM, "create container", NULL);
    if (!runtime_prepare(e) || !make_directory(c->directory, 0700, e) ||
        !make_directory(c->cgroup, 0755, e) || !stack_root(c, e))
        return false;
    if (!(create->flags & CONTAINER_PRIVILEGED) && !devices_limit(c->cgroup, create, e))
        return false;
    for (uint32_t i = 0; i < create->file_count; i++)
        if (!keep_file(c, i, &create->files[i], e))
            return false;
    for (uint32_t i = 0; i < create->mount_count; i++)
        if (!resolve_source(&c->held, &create->mounts[i], &c->sources[i], e))
            return false;
    return true;
}

static void unstack(struct container *c)
{
    char root[64];
    join(root, sizeof root, c->directory, "/root", NULL);
    umount2(root, MNT_DETACH);
}

bool container_release(struct container *c, struct error *e)
{
    unstack(c);
    if (!shared_drop(&c->held, e) && e->code == CODE_OK)
        return false;
    cgroup_clear(c);
    rmdir(c->cgroup);
    return true;
}

static void container_free(struct container *c)
{
    request_free(&c->request);
    close_fd(&c->events);
    free(c->upper);
    free(c->lower);
    free(c);
}

void container_delete(struct container *c)
{
    size_t i = 0;
    while (containers[i] != c)
        i++;
    containers[i] = containers[--container_count];
    container_free(c);
}

struct container *container_create(struct request *q, struct error *e)
{
    uint32_t id = q->create.container;
    if (container_find(id)) {
        fail(e, CODE_EXISTS, 0, "container ", DEC(id), " exists", NULL);
        return NULL;
    }
    struct container *c = container_count < MAX_CONTAINERS ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        fail(e, CODE_LIMIT, 0, "no room for container ", DEC(id), NULL);
        return NULL;
    }
    c->id = id;
    c->events = -1;
    c->request = *q;
    if (!container_fill(c, e)) {
        struct error ignored = {0};
        container_release(c, &ignored);
        *q = c->request; /* the arena may have grown */
        c->request = (struct request){0};
        container_free(c);
        return NULL;
    }
    char path[80];
    join(path, sizeof path, c->cgroup, "/memory.events", NULL);
    c->events = open(path, O_RDONLY | O_CLOEXEC);
    c->oom_before = c->oom_told = container_oom_kills(c);
    *q = (struct request){.op = q->op, .id = q->id};
    containers[container_count++] = c;
    return c;
}

static bool refill_one(const struct container *c, const struct container_file *f, struct error *e)
{
    const struct create_request *create = &c->request.create;
    for (uint32_t i = 0; i < create->file_count; i++)
        if (strcmp(create->files[i].path, f->path) == 0)
            return keep_file(c, i, f, e);
    return fail(e, CODE_NO_SUCH, 0, "container ", DEC(c->id), " keeps no file ", f->path, NULL);
}

bool container_refill(const struct refill_request *f, struct error *e)
{
    const struct container *c = container_find(f->container);
    if (!c)
        return fail(e, CODE_NO_SUCH, 0, "no container ", DEC(f->container), NULL);
    for (uint32_t i = 0; i < f->file_count; i++)
        if (!refill_one(c, &f->files[i], e))
            return false;
    return true;
}

uint64_t container_oom_kills(const struct container *c)
{
    char events[512];
    ssize_t n = c->events < 0 ? -1 : pread(c->events, events, sizeof events - 1, 0);
    if (n < 0)
        return 0;
    events[n] = 0;
    const char *at = strstr(events, "oom_kill ");
    return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

bool container_signal(struct container *c, int signal)
{
    char path[80];
    if (signal == SIGKILL) {
        join(path, sizeof path, c->cgroup, "/cgroup.kill", NULL);
        if (write_file(path, "1"))
            return true;
    }
    _cleanup_free_ char *pids = cgroup_pids(c, 65536);
    if (!pids)
        return false;
    for (char *at = pids, *end; *at; at = end + 1) {
        long pid = strtol(at, &end, 10);
        if (end == at || *end != '\n')
            break;
        if (pid > 1)
            kill((pid_t)pid, signal);
    }
    return true;
}

/* Writes a limit of the container's cgroup: 0 leaves it, UINT64_MAX takes it away. */
static bool set_limit(const struct container *c, const char *name, uint64_t value,
                      const char *period, struct error *e)
{
    char path[80], text[48];
    join(path, sizeof path, c->cgroup, name, NULL);
    join(text, sizeof text, value == UINT64_MAX ? "max" : DEC(value), period, NULL);
    if (value == 0 || write_file(path, text))
        return true;
    return fail(e, CODE_SYSTEM, errno, "container ", DEC(c->id), ": write ", name + 1, NULL);
}

bool container_update(const struct update_request *u, struct error *e)
{
    char path[80];
    struct container *c = container_find(u->container);
    if (!c)
        return fail(e, CODE_NO_SUCH, 0, "no container ", DEC(u->container), NULL);
    join(path, sizeof path, c->cgroup, "/cgroup.freeze", NULL);
    /* It need not have happened when this is answered: who is to be frozen executes nothing more.
     */
    if (u->flags && !write_file(path, u->flags & UPDATE_FREEZE ? "1" : "0"))
        return fail(e, CODE_SYSTEM, errno, "freeze container ", DEC(c->id), NULL);
    if (u->flags)
        c->frozen_by = 0; /* that is what counts from now on */
    cgroups_allow(u->memory);
    return set_limit(c, "/memory.max", u->memory, "", e) &&
           set_limit(c, "/pids.max", u->pids, "", e) &&
           set_limit(c, "/cpu.max", u->cpu_us, " 100000", e);
}

static bool write_freeze(const struct container *c, const char *text)
{
    char path[80];
    join(path, sizeof path, c->cgroup, "/cgroup.freeze", NULL);
    return write_file(path, text);
}

void container_freeze(struct container *c, uint32_t process)
{
    char path[80], now[8];
    join(path, sizeof path, c->cgroup, "/cgroup.freeze", NULL);
    if (!c->frozen_by && read_file(path, now, sizeof now) > 0 && *now == '0' &&
        write_freeze(c, "1"))
        c->frozen_by = process;
}

void container_thaw(struct container *c, uint32_t process)
{
    if (c->frozen_by != process)
        return;
    write_freeze(c, "0");
    c->frozen_by = 0;
}

void containers_release(void)
{
    for (size_t i = 0; i < container_count; i++)
        unstack(containers[i]);
}
