/* The filter of system calls that a program starts under. */
#pragma once

#include "base.h"

struct filter {
    const uint8_t *program; /* struct sock_filter, anyhow aligned */
    size_t size;            /* in bytes, at most MAX_SECCOMP; 0: no filter */
};

/* Installs the filter for the calling process for good. Needs no-new-privileges or CAP_SYS_ADMIN.
 */
bool filter_install(const struct filter *filter, struct error *e);
