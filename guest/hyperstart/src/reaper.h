/* The tiny init of a container with `--init`: the agent's own program under another name. */
#pragma once

#include "seccomp.h"

/* What it is called, and told from the agent by. */
#define REAPER "/sbin/docker-init"

/* Becomes the reaper of a program, both under filter; status is the socket to say on why it could
 * not be executed. */
bool reaper_execute(const struct filter *filter, const char **args, uint32_t count,
                    const char **env, int status, struct error *e);

/* Starts the program, passes signals on to it, waits for everybody, ends as it ends. Handlers that
 * a header of args names run before and after it. */
_Noreturn void reaper_run(const char **args);
