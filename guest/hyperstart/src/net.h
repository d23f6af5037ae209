/* Interfaces, addresses and routes by rtnetlink. */
#pragma once

#include "request.h"

/* Brings lo up and sets every interface as asked. */
bool network_setup(const struct setup_request *s, struct error *e);

/* Sets one interface of a running sandbox; where there is none of its MAC it is made. Repeatable.
 */
bool interface_add(const struct interface *i, struct error *e);

/* Removes an interface; one that is a card of the machine only loses the addresses named. */
bool interface_remove(const struct interface *i, struct error *e);
