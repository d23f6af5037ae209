#include "reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "child.h"

/* Where the status socket is passed on, see keep_descriptors in child.c. */
enum { STATUS = 3 };

extern char **environ;

bool reaper_execute(const struct filter *filter, const char **args, uint32_t count,
                    const char **env, int status, struct error *e)
{
    const char **argv = calloc(count + (size_t)3, sizeof *argv);
    if (!argv || status != STATUS)
        return fail(e, CODE_SYSTEM, ENOMEM, "start the init", NULL);
    argv[0] = REAPER;
    argv[1] = "--";
    memcpy(argv + 2, args, count * sizeof *argv);
    fcntl(status, F_SETFD, 0);
    if (!filter_install(filter, e))
        return false;
    /* Anew, not as a copy of the agent: it holds nothing that the container may not see. */
    execve("/proc/self/exe", (char **)argv, (char **)env);
    return fail(e, CODE_SYSTEM, errno, "start the init", NULL);
}

/* What runs in order: each list ends with a null pointer, and pre and post may be empty. */
struct plan {
    const char **pre, **main, **post;
};

/* The next of the words at *at, count of them, as a list of their own; NULL if there are fewer. */
static const char **take(const char ***at, uint64_t count)
{
    const char **list = calloc((size_t)count + 1, sizeof *list);
    for (uint64_t i = 0; list && i < count; i++) {
        list[i] = *(*at)++;
        if (!list[i])
            return NULL;
    }
    return list;
}

/* Without a header (docs/protocol.md, "Processes") args are the program. */
static bool read_plan(const char **args, struct plan *plan)
{
    static const char *none[] = {NULL};
    uint64_t pre, post;
    *plan = (struct plan){none, args, none};
    if (*args[0] || !args[1] || !args[2])
        return true;
    if (!parse_decimal(args[1], MAX_ITEMS, &pre) || !parse_decimal(args[2], MAX_ITEMS, &post))
        return false;
    args += 3;
    plan->pre = take(&args, pre);
    plan->post = plan->pre ? take(&args, post) : NULL;
    plan->main = args;
    return plan->post && *args;
}

static void say(const char *text)
{
    if (write(2, "hyper: ", 7) < 0 || write(2, text, strlen(text)) < 0 || write(2, "\n", 1) < 0)
        return; /* nobody listens */
}

/* status: the socket to say on why it could not be executed; -1: standard error is all there is. */
static _Noreturn void program(const char **args, int status)
{
    struct error e = {0};
    sigset_t none;
    setpgid(0, 0);
    /* All signals are still blocked, SIGTTOU too. */
    if (isatty(0))
        tcsetpgrp(0, getpid());
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    child_execute(&(struct filter){0}, args, (const char **)environ, &e); /* it is inherited */
    if (status < 0)
        say(e.text);
    child_failed(status, &e);
}

/* Waits for every child that has ended; whether main has, and how. */
static bool reap(pid_t main, int *exit_status)
{
    bool ended = false;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == main) {
            *exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            ended = true;
        }
    return ended;
}

/* Runs one program to its end, passing on signals; how it ended. *status is closed once it runs. */
static int run(const char **args, int *status, const sigset_t *all)
{
    struct error e = {0};
    int exit_status = 0;
    pid_t pid = fork();
    if (pid == 0)
        program(args, *status);
    if (pid < 0) {
        fail(&e, CODE_SYSTEM, errno, "start a process", NULL);
        child_failed(*status, &e);
    }
    close_fd(status);
    for (;;) {
        siginfo_t info;
        int signal = sigwaitinfo(all, &info);
        if (signal == SIGCHLD) {
            if (reap(pid, &exit_status))
                return exit_status;
        } else if (signal > 0) {
            kill(pid, signal);
        }
    }
}

void reaper_run(const char **args)
{
    struct plan plan;
    sigset_t all;
    int status = STATUS;
    sigfillset(&all);
    /* Blocked signals wait to be taken, also those that PID 1 would otherwise not even get. */
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "docker-init", 0, 0, 0);
    fcntl(STATUS, F_SETFD, FD_CLOEXEC);
    if (!read_plan(args, &plan)) {
        struct error e = {0};
        fail(&e, CODE_MALFORMED, 0, "a header of handlers that is none", NULL);
        child_failed(STATUS, &e);
    }
    if (*plan.pre) {
        close_fd(&status); /* it may take its time: the container has started */
        int failed = run(plan.pre, &status, &all);
        if (failed) {
            struct error e = {0};
            fail(&e, CODE_SYSTEM, 0, "the pre-start handler ended with status ", DEC(failed), NULL);
            say(e.text);
            child_exit(failed);
        }
    }
    int ended = run(plan.main, &status, &all);
    if (*plan.post)
        run(plan.post, &status, &all);
    child_exit(ended);
}
