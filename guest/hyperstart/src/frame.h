/* Frames: cutting the host's byte stream into them, and their headers. Pure: no I/O. */
#pragma once

#include "base.h"

enum frame_type {
    HELLO = 1,
    REQUEST = 2,
    REPLY = 3,
    EVENT = 4,
    DATA = 5,
    ACK = 6,
    CARRIED = 7,
};

enum frame_flag { FIN = 1, MORE = 2 };

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

/* Where the next bytes go and how many fit (never 0 after decoder_next returned NOTHING). */
size_t decoder_space(struct decoder *d, uint8_t **where);

/* Says that count bytes were put there. */
void decoder_filled(struct decoder *d, size_t count);

enum decoded { NOTHING, FRAME, REFUSED };

/* Takes the next frame. REFUSED is said once per protocol error: the decoder then skips everything
 * up to RESYNC zero bytes in a row (docs/protocol.md, "Meeting, and meeting again"). */
enum decoded decoder_next(struct decoder *d, struct frame *frame);

/* The frame just taken was one the host must not send: as if it had been REFUSED. */
void decoder_lose(struct decoder *d);

/* Corrects the length in a header. */
void frame_length(uint8_t *header, uint32_t length);

/* Writes a header of HEADER_SIZE bytes. The body and END_BYTE follow. */
void frame_header(uint8_t *to, enum frame_type type, uint8_t flags, uint32_t stream,
                  uint32_t length);
