/* Containers: the stacked root, made by the agent. What is mounted into it is root.c's, in the
 * child. */
#pragma once

#include "disk.h"
#include "request.h"

struct container {
    uint32_t id;
    struct request request;        /* CONTAINER_CREATE, kept: a start mounts what it says */
    char directory[48];            /* RUN/cN: root, files, upper and work in a tmpfs */
    char cgroup[48];               /* CONTAINERS/N */
    char *upper, *lower;           /* what it changed; the layers, as overlayfs lists them */
    uint32_t frozen_by;            /* the process it stands still for, 0 for none */
    struct shared_source *sources; /* one per mount of the request */
    int init_pid;                  /* 0: nothing runs */
    bool init_ready;               /* the INIT process has been executed: others may join */
    int events;                    /* its memory.events */
    uint64_t oom_before, oom_told; /* kills before this INIT, and that the host has heard of */
    struct held held;              /* the file systems it uses */
    bool removing;                 /* see removal.h */
    uint32_t remove_id; /* of the CONTAINER_REMOVE to answer, 0: nobody waits for it any more */
    uint64_t remove_ns; /* when to give up */
};

/* Where the agent has mounted the disk or share of a mount; root empty if its source is neither. */
struct shared_source {
    char root[64];
};

/* Stacks the root of a new container. Takes the request over if it succeeds. */
struct container *container_create(struct request *q, struct error *e);
struct container *container_find(uint32_t id);

/* Gives files that the container keeps other content, in place: open descriptors and mounts see it.
 */
bool container_refill(const struct refill_request *f, struct error *e);

/* How many of the container's processes the OOM killer has killed, ever. Asked for once, its events
 * tell (EPOLLPRI) when it may be more. */
uint64_t container_oom_kills(const struct container *c);

/* Sends a signal to every process of the container; false with errno if that fails. */
bool container_signal(struct container *c, int signal);

/* Sets the limits of the container's cgroup, freezes or thaws what runs in it. */
bool container_update(const struct update_request *u, struct error *e);

/* Has the container stand still until the process has ended, if it does not already. */
void container_freeze(struct container *c, uint32_t process);
void container_thaw(struct container *c, uint32_t process);

/* Every container, in no order. */
extern struct container *containers[];
extern size_t container_count;

/* Gives back all that the container is made of; nothing runs in it. False without an error: the
 * kernel has not let go of everything yet, to be tried again. */
bool container_release(struct container *c, struct error *e);

/* The container is none any more. */
void container_delete(struct container *c);

/* Unmounts every container's root. */
void containers_release(void);
