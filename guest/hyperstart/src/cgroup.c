#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 64 };

static int open_directory(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int cgroup_of_init(const struct container *c)
{
    char path[48], text[PATH_MAX + 8], full[PATH_MAX + 32];
    const char *own = c->cgroup + strlen("/cgroup");
    size_t size = strlen(own);
    join(path, sizeof path, "/proc/", DEC(c->init_pid), "/cgroup", NULL);
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    char *at = strstr(text, "0::"); /* version 2 has one line */
    errno = ENOENT;
    if (!at || strncmp(at + 3, own, size) != 0 || (at[3 + size] != '/' && at[3 + size] != '\n'))
        return -1;
    at[strcspn(at, "\n")] = 0;
    if (!join(full, sizeof full, "/cgroup", at + 3, NULL))
        return -1;
    return open_directory(AT_FDCWD, full);
}

/* A list of pids that is being written. */
struct list {
    char *text;
    size_t size, used;
};

static void gather(int directory, struct list *to)
{
    _cleanup_close_ int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && to->used + 1 < to->size) {
        ssize_t n = read(fd, to->text + to->used, to->size - 1 - to->used);
        if (n <= 0)
            break;
        to->used += (size_t)n;
    }
    to->text[to->used] = 0;
}

typedef void visit_fn(int parent, const char *name, int directory, void *context);

/* Visits every group below directory, the deepest first. */
static void each_below(int directory, unsigned depth, visit_fn *visit, void *context)
{
    struct stat s;
    /* Every group is a link more: nobody is looked for where there is none. */
    if (fstat(directory, &s) || s.st_nlink <= 2 || depth == MAX_DEPTH)
        return;
    DIR *list = fdopendir(fcntl(directory, F_DUPFD_CLOEXEC, 0));
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (entry->d_type != DT_DIR || *entry->d_name == '.')
            continue;
        _cleanup_close_ int child = open_directory(directory, entry->d_name);
        if (child < 0)
            continue;
        each_below(child, depth + 1, visit, context);
        visit(directory, entry->d_name, child, context);
    }
    if (list)
        closedir(list);
}

static void gather_one(int parent, const char *name, int directory, void *context)
{
    (void)parent;
    (void)name;
    gather(directory, context);
}

char *cgroup_pids(const struct container *c, size_t size)
{
    struct list to = {.text = malloc(size), .size = size};
    _cleanup_close_ int directory = open_directory(AT_FDCWD, c->cgroup);
    if (!to.text || directory < 0) {
        free(to.text);
        return NULL;
    }
    gather(directory, &to);
    each_below(directory, 0, gather_one, &to);
    return to.text;
}

static void remove_one(int parent, const char *name, int directory, void *context)
{
    (void)directory;
    (void)context;
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* A group that hands on controllers may hold no process. */
static void withdraw_controllers(const struct container *c)
{
    char path[80], text[256], words[512] = "";
    join(path, sizeof path, c->cgroup, "/cgroup.subtree_control", NULL);
    if (read_file(path, text, sizeof text) <= 0)
        return;
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        append(words, sizeof words, "-");
        append(words, sizeof words, word);
        append(words, sizeof words, " ");
    }
    if (*words)
        write_file(path, words);
}

void cgroup_clear(const struct container *c)
{
    struct stat s;
    _cleanup_close_ int directory = open_directory(AT_FDCWD, c->cgroup);
    if (directory < 0 || fstat(directory, &s) || s.st_nlink <= 2)
        return;
    each_below(directory, 0, remove_one, NULL);
    withdraw_controllers(c);
}
