/* The conversation with the host: frames in, requests done, answers out. */
#pragma once

#include "frame.h"
#include "process.h"

/* What an event of epoll is about. */
enum { TAG_PORT = 0, TAG_CHILD = 1, TAG_OOM = 2 }; /* from TAG_PROCESS on: a process's */

struct session {
    int epoll;
    bool readable;
    uint64_t boot_ns;
    uint32_t partial_id; /* request whose fragments are coming, or 0 */
    uint8_t *partial;
    size_t partial_size;
    struct decoder decoder;
};

/* Reads once from the port and does what it says. Returns whether there may be more. */
bool session_receive(struct session *s);

/* Writes what there is. Returns whether there is more that could be written now. */
bool session_transmit(void);

/* Answers a PROCESS_START. */
void session_started(const struct process *p, const struct error *e);

/* Tells of containers whose memory events say that a process of theirs was killed. */
void session_oom_events(void);

extern struct session session;
