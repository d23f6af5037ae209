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
static size_t used;

static void put32(uint32_t value)
{
    put_u32(answer + used, value);
    used += 4;
}

static void put_blob(const char *bytes, size_t size)
{
    put32((uint32_t)size);
    memcpy(answer + used, bytes, size);
    used += size;
}

static void begin(void)
{
    put_u64(answer, now_ns(CLOCK_BOOTTIME));
    used = 8;
}

/* Appends a file under the last part of its name, if it is there and there is room. */
static bool put_stat_file(const char *directory, const char *name)
{
    char path[96], content[MAX_FILE];
    join(path, sizeof path, directory, name, NULL);
    ssize_t size = read_file(path, content, sizeof content);
    if (size < 0 || used + 8 + strlen(name) + (size_t)size > ANSWER)
        return false;
    put_blob(name, strlen(name));
    put_blob(content, (size_t)size);
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
        fail(e, NO_SUCH, 0, "no container ", DEC(q->stats), NULL);
        return ANSWER_NOW;
    }
    char directory[64];
    join(directory, sizeof directory, c->cgroup, "/", NULL);
    begin();
    size_t at = used;
    uint32_t count = 0;
    put32(0);
    for (size_t i = 0; i < COUNT(files); i++)
        count += put_stat_file(directory, files[i]);
    count += put_stat_file("/proc/", "net/dev");
    put_u32(answer + at, count);
    reply_send(q->id, e, answer, used);
    return ANSWER_GIVEN;
}

/* The container's /etc/passwd as far as the agent sees it: not what is mounted over it. */
static void put_passwd(const struct container *c)
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
    put_blob(content, size);
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
static bool put_process(uint32_t pid, uint32_t *count)
{
    char directory[48], path[64], stat[MAX_STAT], command[MAX_COMMAND];
    join(directory, sizeof directory, "/proc/", DEC(pid), "/", NULL);
    join(path, sizeof path, directory, "stat", NULL);
    ssize_t stat_size = read_file(path, stat, sizeof stat);
    join(path, sizeof path, directory, "cmdline", NULL);
    ssize_t size = read_file(path, command, sizeof command);
    if (stat_size < 0 || size < 0)
        return true;
    if (used + PROCESS + (size_t)stat_size + (size_t)size > ANSWER)
        return false;
    put32(pid);
    put32(effective_uid(directory));
    put_blob(stat, (size_t)stat_size);
    put_blob(command, (size_t)size);
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
        fail(e, NO_SUCH, 0, "no container ", DEC(q->top.container), NULL);
        return ANSWER_NOW;
    }
    _cleanup_free_ char *pids = cgroup_pids(c, MAX_PIDS);
    if (!pids) {
        fail(e, SYSTEM, errno, "list processes", NULL);
        return ANSWER_NOW;
    }
    begin();
    if (q->top.after)
        put32(0);
    else
        put_passwd(c);
    size_t at = used;
    uint32_t count = 0, pid = q->top.after;
    used += 1 + 4;
    while ((pid = next_pid(pids, pid)) && put_process(pid, &count))
        ;
    answer[at] = pid != 0;
    put_u32(answer + at + 1, count);
    reply_send(q->id, e, answer, used);
    return ANSWER_GIVEN;
}
