/* The sandbox as a whole: set up, clock, entropy, and its end. */
#pragma once

#include "request.h"

bool sandbox_setup(const struct setup_request *s, struct error *e);

/* Sets CLOCK_REALTIME if it is too far from what the host says; 0: it says nothing. */
void sandbox_clock(uint64_t realtime_ns);

/* Mixes the entropy of HELLO into the kernel's. */
void sandbox_entropy(const uint8_t *entropy);

/* Everything is gone: unmounts what there is. False while a file system is busy. */
bool sandbox_release(struct error *e);

/* Powers the machine off; does not return. */
_Noreturn void sandbox_power_off(void);
