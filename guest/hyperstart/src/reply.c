#include "reply.h"

#include <string.h>

struct host host;

void reply_send(uint32_t id, const struct error *e, const uint8_t *result, size_t size)
{
    struct writer w;
    const char *text = e->code == CODE_OK ? "" : e->text;
    size = e->code == CODE_OK ? size : 0;
    if (!tx_begin(&host.tx, &w, FRAME_REPLY, id, 2 + 2 + 4 + strlen(text) + size))
        return; /* cannot be: no request is taken while there is no room for its answer */
    write_u16(&w, e->code);
    write_u16(&w, e->err);
    write_str(&w, text);
    uint8_t *at = write_raw(&w, size);
    if (at && size)
        memcpy(at, result, size);
    tx_end(&host.tx, &w);
}

bool reply_event(struct writer *w, enum event event)
{
    if (tx_held(&host.tx) >= TX_DATA || !tx_begin(&host.tx, w, FRAME_EVENT, 0, EVENT_SIZE))
        return false;
    write_u16(w, (uint16_t)event);
    return true;
}

void reply_error(const struct error *e)
{
    struct writer w;
    if (!reply_event(&w, EVENT_GUEST_ERROR))
        return;
    write_str(&w, e->text);
    tx_end(&host.tx, &w);
}
