/* Whether a server in the sandbox answers: the builtin "probe" (docs/protocol.md). */
#pragma once

#include "base.h"

/* Something accepts connections at address ("127.0.0.1:80", "[::1]:80"). */
bool probe_tcp(const char *address, struct error *e);

/* A GET of path there is answered with a status from 200 to 399; headers are whole lines. */
bool probe_http(const char *address, const char *path, const char **headers, uint32_t count,
                struct error *e);
