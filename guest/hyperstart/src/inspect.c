#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cgroup.h"
#include "container.h"
#include "target.h"

enum {
    ANSWER = 8000, /* there is always room for so much: see TX_CONTROL */
    MAX_FILE = 2048,
    MAX_PASSWD = 4096,
    MAX_STAT = 512,
    MAX_COMMAND = 1024,
    MAX_PIDS = 65536, /* bytes of cgroup.procs that are looked at */
    PROCESS = 4 + 4 + 4 + 4,
};

/* An answer that is being written. */
static uint8_t answer[ANSWER];

static struct writer begin(void)
{
    struct writer w = {.at = answer, .end = answer + ANSWER};
    write_u64(&w, now_ns(CLOCK_BOOTTIME));
    return w;
}

static size_t room(const struct writer *w)
{
    return (size_t)(w->end - w->at);
}

static enum answer finish(const struct request *q, const struct writer *w)
{
    reply_send(q->id, &(struct error){0}, answer, (size_t)(w->at - answer));
    return ANSWER_GIVEN;
}

/* Appends a file under the last part of its name, if it is there and there is room. */
static bool write_stat_file(struct writer *w, const char *directory, const char *name)
{
    char path[96], content[MAX_FILE];
    join(path, sizeof path, directory, name, NULL);
    ssize_t size = read_file(path, content, sizeof content);
    if (size < 0 || 8 + strlen(name) + (size_t)size > room(w))
        return false;
    write_str(w, name);
    write_bytes(w, content, (size_t)size);
    return true;
}

enum answer inspect_stats(const struct request *q, struct error *e)
{
    static const char *const files[] = {
        "cpu.stat",     "memory.current", "memory.peak",   "memory.max", "memory.stat",
        "pids.current", "pids.max",       "memory.events", "io.stat",
    };
    const struct container *c = container_find(q->stats);
    if (!c) {
        fail(e, CODE_NO_SUCH, 0, "no container ", DEC(q->stats), NULL);
        return ANSWER_NOW;
    }
    char directory[64];
    join(directory, sizeof directory, c->cgroup, "/", NULL);
    struct writer w = begin();
    uint8_t *count_at = write_raw(&w, 4);
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT(files); i++)
        count += write_stat_file(&w, directory, files[i]);
    count += write_stat_file(&w, "/proc/", "net/dev");
    put_u32(count_at, count);
    return finish(q, &w);
}

/* The container's /etc/passwd as far as the agent sees it: not what is mounted over it. */
static void write_passwd(struct writer *w, const struct container *c)
{
    char path[64], content[MAX_PASSWD];
    size_t size = 0;
    struct stat s;
    join(path, sizeof path, c->directory, "/root", NULL);
    _cleanup_close_ int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int found = root < 0 ? -1 : target_open(root, "/etc/passwd");
    /* Nothing else may be read: a pipe would never end. */
    if (found >= 0 && !fstat(found, &s) && S_ISREG(s.st_mode)) {
        join(path, sizeof path, "/proc/self/fd/", DEC(found), NULL);
        ssize_t n = read_file(path, content, sizeof content);
        size = n > 0 ? (size_t)n : 0;
    }
    write_bytes(w, content, size);
}

static uint32_t effective_uid(const char *directory)
{
    char path[64], status[1024];
    join(path, sizeof path, directory, "status", NULL);
    if (read_file(path, status, sizeof status) < 0)
        return 0;
    const char *at = strstr(status, "\nUid:\t");
    at = at ? strchr(at + 6, '\t') : NULL;
    return at ? (uint32_t)strtoul(at + 1, NULL, 10) : 0;
}

/* Appends a process. False: there is no room for it. One that has ended meanwhile is left out. */
static bool write_process(struct writer *w, uint32_t pid, uint32_t *count)
{
    char directory[48], path[64], stat[MAX_STAT], command[MAX_COMMAND];
    join(directory, sizeof directory, "/proc/", DEC(pid), "/", NULL);
    join(path, sizeof path, directory, "stat", NULL);
    ssize_t stat_size = read_file(path, stat, sizeof stat);
    join(path, sizeof path, directory, "cmdline", NULL);
    ssize_t size = read_file(path, command, sizeof command);
    if (stat_size < 0 || size < 0)
        return true;
    if (PROCESS + (size_t)stat_size + (size_t)size > room(w))
        return false;
    write_u32(w, pid);
    write_u32(w, effective_uid(directory));
    write_bytes(w, stat, (size_t)stat_size);
    write_bytes(w, command, (size_t)size);
    ++*count;
    return true;
}

/* The smallest process id in text (one a line) above after; 0 if there is none. */
static uint32_t next_pid(const char *text, uint32_t after)
{
    unsigned long best = 0;
    for (char *end; *text; text = end + 1) {
        unsigned long pid = strtoul(text, &end, 10);
        if (end == text || *end != '\n')
            break;
        if (pid > after && pid <= INT32_MAX && (!best || pid < best))
            best = pid;
    }
    return (uint32_t)best;
}

enum answer inspect_top(const struct request *q, struct error *e)
{
    const struct container *c = container_find(q->top.container);
    if (!c) {
        fail(e, CODE_NO_SUCH, 0, "no container ", DEC(q->top.container), NULL);
        return ANSWER_NOW;
    }
    _cleanup_free_ char *pids = cgroup_pids(c, MAX_PIDS);
    if (!pids) {
        fail(e, CODE_SYSTEM, errno, "list processes", NULL);
        return ANSWER_NOW;
    }
    struct writer w = begin();
    if (q->top.after)
        write_str(&w, "");
    else
        write_passwd(&w, c);
    uint8_t *more = write_raw(&w, 1 + 4);
    uint32_t count = 0, pid = q->top.after;
    while ((pid = next_pid(pids, pid)) && write_process(&w, pid, &count))
        ;
    *more = pid != 0;
    put_u32(more + 1, count);
    return finish(q, &w);
}
