/* Processes the host started, and their streams. */
#pragma once

#include "reply.h"
#include "ring.h"
#include "spawn.h"

/* Output of a process: read from its pipe or terminal, kept until the host acknowledges it. */
struct output {
    int fd;        /* -1 once at its end */
    bool used;     /* the process has this stream */
    bool readable; /* epoll said so and no read has contradicted */
    bool ended;    /* nothing more comes: FIN is due after what the ring holds */
    bool paused;   /* since HELLO: until the host says from where */
    uint64_t base; /* everything before it is acknowledged; the ring begins here */
    uint64_t next; /* offset to send next */
    uint64_t end;  /* how many bytes there have been; FIN, if ended, is at this offset */
    bool wide;     /* its pipe has been made larger */
    struct ring ring;
};

/* Input of a process: accepted from the host, kept until the process takes it. */
struct input {
    int fd; /* -1 when the process takes no more */
    bool writable;
    bool fin; /* FIN has been accepted */
    bool ack_due;
    bool wide;         /* its pipe has been made larger */
    uint64_t expected; /* next offset from the host */
    uint64_t written;  /* everything before it is acknowledged */
    struct ring ring;
};

enum process_state { PROCESS_STARTING, PROCESS_RUNNING, PROCESS_EXITED };

struct process {
    uint32_t id;
    enum process_state state;
    int pid; /* 0 once waited for */
    uint32_t flags;
    struct container *container;
    struct input in;
    struct output out, err;
    int status;          /* status socket while PROCESS_STARTING */
    bool ready;          /* the child said READY */
    bool orphaned;       /* the container is gone: who still holds the pipes does not count */
    uint32_t request_id; /* of the PROCESS_START to answer; 0 when the host has met us anew since */
    bool forsaken;       /* a builtin of an earlier conversation: dies, and nobody hears of it */
    bool exit_due;       /* PROCESS_EXIT is to be sent */
    uint32_t exit_status, exit_signal;
    bool oom;
    uint64_t exit_ns;
};

/* The table; entries are NULL or a process, in no order. */
extern struct process *processes[MAX_PROCESSES];
extern size_t process_slots; /* all behind are NULL */

struct process *process_find(uint32_t id);

/* Starts a process. It has started, or not, when process_status says so: then it is answered. */
enum answer process_start(const struct request *q, int epoll, struct error *e);
bool process_signal(const struct signal_request *s, struct error *e);
bool process_resize(const struct resize_request *r, struct error *e);
bool process_reap(uint32_t id, struct error *e);

/* What an event of epoll is about: TAG_PROCESS + (slot << TAG_SLOT | part). */
enum { TAG_PROCESS = 256, TAG_SLOT = 8 };

/* Notes what epoll reported of the process in this slot. */
enum process_part { PART_IN, PART_OUT, PART_ERR, PART_STATUS };
void process_event(size_t slot, enum process_part part, uint32_t events);

/* Called when a start has ended, well (e->code is CODE_OK) or not. After a failure the process is
 * gone when this returns, unless nobody waits for the answer: then it has exited with 125 to 127.
 */
typedef void started_fn(const struct process *p, const struct error *e);

/* Reads the status socket of a process that is starting. */
void process_status(struct process *p, int epoll, started_fn *started);

/* Waits for every child that has ended. Returns whether any is left. */
bool processes_wait(int epoll, started_fn *started);

/* Stream frames from the host. False if the frame is an error of the host: e says which. */
bool process_data(uint32_t stream, bool fin, const uint8_t *body, size_t size, struct error *e);
bool process_carried(uint32_t stream, bool fin, const uint8_t *body, size_t size, struct error *e);
bool process_ack(uint32_t stream, uint64_t offset, struct error *e);

/* Moves bytes between rings and descriptors. Returns whether there is more to do at once. */
bool process_pump(struct process *p);

/* Writes due exits, ACKs and DATA of the process; returns whether there is more of it than room. */
bool process_transmit(struct process *p, struct tx *tx);

/* Tells of every INIT of whose container a process was killed for want of memory since the last
 * call.
 */
typedef void oom_fn(const struct process *p);
void processes_oom(oom_fn *tell);

/* HELLO: everything due again, output paused. */
void process_greeted(struct process *p);

/* Ends every builtin: they belong to the conversation in which they were asked for. */
void processes_forsake(void);

/* Whether all output has been acknowledged. */
bool process_drained(const struct process *p);
