/* What a container costs and who runs in it: CONTAINER_STATS and CONTAINER_TOP. */
#pragma once

#include "reply.h"
#include "request.h"

/* Both answer the request with their result; a failure is the caller's to answer. */
enum answer inspect_stats(const struct request *q, struct error *e);
enum answer inspect_top(const struct request *q, struct error *e);
