/* The byte stream to the host. */
#pragma once

#include "base.h"

/* Opens the agent's port: /dev/vport0p1, else the one named hyper.agent, else hyper.port= of the
 * kernel command line (a console). Waits until it appears. The descriptor is non-blocking. */
int port_open(void);
