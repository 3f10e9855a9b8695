#define _GNU_SOURCE
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 20, ANSWER_ROOM = 8192 };

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

void connection_open(struct connection *c, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void connection_nonblocking(struct connection *c)
{
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK))
        fail("fcntl");
}

void connection_upgrade(struct connection *c, int port, const char *path, bool offer_deflate)
{
    char text[ANSWER_ROOM];
    int size = snprintf(text, sizeof text,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        path, port,
                        offer_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                                      : "");
    if (write(c->fd, text, (size_t)size) != size)
        fail("upgrade");
    size_t got = 0;
    char *end = NULL;
    while (!end) {
        ssize_t n = got < sizeof text - 1 ? read(c->fd, text + got, sizeof text - 1 - got) : 0;
        if (n <= 0)
            fail("upgrade");
        got += (size_t)n;
        text[got] = 0;
        end = strstr(text, "\r\n\r\n");
    }
    if (!strstr(text, " 101 ")) {
        fprintf(stderr, "%s was not upgraded: %.200s\n", path, text);
        exit(2);
    }
    end += 4;
    buffer_append(&c->in, end, got - (size_t)(end - text));
    connection_nonblocking(c);
}

static void die(struct connection *c)
{
    c->dead = true;
    c->out.size = 0;
}

void connection_flush(struct connection *c)
{
    size_t sent = 0;
    while (sent < c->out.size) {
        ssize_t n = send(c->fd, c->out.data + sent, c->out.size - sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                die(c);
                return;
            }
            break;
        }
        sent += (size_t)n;
    }
    if (sent)
        buffer_drop(&c->out, sent);
}

static ssize_t receive(struct connection *c, void *to, size_t room)
{
    ssize_t n = recv(c->fd, to, room, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        die(c);
    if (n > 0)
        c->bytes_in += (uint64_t)n;
    return n;
}

bool connection_read(struct connection *c)
{
    ssize_t n = receive(c, buffer_reserve(&c->in, 65536), 65536);
    if (n > 0)
        c->in.size += (size_t)n;
    return n > 0;
}

static size_t hand_out(struct connection *c, const uint8_t *bytes, size_t size, frame_handler *handler, void *with)
{
    size_t at = 0;
    struct frame frame;
    for (size_t taken; (taken = frame_read(bytes + at, size - at, &frame)); at += taken) {
        c->frames_in++;
        if (frame.opcode == OP_PING) {
            frame_write(&c->out, OP_PONG, (const char *)frame.payload, frame.size);
            connection_flush(c);
        } else if (frame.opcode == OP_CLOSE) {
            die(c);
        } else if (frame.opcode == OP_TEXT) {
            handler(with, c, &frame);
        }
    }
    return at;
}

bool connection_frames(struct connection *c, frame_handler *handler, void *with)
{
    static uint8_t shared[READ_SIZE]; /* one for all: most reads end with a whole frame or nearly so */
    ssize_t n = receive(c, shared, sizeof shared);
    if (n <= 0)
        return false;
    if (c->in.size) {
        buffer_append(&c->in, shared, (size_t)n);
        buffer_drop(&c->in, hand_out(c, (uint8_t *)c->in.data, c->in.size, handler, with));
    } else {
        size_t taken = hand_out(c, shared, (size_t)n, handler, with);
        if (taken < (size_t)n)
            buffer_append(&c->in, shared + taken, (size_t)n - taken);
    }
    return true;
}
