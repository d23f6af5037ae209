/* Disks by name, and file systems the agent mounts once for all containers. */
#pragma once

#include "base.h"

#define RUN "/run/hyper"

/* Mounts what the agent needs beyond /dev, once: /proc, /sys, cgroup2 on /cgroup, a tmpfs on RUN.
 */
bool runtime_prepare(struct error *e);

/* Finds a disk by virtio serial, else by device name, and gives its path. */
bool disk_find(const char *name, char *path, size_t size, struct error *e);

/* A file system mounted under RUN: mounted by the first call for this source, then shared. source
 * is the device or tag, what the name used in messages. path is where it is. */
bool shared_mount(const char *type, const char *source, const char *what, unsigned long flags,
                  const char *data, char *path, size_t size, struct error *e);

/* Unmounts every shared mount, or makes it read-only, last first. busy is called between attempts.
 */
bool shared_release(struct error *e);
