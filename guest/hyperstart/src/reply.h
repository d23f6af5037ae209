/* What is said to the host: the way out, answers, and errors that no request waits for. */
#pragma once

#include "tx.h"

/* The host, as far as it is spoken to. */
struct host {
    int port;
    bool greeted; /* HELLO has been answered, and the versions agree */
    struct tx tx;
};

extern struct host host;

/* Answers a request: with the error, or with the result if its code is OK. */
void reply_send(uint32_t id, const struct error *e, const uint8_t *result, size_t size);

/* Tells of an error (EVENT 2, GUEST_ERROR) if there is room. */
void reply_error(const struct error *e);
