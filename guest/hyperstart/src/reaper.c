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
        return fail(e, SYSTEM, ENOMEM, "start the init", NULL);
    argv[0] = REAPER;
    argv[1] = "--";
    memcpy(argv + 2, args, count * sizeof *argv);
    fcntl(status, F_SETFD, 0);
    if (!filter_install(filter, e))
        return false;
    /* Anew, not as a copy of the agent: it holds nothing that the container may not see. */
    execve("/proc/self/exe", (char **)argv, (char **)env);
    return fail(e, SYSTEM, errno, "start the init", NULL);
}

static _Noreturn void program(const char **args)
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
    child_failed(STATUS, &e);
}

/* Waits for every child that has ended; ends with the program. */
static void reap(pid_t main)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == main)
            child_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

void reaper_run(const char **args)
{
    sigset_t all;
    sigfillset(&all);
    /* Blocked signals wait to be taken, also those that PID 1 would otherwise not even get. */
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "docker-init", 0, 0, 0);
    fcntl(STATUS, F_SETFD, FD_CLOEXEC);
    pid_t main = fork();
    if (main == 0)
        program(args);
    struct error e = {0};
    if (main < 0) {
        fail(&e, SYSTEM, errno, "start a process", NULL);
        child_failed(STATUS, &e);
    }
    close(STATUS);
    for (;;) {
        siginfo_t info;
        int signal = sigwaitinfo(&all, &info);
        if (signal == SIGCHLD)
            reap(main);
        else if (signal > 0)
            kill(main, signal);
    }
}
