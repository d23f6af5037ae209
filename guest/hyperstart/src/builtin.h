/* Functions of the agent that run as processes: files in and out of a container, and what it
 * changed (docs/protocol.md, "Builtins"). */
#pragma once

#include "container.h"

struct builtin {
    const struct start_request *start;
    const struct container *container;
    int own_files;     /* /proc/self/fd as the agent sees it */
    uint32_t uid, gid; /* of the user asked for */
};

bool builtin_known(const char *name);

/* Whether it works outside of the container's name spaces, and needs none. */
bool builtin_outside(const char *name);

/* Does it, in a process of its own whose standard input and output are for records only. */
_Noreturn void builtin_run(const struct builtin *b);
