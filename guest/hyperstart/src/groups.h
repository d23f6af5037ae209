/* The control groups that stand before any container: the controllers, the room for the kernel. */
#pragma once

#include "base.h"

/* The group that those of all containers are in. */
#define CONTAINERS "/cgroup/containers"

/* Makes it. cgroup2 and /proc are mounted. */
bool cgroups_prepare(struct error *e);

/* A container may have so much memory: all together may, too. */
void cgroups_allow(uint64_t bytes);
