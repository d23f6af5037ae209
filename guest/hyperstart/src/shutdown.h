/* The orderly end: TERM, KILL, unmount, answer, power off. */
#pragma once

#include "reply.h"

/* Begins it; a second request only takes over who is answered. */
enum answer shutdown_begin(uint32_t request_id, uint32_t timeout_ms);

bool shutdown_begun(void);

/* Who asked is gone: it goes on, without an answer. */
void shutdown_unasked(void);

/* Goes on with it. Returns in how many milliseconds it wants to be called again at the latest; -1
 * if there is nothing to do. */
int shutdown_step(bool children);
