/* A container's root as its first process sees it. Everything here runs in that process, in its own
 * mount name space. */
#pragma once

#include "container.h"

/* Mounts everything of the container into its root. */
bool root_mount(const struct container *c, struct error *e);

/* Makes the root the process's root and lets go of everything else. */
bool root_enter(const struct container *c, struct error *e);

/* Last: makes the entered root read-only if the container is. */
bool root_seal(const struct container *c, struct error *e);
