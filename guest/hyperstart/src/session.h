/* The conversation with the host: frames in, requests done, answers out. */
#pragma once

#include "frame.h"
#include "process.h"

/* What an event of epoll is about. */
enum { TAG_PORT = 0, TAG_CHILD = 1, TAG_OOM = 2 }; /* from 256 on: a process's descriptor */

struct session {
    int epoll;
    int port;
    bool greeted; /* HELLO has been answered, and the versions agree */
    bool readable;
    uint64_t boot_ns;
    uint32_t partial_id; /* request whose fragments are coming, or 0 */
    uint8_t *partial;
    size_t partial_size;
    bool stopping; /* SHUTDOWN has been asked for */
    uint32_t stop_id;
    uint64_t stop_ns; /* CLOCK_BOOTTIME of the deadline */
    bool killed;
    struct decoder decoder;
    struct tx tx;
};

/* Reads once from the port and does what it says. Returns whether there may be more. */
bool session_receive(struct session *s);

/* Writes what there is. Returns whether there is more that could be written now. */
bool session_transmit(struct session *s);

void session_reply(uint32_t id, const struct error *e, const uint8_t *result, size_t size);
void session_started(const struct process *p, const struct error *e);
void session_error(const struct error *e);

/* Tells of containers whose memory events say that a process of theirs was killed. */
void session_oom_events(void);

extern struct session session;
