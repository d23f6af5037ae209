/* The child between clone and execve. */
#pragma once

#include "container.h"
#include "seccomp.h"

struct child {
    const struct start_request *start;
    const struct container *container;
    int in, out, err; /* pipes, -1 with a terminal; in also without stdin */
    int status;
    int init;   /* pidfd of the container's first process, -1 if this is it */
    int spaces; /* then: that of the container whose name spaces it shares, -1: none */
};

/* Becomes the program, or says on the status socket why not and ends. */
_Noreturn void child_run(struct child *child);

/* Executes args by the PATH of env (both end in NULL) under filter; returns false if that cannot
 * be. */
bool child_execute(const struct filter *filter, const char **args, const char **env,
                   struct error *e);

/* Says on a status socket why a program could not be executed, and ends. */
_Noreturn void child_failed(int status, const struct error *e);

/* Ends this process, whatever a filter says. */
_Noreturn void child_exit(int status);

/* Raises the agent's own limits: it holds descriptors of every process. */
void child_raise_limits(void);
