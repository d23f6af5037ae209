/* Interfaces, addresses and routes by rtnetlink. */
#pragma once

#include "request.h"

/* Brings lo up and sets every interface as asked. */
bool network_setup(const struct setup *s, struct error *e);
