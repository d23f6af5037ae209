/* Which devices a container's programs may open: a program of the device controller (cgroup-v2,
 * "Device controller"). */
#pragma once

#include "request.h"

/* What runs in the cgroup opens only what every container has in /dev, and what it was given. Nodes
 * of any kind may be made.. */
bool devices_limit(const char *cgroup, const struct create_request *c, struct error *e);
