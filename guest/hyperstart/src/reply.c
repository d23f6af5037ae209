#include "reply.h"

#include <string.h>

#include "frame.h"
#include "wire.h"

struct host host;

static void put_str(uint8_t *to, const char *text, size_t size)
{
    put_u32(to, (uint32_t)size);
    memcpy(to + 4, text, size);
}

void reply_send(uint32_t id, const struct error *e, const uint8_t *result, size_t size)
{
    size_t text = strlen(e->text);
    if (e->code == OK)
        text = 0;
    else
        size = 0;
    uint8_t *body = tx_frame(&host.tx, REPLY, 0, id, 8 + text + size);
    if (!body)
        return; /* cannot be: no request is taken while there is no room for its answer */
    put_u16(body, e->code);
    put_u16(body + 2, e->err);
    put_str(body + 4, e->text, text);
    if (size)
        memcpy(body + 8 + text, result, size);
}

void reply_error(const struct error *e)
{
    size_t text = strlen(e->text);
    uint8_t *body = tx_held(&host.tx) < TX_DATA ? tx_frame(&host.tx, EVENT, 0, 0, 6 + text) : NULL;
    if (!body)
        return;
    put_u16(body, 2);
    put_str(body + 2, e->text, text);
}
