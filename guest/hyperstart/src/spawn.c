#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "builtin.h"
#include "cgroup.h"
#include "child.h"

static int own_pid_namespace = -1;

/* Puts the next child into another PID name space. */
static bool enter_pid_namespace(int pidfd, struct error *e)
{
    if (own_pid_namespace < 0)
        own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own_pid_namespace < 0 || setns(pidfd, CLONE_NEWPID))
        return fail(e, CODE_STATE, errno, "join the container", NULL);
    return true;
}

static bool make_pipe(int *reader, int *writer)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return false;
    *reader = ends[0];
    *writer = ends[1];
    return true;
}

static void nonblocking(int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* Pipes for a process without a terminal. */
static bool make_pipes(struct spawned *s, struct child *child, const struct start_request *start)
{
    if (start->flags & START_TTY)
        return true;
    if (start->flags & START_STDIN && !make_pipe(&child->in, &s->in))
        return false;
    if (!make_pipe(&s->out, &child->out) || !make_pipe(&s->err, &child->err))
        return false;
    nonblocking(s->in);
    nonblocking(s->out);
    nonblocking(s->err);
    return true;
}

/* Like fork, but into the container's cgroup and, for its first process, new name spaces. A builtin
 * stays in the agent's cgroup: it goes on while the container stands still. */
static pid_t clone_into(const struct container *c, int cgroup, bool init, bool builtin)
{
    const struct create_request *create = &c->request.create;
    if (cgroup < 0)
        return -1;
    struct clone_args args = {
        .flags = builtin ? 0 : CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = builtin ? 0 : (unsigned)cgroup,
    };
    if (init)
        args.flags |= CLONE_NEWNS;
    if (init && !create->joins)
        args.flags |= CLONE_NEWIPC | CLONE_NEWUTS;
    if (init && !(create->flags & CONTAINER_SHARE_PID))
        args.flags |= CLONE_NEWPID;
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static pid_t clone_child(const struct container *c, bool init, bool builtin)
{
    _cleanup_close_ int cgroup = open(c->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pid_t pid = clone_into(c, cgroup, init, builtin);
    if (pid >= 0 || errno != EBUSY || init)
        return pid;
    /* A container that hands on controllers to groups of its own has none in its first one. */
    _cleanup_close_ int below = cgroup_of_init(c);
    return clone_into(c, below, init, builtin);
}

static void close_child(struct child *child)
{
    close_fd(&child->in);
    close_fd(&child->out);
    close_fd(&child->err);
    close_fd(&child->status);
    close_fd(&child->init);
    close_fd(&child->spaces);
}

static void close_spawned(struct spawned *s)
{
    close_fd(&s->in);
    close_fd(&s->out);
    close_fd(&s->err);
    close_fd(&s->status);
}

/* The first process of a container that shares another's name spaces: that runs. */
static bool find_spaces(struct child *child, struct error *e)
{
    const struct create_request *create = &child->container->request.create;
    if (!create->joins)
        return true;
    const struct container *other = container_find(create->joins);
    if (other && other->init_ready)
        child->spaces = (int)syscall(SYS_pidfd_open, other->init_pid, 0);
    if (child->spaces < 0)
        return fail(e, CODE_STATE, 0, "container ", DEC(create->joins), " is not running", NULL);
    return !(create->flags & CONTAINER_SHARE_PID) || enter_pid_namespace(child->spaces, e);
}

static bool prepare(struct spawned *s, struct child *child, struct error *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return fail(e, CODE_SYSTEM, errno, "start a process", NULL);
    s->status = ends[0];
    child->status = ends[1];
    nonblocking(s->status);
    if (!make_pipes(s, child, child->start))
        return fail(e, CODE_SYSTEM, errno, "start a process", NULL);
    bool builtin = child->start->flags & START_BUILTIN;
    if (builtin && builtin_outside(child->start->args[0]))
        return true;
    if (child->start->flags & START_INIT)
        return find_spaces(child, e);
    child->init = (int)syscall(SYS_pidfd_open, child->container->init_pid, 0);
    if (child->init < 0)
        return fail(e, CODE_STATE, errno, "join the container", NULL);
    return builtin || enter_pid_namespace(child->init, e);
}

bool spawn(struct spawned *s, const struct start_request *start, const struct container *c,
           struct error *e)
{
    struct child child = {start, c, -1, -1, -1, -1, -1, -1};
    *s = (struct spawned){0, -1, -1, -1, -1};
    bool init = start->flags & START_INIT;
    bool ok = prepare(s, &child, e);
    if (ok) {
        pid_t pid = clone_child(c, init, start->flags & START_BUILTIN);
        if (pid == 0)
            child_run(&child);
        s->pid = pid;
        int err = errno;
        if (own_pid_namespace >= 0)
            setns(own_pid_namespace, CLONE_NEWPID);
        if (pid < 0)
            ok = fail(e, CODE_SYSTEM, err, "start a process", NULL);
    }
    close_child(&child);
    if (!ok)
        close_spawned(s);
    return ok;
}

int spawn_status(int fd, struct status *status, int *terminal)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {status, sizeof *status};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    *terminal = -1;
    *status = (struct status){0};
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -1 : 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(terminal, CMSG_DATA(c), sizeof *terminal);
    return n > 0;
}
