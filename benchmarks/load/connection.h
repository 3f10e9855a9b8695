/* One TCP connection to the server under test, as a WebSocket or plain HTTP. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "frame.h"

struct connection {
    int fd;
    bool dead;
    struct buffer in;  /* what has come of a frame or answer that is not whole yet */
    struct buffer out; /* what the socket has not taken yet */
    uint64_t bytes_in, frames_in;
};

typedef void frame_handler(void *with, struct connection *from, const struct frame *frame);

/* Connect to 127.0.0.1. Exits with a message where that fails. */
void connection_open(struct connection *c, int port);

/* Upgrade to a WebSocket, offering permessage-deflate if asked to; then non-blocking. Exits where refused. */
void connection_upgrade(struct connection *c, int port, const char *path, bool offer_deflate);

/* Send what is waiting, as far as the socket takes it. */
void connection_flush(struct connection *c);

/* Read once and hand every whole frame to `handler`; pings are answered. False where nothing came. */
bool connection_frames(struct connection *c, frame_handler *handler, void *with);

/* Read once and append to `in`. False where nothing came. */
bool connection_read(struct connection *c);

void connection_nonblocking(struct connection *c);

#endif
