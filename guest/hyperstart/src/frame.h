/* Frames: cutting the host's byte stream into them, and their headers. Pure: no I/O. */
#pragma once

#include "base.h"

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_REQUEST = 2,
    FRAME_REPLY = 3,
    FRAME_EVENT = 4,
    FRAME_DATA = 5,
    FRAME_ACK = 6,
    FRAME_CARRIED = 7,
};

enum frame_flag { FRAME_FIN = 1, FRAME_MORE = 2 };

struct frame {
    enum frame_type type;
    uint8_t flags;
    uint32_t stream;
    uint32_t length;
    uint8_t *body; /* inside the decoder; may be changed in place; good until the next call */
};

enum { DECODER_SIZE = 2 * (RESYNC + 3) };

/* Holds unread bytes in buffer[start, end). Zeroed memory is a fresh decoder. */
struct decoder {
    size_t start, end;
    bool lost;    /* after a protocol error: waiting for RESYNC zeros */
    size_t zeros; /* how many of them have come */
    uint8_t buffer[DECODER_SIZE];
};

/* Where the next bytes go and how many fit (never 0 after decoder_next returned DECODED_NOTHING).
 */
size_t decoder_space(struct decoder *d, uint8_t **where);

/* Says that count bytes were put there. */
void decoder_filled(struct decoder *d, size_t count);

enum decoded { DECODED_NOTHING, DECODED_FRAME, DECODED_REFUSED };

/* Takes the next frame. DECODED_REFUSED is said once per protocol error: the decoder then skips
 * everything up to RESYNC zero bytes in a row (docs/protocol.md, "Meeting, and meeting again"). */
enum decoded decoder_next(struct decoder *d, struct frame *frame);

/* The frame just taken was one the host must not send: as if it had been DECODED_REFUSED. */
void decoder_lose(struct decoder *d);

/* Corrects the length in a header. */
void frame_length(uint8_t *header, uint32_t length);

/* Writes a header of HEADER_SIZE bytes. The body and END_BYTE follow. */
void frame_header(uint8_t *to, enum frame_type type, uint8_t flags, uint32_t stream,
                  uint32_t length);
