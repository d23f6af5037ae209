#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "builtin.h"
#include "reaper.h"
#include "root.h"
#include "seccomp.h"
#include "spawn.h"
#include "user.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What a program may take unless asked otherwise: as in a container on a server. The kernel's own
 * first limits are those of a small machine (tunables.c). */
static const struct {
    int resource;
    struct rlimit limit;
} usual[] = {
    {RLIMIT_NOFILE, {1048576, 1048576}},
    {RLIMIT_NPROC, {RLIM_INFINITY, RLIM_INFINITY}},
    {RLIMIT_SIGPENDING, {65536, 65536}},
};

void child_raise_limits(void)
{
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){16384, 16384});
}

static void send_status(int fd, enum status_kind kind, const struct error *e, int terminal)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct status status = {.kind = (uint8_t)kind};
    if (e)
        status.error = *e;
    struct iovec part = {&status, sizeof status};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (terminal >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &terminal, sizeof terminal);
    }
    sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Leaves open what the program gets and, at 3 and 4, what the child itself needs. */
static bool keep_descriptors(struct child *c, struct error *e)
{
    int null = c->in < 0 || c->out < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    int status = fcntl(c->status, F_DUPFD_CLOEXEC, 5);
    int *joined = c->init < 0 ? &c->spaces : &c->init;
    int kept = *joined < 0 ? -1 : fcntl(*joined, F_DUPFD_CLOEXEC, 5);
    if (dup2(c->in < 0 ? null : c->in, 0) < 0 || dup2(c->out < 0 ? null : c->out, 1) < 0 ||
        dup2(c->err < 0 ? null : c->err, 2) < 0 || dup3(status, 3, O_CLOEXEC) < 0)
        return fail(e, CODE_SYSTEM, errno, "start a process", NULL);
    c->status = 3;
    *joined = kept < 0 ? -1 : dup3(kept, 4, O_CLOEXEC);
    syscall(SYS_close_range, kept < 0 ? 4 : 5, ~0U, 0);
    return true;
}

/* What stands for no input is the container's own /dev/null: that of the agent would show as
 * "/null". In a container that runs already anything may be at this path. */
static void renew_null(const struct child *c)
{
    struct stat s;
    if (c->in >= 0 || c->start->flags & START_TTY)
        return;
    int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
    _cleanup_close_ int null = open("/dev/null", flags);
    if (null >= 0 && !fstat(null, &s) && S_ISCHR(s.st_mode) && s.st_rdev == makedev(1, 3) &&
        dup2(null, 0) == 0)
        fcntl(0, F_SETFL, 0);
}

/* The container's first process makes its root; the others join it. */
static bool enter(struct child *c, struct error *e)
{
    const char *hostname = c->container->request.create.hostname;
    if (c->init >= 0) {
        int spaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
        if (setns(c->init, spaces))
            return fail(e, CODE_STATE, errno, "join the container", NULL);
        return true;
    }
    if (c->spaces >= 0 && setns(c->spaces, CLONE_NEWIPC | CLONE_NEWUTS))
        return fail(e, CODE_STATE, errno, "join the other container", NULL);
    /* Not by clone: its cgroup name space would begin at the agent's cgroup. */
    if (unshare(CLONE_NEWCGROUP))
        return fail(e, CODE_SYSTEM, errno, "new cgroup name space", NULL);
    if (c->spaces < 0 && *hostname && sethostname(hostname, strlen(hostname)))
        return fail(e, CODE_SYSTEM, errno, "set host name ", hostname, NULL);
    return root_mount(c->container, e) && root_enter(c->container, e);
}

/* Binds the terminal over /dev/console, as programs that log there expect. */
static bool bind_console(int number, struct error *e)
{
    char path[32];
    join(path, sizeof path, "/dev/pts/", DEC(number), NULL);
    _cleanup_close_ int fd =
        open("/dev/console", O_CREAT | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || mount(path, "/dev/console", NULL, MS_BIND, NULL))
        return fail(e, CODE_MOUNT, errno, "bind /dev/console", NULL);
    return true;
}

/* Opens a terminal of the container's own devpts, hands its master to the agent, makes it ours. */
static bool open_terminal(struct child *c, struct error *e)
{
    struct stat s;
    int number, unlock = 0;
    /* In a container that runs already anything may be at this path. */
    _cleanup_close_ int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0 || fstat(master, &s))
        return fail(e, CODE_SYSTEM, errno, "open a terminal", NULL);
    if (!S_ISCHR(s.st_mode) || s.st_rdev != makedev(5, 2))
        return fail(e, CODE_SYSTEM, ENOTTY, "open a terminal", NULL);
    struct winsize size = {.ws_row = c->start->rows, .ws_col = c->start->columns};
    if (ioctl(master, TIOCSPTLCK, &unlock) || ioctl(master, (int)TIOCGPTN, &number) ||
        ioctl(master, TIOCSWINSZ, &size))
        return fail(e, CODE_SYSTEM, errno, "set up a terminal", NULL);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 ||
        dup2(slave, 2) < 0)
        return fail(e, CODE_SYSTEM, errno, "set up a terminal", NULL);
    if (slave > 2)
        close(slave);
    if (c->init < 0 && !bind_console(number, e))
        return false;
    send_status(c->status, STATUS_TERMINAL, NULL, master);
    return true;
}

static bool make_cwd(const char *cwd, struct error *e)
{
    char path[PATH_MAX];
    if (!*cwd)
        cwd = "/";
    if (*cwd != '/' || !join(path, sizeof path, cwd, NULL))
        return fail(e, CODE_CWD, *cwd == '/' ? ENAMETOOLONG : EINVAL, "working directory ", cwd,
                    NULL);
    if (!chdir(path))
        return true;
    for (char *at = path + 1; errno == ENOENT && *at; at++) {
        at += strcspn(at, "/");
        char kept = *at;
        *at = 0;
        if (mkdir(path, 0755) && errno != EEXIST)
            return fail(e, CODE_CWD, errno, "make working directory ", cwd, NULL);
        *at = kept;
        errno = ENOENT;
        if (!kept)
            break;
    }
    return !chdir(path) || fail(e, CODE_CWD, errno, "working directory ", cwd, NULL);
}

static bool set_limits(const struct start_request *s, struct error *e)
{
    for (size_t i = 0; i < COUNT(usual); i++)
        if (setrlimit(usual[i].resource, &usual[i].limit))
            return fail(e, CODE_SYSTEM, errno, "resource limit ", DEC(usual[i].resource), NULL);
    for (uint32_t i = 0; i < s->limit_count; i++) {
        const struct process_limit *l = &s->limits[i];
        struct rlimit r = {l->soft, l->hard};
        if (l->resource >= RLIM_NLIMITS || setrlimit((int)l->resource, &r))
            return fail(e, CODE_SYSTEM, l->resource < RLIM_NLIMITS ? errno : EINVAL,
                        "resource limit ", DEC(l->resource), NULL);
    }
    return true;
}

/* Drops what is not in wanted from the bounding set. */
static bool bound_capabilities(uint64_t wanted, struct error *e)
{
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (wanted >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) {
            if (errno == EINVAL)
                break; /* past the kernel's last one */
            return fail(e, CODE_SYSTEM, errno, "drop capability ", DEC(cap), NULL);
        }
    }
    return true;
}

/* Sets effective and permitted to wanted and what is in kept, too. Nothing is inheritable: a file
 * with inheritable capabilities would give them to any user (CVE-2022-24769). */
static bool set_capabilities(uint64_t wanted, uint64_t kept, struct error *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[2], data[2];
    if (syscall(SYS_capget, &header, now))
        return fail(e, CODE_SYSTEM, errno, "read capabilities", NULL);
    for (size_t i = 0; i < 2; i++) {
        uint32_t set = (uint32_t)(wanted >> 32 * i) & now[i].permitted;
        uint32_t held = set | ((uint32_t)(kept >> 32 * i) & now[i].permitted);
        data[i] = (struct __user_cap_data_struct){held, held, 0};
    }
    if (syscall(SYS_capset, &header, data))
        return fail(e, CODE_SYSTEM, errno, "set capabilities", NULL);
    return true;
}

static bool become(const struct start_request *s, const struct user *u, struct error *e)
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        /* So that /dev/stdout can be opened by its own user. */
        if (!fstat(fd, &st) && (S_ISFIFO(st.st_mode) || isatty(fd)))
            fchown(fd, u->uid, (gid_t)-1);
    }
    gid_t groups[MAX_GROUPS];
    for (size_t i = 0; i < u->group_count; i++)
        groups[i] = u->groups[i];
    if (!bound_capabilities(s->capabilities, e))
        return false;
    /* What installing a filter takes without no-new-privileges. It is neither in the bounding nor
     * in the inheritable set: execve takes it away. */
    bool filtered = s->seccomp_size && !(s->flags & START_NO_NEW_PRIVS);
    uint64_t kept = filtered ? UINT64_C(1) << CAP_SYS_ADMIN : 0;
    if (filtered && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
        return fail(e, CODE_SYSTEM, errno, "keep capabilities", NULL);
    if (setgroups(u->group_count, groups) || setresgid(u->gid, u->gid, u->gid) ||
        setresuid(u->uid, u->uid, u->uid))
        return fail(e, CODE_SYSTEM, errno, "become user ", DEC(u->uid), NULL);
    uint64_t wanted = u->uid == 0 ? s->capabilities : 0;
    if ((u->uid == 0 || filtered) && !set_capabilities(wanted, kept, e))
        return false;
    if (s->flags & START_NO_NEW_PRIVS && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return fail(e, CODE_SYSTEM, errno, "set no-new-privileges", NULL);
    return true;
}

static const char *environment(const char **env, const char *name)
{
    size_t size = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, size) == 0 && (*env)[size] == '=')
            return *env + size + 1;
    return NULL;
}

static bool refused(const char *program, int err, struct error *e)
{
    bool missing = err == ENOENT || err == ENOTDIR;
    return fail(e, missing ? CODE_NOT_FOUND : CODE_NOT_EXECUTABLE, err, "exec: \"", program, "\"",
                NULL);
}

/* Finds program as a shell would, by the PATH of env; the result is in full, of PATH_MAX bytes. */
static bool look_up(const char *program, const char **env, char *full, struct error *e)
{
    const char *path = environment(env, "PATH");
    bool denied = false;
    for (const char *at = path ? path : DEFAULT_PATH; *program; at++) {
        size_t size = strcspn(at, ":");
        struct stat st;
        if (size && size + strlen(program) + 2 < PATH_MAX) {
            memcpy(full, at, size);
            full[size] = '/';
            strcpy(full + size + 1, program);
            if (!stat(full, &st) && !S_ISDIR(st.st_mode)) {
                if (!faccessat(AT_FDCWD, full, X_OK, AT_EACCESS))
                    return true;
                denied |= errno == EACCES;
            }
        }
        at += size;
        if (!*at)
            break;
    }
    if (denied)
        return refused(program, EACCES, e);
    return fail(e, CODE_NOT_FOUND, 0, "exec: \"", program, "\": executable file not found in $PATH",
                NULL);
}

/* What may be executed, and cannot (of another architecture, or its interpreter is missing), counts
 * as a program that was started, says why, and ends with runc's status. */
static _Noreturn void cannot_run(const char *program, int err)
{
    char reason[128], line[PATH_MAX + 160];
    join(reason, sizeof reason, strerror(err), NULL);
    *reason = (char)(*reason | 0x20); /* a small letter, as Go has it */
    join(line, sizeof line, "exec ", program, ": ", reason, "\n", NULL);
    (void)!write(2, line, strlen(line));
    child_exit(255);
}

bool child_execute(const struct filter *filter, const char **args, const char **env,
                   struct error *e)
{
    const char *program = args[0];
    char found[PATH_MAX];
    if (!strchr(program, '/')) {
        if (!look_up(program, env, found, e))
            return false;
        program = found;
    }
    /* From here on only execve is sure to be possible, if that. */
    if (!filter_install(filter, e))
        return false;
    execve(program, (char **)args, (char **)env);
    int err = errno;
    if (err != EACCES && !faccessat(AT_FDCWD, program, X_OK, AT_EACCESS))
        cannot_run(program, err);
    return refused(args[0], err, e);
}

static const char **with_home(const struct start_request *s, const char *home)
{
    static char variable[300];
    if (environment(s->env, "HOME"))
        return s->env;
    const char **env = calloc(s->env_count + (size_t)2, sizeof *env);
    if (!env || !join(variable, sizeof variable, "HOME=", home, NULL))
        return s->env;
    memcpy(env, s->env, s->env_count * sizeof *env);
    env[s->env_count] = variable;
    return env;
}

/* The rest of a builtin's way; its errors from here on are records. */
static bool run_builtin(struct child *c, struct error *e)
{
    const struct start_request *s = c->start;
    static struct user user;
    struct builtin b = {.start = s, .container = c->container};
    b.own_files = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!builtin_outside(s->args[0])) {
        if (!enter(c, e) || (c->init < 0 && !root_seal(c->container, e)) ||
            !user_lookup(&user, s->user, s->groups, s->group_count, e))
            return false;
        b.uid = user.uid;
        b.gid = user.gid;
    }
    send_status(c->status, STATUS_READY, NULL, -1);
    close_fd(&c->status);
    builtin_run(&b);
}

static bool run(struct child *c, struct error *e)
{
    const struct start_request *s = c->start;
    static struct user user;
    setsid();
    if (!keep_descriptors(c, e))
        return false;
    /* Until execve nobody in the container may look into this process. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    umask(0);
    if (s->flags & START_BUILTIN)
        return run_builtin(c, e);
    if (!enter(c, e) || (s->flags & START_TTY && !open_terminal(c, e)))
        return false;
    renew_null(c);
    umask(022);
    if (!user_lookup(&user, s->user, s->groups, s->group_count, e) || !make_cwd(s->cwd, e) ||
        (c->init < 0 && !root_seal(c->container, e)) || !set_limits(s, e) || !become(s, &user, e))
        return false;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    send_status(c->status, STATUS_READY, NULL, -1);
    const char **env = with_home(s, user.home);
    struct filter filter = {s->seccomp, s->seccomp_size};
    if (c->init < 0 && s->flags & START_REAPER)
        return reaper_execute(&filter, s->args, s->arg_count, env, c->status, e);
    return child_execute(&filter, s->args, env, e);
}

void child_exit(int status)
{
    syscall(SYS_exit_group, status);
    /* A filter forbids even that: not for ever in _exit. */
    __builtin_trap();
}

void child_failed(int status, const struct error *e)
{
    send_status(status, STATUS_ERROR, e, -1);
    child_exit(e->code == CODE_NOT_FOUND ? 127 : e->code == CODE_NOT_EXECUTABLE ? 126 : 125);
}

void child_run(struct child *child)
{
    struct error e = {0};
    run(child, &e);
    child_failed(child->status, &e);
}
