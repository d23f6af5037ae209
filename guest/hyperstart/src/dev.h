/* The /dev of a container, and the devices it was given. */
#pragma once

#include "request.h"

/* Fills the fresh /dev of root with what every container has there, and with every device of the
 * machine if the container has them all. */
bool dev_fill(int root, const struct create_request *c, struct error *e);

/* Makes the nodes of the devices that the container was given. */
bool dev_give(int root, const struct create_request *c, struct error *e);
