/* Which devices a container's programs may open: a program of the device controller (cgroup-v2,
 * "Device controller"). */
#pragma once

#include "base.h"

/* What runs in the cgroup opens only what every container has in /dev. Nodes of any kind may be
 * made. */
bool devices_limit(const char *cgroup, struct error *e);
