/* Starting a process: the child's way from clone to execve. */
#pragma once

#include "container.h"

/* What the child says on its status socket: at most one of each, an error last. End of file after
 * READY means that the program runs. */
enum status_kind { STATUS_TERMINAL = 1, STATUS_READY = 2, STATUS_ERROR = 3 };

struct status {
    uint8_t kind;
    struct error error;
};

/* The agent's ends. */
struct spawned {
    int pid;
    int status;       /* status socket */
    int in, out, err; /* pipes, -1 where there is none */
};

/* Clones the child. The error is of the agent's part; the child's own comes over the status socket.
 */
bool spawn(struct spawned *s, const struct start_request *start, const struct container *c,
           struct error *e);

/* Receives one status; 1, 0 at its end, -1 if nothing is there yet. terminal is the descriptor that
 * came along, or -1. */
int spawn_status(int fd, struct status *status, int *terminal);
