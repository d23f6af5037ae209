#include "process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

#include "builtin.h"
#include "carrier.h"
#include "cgroup.h"
#include "child.h"

struct process *processes[MAX_PROCESSES];
size_t process_slots;

struct process *process_find(uint32_t id)
{
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && processes[i]->id == id && !processes[i]->forsaken)
            return processes[i];
    return NULL;
}

static size_t slot_of(const struct process *p)
{
    size_t i = 0;
    while (processes[i] != p)
        i++;
    return i;
}

/* Ready from the start: the first read or write finds out. */
static void process_watch(int epoll, const struct process *p, int fd, enum process_part part)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u64 = TAG_PROCESS + ((uint64_t)slot_of(p) << TAG_SLOT | part),
    };
    if (fd >= 0)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

void process_event(size_t slot, enum process_part part, uint32_t events)
{
    struct process *p = slot < process_slots ? processes[slot] : NULL;
    if (!p)
        return;
    bool in = events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP);
    bool out = events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    if (part == PART_OUT)
        p->out.readable |= in && !p->out.ended;
    if (part == PART_ERR)
        p->err.readable |= in && !p->err.ended;
    if (part == PART_IN || (part == PART_OUT && p->flags & START_TTY))
        p->in.writable |= out;
}

static struct process *process_new(const struct start_request *s, struct container *c)
{
    size_t slot = 0;
    while (slot < process_slots && processes[slot])
        slot++;
    struct process *p = slot < MAX_PROCESSES ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    p->id = s->process;
    p->flags = s->flags;
    p->container = c;
    p->in.fd = p->out.fd = p->err.fd = p->status = -1;
    p->out.used = true;
    p->err.used = !(s->flags & START_TTY);
    processes[slot] = p;
    if (slot == process_slots)
        process_slots++;
    return p;
}

static void process_delete(struct process *p)
{
    processes[slot_of(p)] = NULL;
    while (process_slots && !processes[process_slots - 1])
        process_slots--;
    if (p->flags & START_TTY)
        p->in.fd = -1;
    close_fd(&p->in.fd);
    close_fd(&p->out.fd);
    close_fd(&p->err.fd);
    close_fd(&p->status);
    carrier_acknowledged(p->id * 4 + 1, UINT64_MAX);
    carrier_acknowledged(p->id * 4 + 2, UINT64_MAX);
    ring_free(&p->in.ring);
    ring_free(&p->out.ring);
    ring_free(&p->err.ring);
    free(p);
}

static bool may_start_builtin(const struct start_request *s, struct error *e)
{
    if (!builtin_known(s->args[0]))
        return fail(e, CODE_UNKNOWN_OP, 0, "no builtin ", s->args[0], NULL);
    if (s->flags & START_TTY || (s->flags & START_INIT && builtin_outside(s->args[0])))
        return fail(e, CODE_MALFORMED, 0, "builtin ", s->args[0], " with wrong flags", NULL);
    return true;
}

static bool may_start(const struct start_request *s, const struct container *c, struct error *e)
{
    if (!c)
        return fail(e, CODE_NO_SUCH, 0, "no container ", DEC(s->container), NULL);
    if (c->removing)
        return fail(e, CODE_STATE, 0, "container ", DEC(c->id), " is being removed", NULL);
    if (process_find(s->process))
        return fail(e, CODE_EXISTS, 0, "process ", DEC(s->process), " exists", NULL);
    if (!s->arg_count)
        return fail(e, CODE_MALFORMED, 0, "process ", DEC(s->process), " without arguments", NULL);
    bool builtin = s->flags & START_BUILTIN;
    if (builtin && !may_start_builtin(s, e))
        return false;
    if (s->flags & START_FREEZE && !builtin)
        return fail(e, CODE_MALFORMED, 0, "process ", DEC(s->process), " with wrong flags", NULL);
    if (builtin && builtin_outside(s->args[0]))
        return true;
    if (s->flags & START_INIT && c->init_pid)
        return fail(e, CODE_STATE, 0, "container ", DEC(c->id), " is running", NULL);
    if (!(s->flags & START_INIT) && !c->init_ready)
        return fail(e, CODE_STATE, 0, "container ", DEC(c->id), " is not running", NULL);
    return true;
}

enum answer process_start(const struct request *q, int epoll, struct error *e)
{
    const struct start_request *s = &q->start;
    struct container *c = container_find(s->container);
    struct spawned spawned;
    if (!may_start(s, c, e))
        return ANSWER_NOW;
    struct process *p = process_new(s, c);
    if (!p) {
        fail(e, CODE_LIMIT, 0, "no room for process ", DEC(s->process), NULL);
        return ANSWER_NOW;
    }
    if (s->flags & START_FREEZE)
        container_freeze(c, p->id);
    if (!spawn(&spawned, s, c, e)) {
        container_thaw(c, p->id);
        process_delete(p);
        return ANSWER_NOW;
    }
    p->pid = spawned.pid;
    p->in.fd = spawned.in;
    p->out.fd = spawned.out;
    p->err.fd = spawned.err;
    p->status = spawned.status;
    p->request_id = q->id;
    if (s->flags & START_INIT)
        c->init_pid = p->pid;
    process_watch(epoll, p, p->in.fd, PART_IN);
    process_watch(epoll, p, p->out.fd, PART_OUT);
    process_watch(epoll, p, p->err.fd, PART_ERR);
    process_watch(epoll, p, p->status, PART_STATUS);
    return ANSWER_LATER;
}

static void set_exit(struct process *p, uint32_t status, uint32_t signal)
{
    p->state = PROCESS_EXITED;
    p->exit_due = true;
    p->exit_status = status;
    p->exit_signal = signal;
    p->exit_ns = now_ns(CLOCK_REALTIME);
}

static void start_failed(struct process *p, const struct error *e)
{
    if (p->flags & START_INIT) {
        p->container->init_pid = 0;
        p->container->init_ready = false;
    }
    close_fd(&p->status);
    container_thaw(p->container, p->id);
    if (p->request_id || p->forsaken) {
        process_delete(p);
        return;
    }
    /* The host that asked is gone and the next one has seen this process in HELLO. */
    p->pid = 0;
    p->orphaned = true;
    set_exit(p, e->code == CODE_NOT_FOUND ? 127 : e->code == CODE_NOT_EXECUTABLE ? 126 : 125, 0);
}

static void start_done(struct process *p)
{
    p->state = PROCESS_RUNNING;
    if (p->flags & START_INIT)
        p->container->init_ready = true;
    close_fd(&p->status);
}

/* The child has sent the master of its terminal. */
static void take_terminal(struct process *p, int master, int epoll)
{
    if (p->out.fd >= 0 || !(p->flags & START_TTY)) {
        close_fd(&master);
        return;
    }
    p->out.fd = p->in.fd = master; /* non-blocking: the child opened it so */
    process_watch(epoll, p, master, PART_OUT);
}

void process_status(struct process *p, int epoll, started_fn *started)
{
    struct status status;
    int terminal;
    while (p->status >= 0) {
        int got = spawn_status(p->status, &status, &terminal);
        if (terminal >= 0)
            take_terminal(p, terminal, epoll);
        if (got < 0)
            return;
        struct error e = {0};
        if (got && status.kind == STATUS_READY)
            p->ready = true;
        if (got && status.kind != STATUS_ERROR)
            continue;
        if (got) {
            e = status.error;
            e.text[MAX_TEXT] = 0;
        } else if (!p->ready) {
            fail(&e, CODE_SYSTEM, 0, "the process died before it was executed", NULL);
        }
        if (!e.code)
            start_done(p);
        started(p, &e);
        if (e.code)
            start_failed(p, &e);
        return;
    }
}

/* The container's first process has ended, and with it all others. */
static void container_ended(struct container *c)
{
    if (c->request.create.flags & CONTAINER_SHARE_PID)
        container_signal(c, SIGKILL); /* it was not their PID 1 */
    c->init_pid = 0;
    c->init_ready = false;
    cgroup_clear(c);
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && processes[i]->container == c && processes[i]->state == PROCESS_EXITED)
            processes[i]->orphaned = true;
}

static void process_ended(struct process *p, int status)
{
    uint32_t signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    p->pid = 0;
    container_thaw(p->container, p->id);
    set_exit(p, signal ? 128 + signal : (uint32_t)WEXITSTATUS(status), signal);
    if (p->flags & START_INIT) {
        uint64_t kills = container_oom_kills(p->container);
        p->oom = kills > p->container->oom_before;
        p->container->oom_before = p->container->oom_told = kills;
        container_ended(p->container);
    }
    if (p->forsaken)
        process_delete(p);
}

void processes_oom(oom_fn *tell)
{
    for (size_t i = 0; i < process_slots; i++) {
        struct process *p = processes[i];
        if (!p || p->state != PROCESS_RUNNING || !(p->flags & START_INIT))
            continue;
        uint64_t kills = container_oom_kills(p->container);
        if (kills > p->container->oom_told)
            tell(p);
        p->container->oom_told = kills;
    }
}

void processes_forsake(void)
{
    for (size_t i = 0; i < process_slots; i++) {
        struct process *p = processes[i];
        if (!p || !(p->flags & START_BUILTIN) || p->forsaken)
            continue;
        p->forsaken = true;
        p->request_id = 0;
        if (p->pid > 0)
            kill(p->pid, SIGKILL);
        else
            process_delete(p);
    }
}

static struct process *find_pid(pid_t pid)
{
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && processes[i]->pid == pid)
            return processes[i];
    return NULL;
}

bool processes_wait(int epoll, started_fn *started)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct process *p = find_pid(pid);
        if (p && p->state == PROCESS_STARTING)
            process_status(p, epoll, started); /* its last words come before its end */
        p = find_pid(pid);
        if (p)
            process_ended(p, status);
    }
    return pid == 0;
}

static struct process *process_running(uint32_t id, struct error *e)
{
    struct process *p = process_find(id);
    if (!p)
        fail(e, CODE_NO_SUCH, 0, "no process ", DEC(id), NULL);
    else if (p->state == PROCESS_EXITED)
        fail(e, CODE_STATE, 0, "process ", DEC(id), " has exited", NULL);
    else
        return p;
    return NULL;
}

bool process_signal(const struct signal_request *s, struct error *e)
{
    struct process *p = process_running(s->process, e);
    if (!p)
        return false;
    if (s->signal > 64)
        return fail(e, CODE_SYSTEM, EINVAL, "signal ", DEC(s->signal), NULL);
    bool ok = s->flags & SIGNAL_CONTAINER ? container_signal(p->container, (int)s->signal)
                                          : !kill(p->pid, (int)s->signal);
    return ok || fail(e, CODE_SYSTEM, errno, "signal process ", DEC(s->process), NULL);
}

bool process_resize(const struct resize_request *r, struct error *e)
{
    struct process *p = process_running(r->process, e);
    struct winsize size = {.ws_row = r->rows, .ws_col = r->columns};
    if (!p)
        return false;
    if (!(p->flags & START_TTY) || p->out.fd < 0)
        return fail(e, CODE_STATE, 0, "process ", DEC(r->process), " has no terminal", NULL);
    if (ioctl(p->out.fd, TIOCSWINSZ, &size))
        return fail(e, CODE_SYSTEM, errno, "resize process ", DEC(r->process), NULL);
    return true;
}

bool process_reap(uint32_t id, struct error *e)
{
    struct process *p = process_find(id);
    if (!p)
        return fail(e, CODE_NO_SUCH, 0, "no process ", DEC(id), NULL);
    if (p->state != PROCESS_EXITED)
        return fail(e, CODE_STATE, 0, "process ", DEC(id), " has not exited", NULL);
    process_delete(p);
    return true;
}
