/* Disks by name, and file systems the agent mounts once for all containers. */
#pragma once

#include "base.h"

#define RUN "/run/hyper"

/* Mounts what the agent needs beyond /dev, once: /proc, /sys, cgroup2 on /cgroup, a tmpfs on RUN.
 */
bool runtime_prepare(struct error *e);

/* Finds a disk by serial, else by device name, and gives its path. One that is not known is looked
 * for where disks come to a running machine. */
bool disk_find(const char *name, char *path, size_t size, struct error *e);

/* A disk that came to the running machine is not used any more: the kernel forgets it. */
void disk_forget(const char *path);

enum { MAX_SHARED = 512 };

/* Which of the shared file systems somebody uses: one bit each. */
struct held {
    uint64_t bits[MAX_SHARED / 64];
};

/* A file system mounted under RUN: mounted by the first call for this source, then shared. source
 * is the device or tag, what the name used in messages. path is where it is. */
bool shared_mount(struct held *held, const char *type, const char *source, const char *what,
                  unsigned long flags, const char *data, char *path, size_t size, struct error *e);

/* Unmounts what is held and nobody else holds, last first; disks that came to the running machine
 * may go then. False without an error: the kernel has not let go of one yet, to be tried again. */
bool shared_drop(struct held *held, struct error *e);

/* Opens the root of a share that is mounted. -1: there is none of this tag. */
int share_open(const char *tag);

/* What served this share has ended: whoever waits for it gets an error, and who asks later. */
void share_lost(const char *tag, struct error *e);

/* Unmounts every shared mount, or makes it read-only, last first. busy is called between attempts.
 */
bool shared_release(struct error *e);
