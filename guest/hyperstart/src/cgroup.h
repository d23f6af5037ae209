/* Control groups of containers, and those that a container has made in its own. */
#pragma once

#include "container.h"

/* The group in which a container's INIT is: its own, or one below; an open directory, -1 and errno.
 */
int cgroup_of_init(const struct container *c);

/* The pids in the container's group and in all below, one a line, ended by a zero byte; cut where
 * size is too small. From malloc; NULL and errno if its group cannot be read. */
char *cgroup_pids(const struct container *c, size_t size);

/* Removes all groups below the container's, which nothing is in, so that it may hold processes
 * again. */
void cgroup_clear(const struct container *c);
