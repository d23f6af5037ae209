/* What a container costs and who runs in it: CONTAINER_STATS and CONTAINER_TOP. */
#pragma once

#include "request.h"

/* Both answer the request themselves, or return false with the error to answer with. */
bool inspect_stats(const struct request *q, struct error *e);
bool inspect_top(const struct request *q, struct error *e);
