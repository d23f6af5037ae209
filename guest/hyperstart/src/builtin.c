#include "builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>

#include "changes.h"
#include "events.h"
#include "extract.h"
#include "probe.h"
#include "tree.h"

enum { FREEZE_MS = 2000 };

typedef bool builtin_fn(const struct builtin *b, struct error *e);

static const char *argument(const struct builtin *b, uint32_t number)
{
    return number < b->start->arg_count ? b->start->args[number] : "";
}

/* Opens a path of the process's root. */
static int open_path(const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static bool no_path(const char *path, int err, struct error *e)
{
    bool missing = err == ENOENT;
    return fail(e, missing ? CODE_NO_SUCH : CODE_SYSTEM, err, path, NULL);
}

/* Splits an absolute path; the directory part is "/" for what is in the root. */
static const char *split(const char *path, char *directory, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) + 2 > size)
        return NULL;
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, path, length);
    directory[length] = 0;
    return slash + 1;
}

/* Where the link at path leads to in the end; as far as the link itself says if that is not there.
 */
static void follow(const struct builtin *b, const char *path, char *target)
{
    char directory[MAX_ENTRY_PATH + 1], link[MAX_LINK + 1];
    _cleanup_close_ int fd = open_path(path, O_PATH);
    ssize_t n = fd < 0 ? -1 : readlinkat(b->own_files, DEC(fd), target, MAX_LINK);
    if (n > 0) {
        target[n] = 0;
        return;
    }
    *target = 0;
    n = readlinkat(AT_FDCWD, path, link, MAX_LINK);
    if (n <= 0 || !split(path, directory, sizeof directory))
        return;
    link[n] = 0;
    bool absolute = *link == '/', root = !directory[1];
    join(target, MAX_LINK + 1, absolute || root ? "" : directory, absolute ? "" : "/", link, NULL);
}

/* Opens what is asked for and says what it is. */
static int open_asked(const struct builtin *b, struct stat *s, struct error *e)
{
    static char target[MAX_LINK + 1];
    const char *path = argument(b, 1);
    int fd = open_path(path, O_PATH | O_NOFOLLOW);
    if (fd >= 0 && is_made_up(fd)) {
        close_fd(&fd); /* /proc and its like are not part of the container's files */
        errno = ENOENT;
    }
    if (fd < 0 || fstat(fd, s)) {
        no_path(path, errno, e);
        return -1;
    }
    *target = 0;
    if (S_ISLNK(s->st_mode))
        follow(b, path, target);
    output_stat(s, target);
    return fd;
}

static bool run_stat(const struct builtin *b, struct error *e)
{
    struct stat s;
    _cleanup_close_ int fd = open_asked(b, &s, e);
    return fd >= 0;
}

static bool get_directory(struct tree *t, int fd, const struct stat *s, struct error *e)
{
    int directory = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fail(e, CODE_SYSTEM, errno, "open the directory", NULL);
    return tree_entry(t, fd, ".", s, e) && tree_children(t, directory, s, e);
}

static bool run_get(const struct builtin *b, struct error *e)
{
    static struct tree tree;
    char directory[MAX_ENTRY_PATH + 1];
    struct stat s;
    const char *path = argument(b, 1);
    _cleanup_close_ int fd = open_asked(b, &s, e);
    if (fd < 0)
        return false;
    tree.root = path[strspn(path, "/.")] == 0;
    if (S_ISDIR(s.st_mode))
        return get_directory(&tree, fd, &s, e);
    const char *name = split(path, directory, sizeof directory);
    _cleanup_close_ int parent = name ? open_path(directory, O_PATH | O_DIRECTORY) : -1;
    if (parent < 0)
        return no_path(path, errno, e);
    return tree_entry(&tree, parent, name, &s, e);
}

static bool run_put(const struct builtin *b, struct error *e)
{
    struct extract x = {.path = argument(b, 1), .uid = b->uid, .gid = b->gid};
    for (uint32_t i = 2; i < b->start->arg_count; i++) {
        x.keep_kinds |= strcmp(argument(b, i), "keep-kinds") == 0;
        x.chown |= strcmp(argument(b, i), "chown") == 0;
    }
    struct statvfs s;
    x.root = open_path(x.path, O_PATH | O_DIRECTORY);
    if (x.root < 0)
        return no_path(x.path, errno, e);
    if (fstatvfs(x.root, &s) || s.f_flag & ST_RDONLY)
        return fail(e, CODE_SYSTEM, EROFS, x.path, NULL);
    return extract_tree(&x, e);
}

static bool run_export(const struct builtin *b, struct error *e)
{
    static struct tree tree;
    char root[64];
    struct stat s;
    join(root, sizeof root, b->container->directory, "/root", NULL);
    if (chroot(root) || chdir("/"))
        return fail(e, CODE_SYSTEM, errno, "enter the root", NULL);
    int fd = open_path("/", O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fstat(fd, &s))
        return fail(e, CODE_SYSTEM, errno, "open the root", NULL);
    return tree_children(&tree, fd, &s, e);
}

/* The union of the layers: of one its own mount, of several a mount nobody else sees. */
static int open_lower(const struct container *c, struct error *e)
{
    char path[64], data[3072];
    if (!strchr(c->lower, ':'))
        return open(c->lower, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    join(path, sizeof path, c->directory, "/lower", NULL);
    if (unshare(CLONE_NEWNS) || (mkdir(path, 0700) && errno != EEXIST) ||
        !join(data, sizeof data, "lowerdir=", c->lower, NULL) ||
        mount("overlay", path, "overlay", MS_RDONLY | MS_NODEV, data)) {
        fail(e, CODE_MOUNT, errno, "stack the layers of container ", DEC(c->id), NULL);
        return -1;
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool compare(const struct builtin *b, bool layer, struct error *e)
{
    int lower = open_lower(b->container, e);
    if (lower < 0)
        return e->code ? false : fail(e, CODE_SYSTEM, errno, "open the layers", NULL);
    int upper = open(b->container->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (upper < 0)
        return fail(e, CODE_SYSTEM, errno, "open what was changed", NULL);
    return changes_write(upper, lower, layer, b->start->args + 1, e);
}

static bool run_changes(const struct builtin *b, struct error *e)
{
    return compare(b, false, e);
}

static bool run_diff(const struct builtin *b, struct error *e)
{
    return compare(b, true, e);
}

static bool run_probe(const struct builtin *b, struct error *e)
{
    const struct start_request *s = b->start;
    if (strcmp(argument(b, 1), "tcp") == 0)
        return probe_tcp(argument(b, 2), e);
    if (strcmp(argument(b, 1), "http") == 0 && s->arg_count >= 4)
        return probe_http(s->args[2], s->args[3], s->args + 4, s->arg_count - 4, e);
    return fail(e, CODE_MALFORMED, 0, "no such probe", NULL);
}

static bool run_events(const struct builtin *b, struct error *e)
{
    const struct start_request *s = b->start;
    if (s->arg_count < 2)
        return fail(e, CODE_MALFORMED, 0, "no share to tell of", NULL);
    return events_tell(s->args[1], s->args + 2, s->arg_count - 2, e);
}

static const struct {
    const char *name;
    bool outside;
    builtin_fn *run;
} builtins[] = {
    {"stat", false, run_stat},    {"archive-get", false, run_get}, {"archive-put", false, run_put},
    {"export", true, run_export}, {"changes", true, run_changes},  {"diff", true, run_diff},
    {"probe", true, run_probe},   {"events", true, run_events},
};

static size_t find(const char *name)
{
    size_t i = 0;
    while (i < COUNT(builtins) && strcmp(builtins[i].name, name) != 0)
        i++;
    return i;
}

bool builtin_known(const char *name)
{
    return find(name) < COUNT(builtins);
}

bool builtin_outside(const char *name)
{
    size_t i = find(name);
    return i < COUNT(builtins) && builtins[i].outside;
}

/* Waits until every process of the container stands still. */
static bool wait_frozen(const struct container *c, struct error *e)
{
    char path[80], events[256];
    join(path, sizeof path, c->cgroup, "/cgroup.events", NULL);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t end = now_ns(CLOCK_BOOTTIME) + FREEZE_MS * 1000000ULL;
    while (fd >= 0) {
        ssize_t n = pread(fd, events, sizeof events - 1, 0);
        if (n <= 0)
            break;
        events[n] = 0;
        if (strstr(events, "frozen 1"))
            return true;
        uint64_t now = now_ns(CLOCK_BOOTTIME);
        struct pollfd change = {.fd = fd, .events = POLLPRI};
        if (now >= end || poll(&change, 1, (int)((end - now) / 1000000) + 1) < 0)
            break;
    }
    return fail(e, CODE_SYSTEM, EBUSY, "pause container ", DEC(c->id), NULL);
}

void builtin_run(const struct builtin *b)
{
    struct error e = {0};
    size_t i = find(argument(b, 0));
    bool ok = i < COUNT(builtins) &&
              (!(b->start->flags & START_FREEZE) || wait_frozen(b->container, &e)) &&
              builtins[i].run(b, &e);
    if (ok)
        output_end();
    else
        output_error(&e);
    _exit(!ok);
}
