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

/* Who answers a request that a function was given. */
enum answer {
    ANSWER_NOW,   /* the caller: with the error, or well if there is none */
    ANSWER_GIVEN, /* nobody: it was answered with a result */
    ANSWER_LATER, /* the function's file, by the request's id, once it is done */
};

/* Answers a request: with the error, or with the result if its code is CODE_OK. */
void reply_send(uint32_t id, const struct error *e, const uint8_t *result, size_t size);

/* Begins an event, if there is room: its arguments are written, then tx_end is due. */
bool reply_event(struct writer *w, enum event event);

/* Tells of an error if there is room. */
void reply_error(const struct error *e);
