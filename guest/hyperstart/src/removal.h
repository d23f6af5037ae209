/* The removal of containers: begun by a request, done once the kernel has let go of everything. */
#pragma once

#include "reply.h"

/* The container is removed as soon as its last process has ended; the answer comes then. */
enum answer removal_begin(uint32_t container, uint32_t request_id, struct error *e);

/* Goes on with removals. Returns the milliseconds after which to call again, -1: when a child ends.
 */
int removals_step(void);

/* Who asked is gone: removals go on, without an answer. */
void removals_unasked(void);
