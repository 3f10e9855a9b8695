/* WebSocket frames (RFC 6455 §5.2), both ways. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct frame {
    unsigned opcode;
    bool compressed;
    const uint8_t *payload;
    size_t size;
};

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* Read one whole server frame from the front of `bytes`; returns how many bytes it took, 0 if incomplete. */
size_t frame_read(const uint8_t *bytes, size_t size, struct frame *frame);

/* Append one masked client frame. */
void frame_write(struct buffer *out, unsigned opcode, const char *payload, size_t size);

#endif
