/* Bytes that grow at the end and go at the front. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

struct buffer {
    char *data;
    size_t size, room;
};

/* Make room for `extra` more bytes; returns where they go. Exits where there is no memory. */
char *buffer_reserve(struct buffer *b, size_t extra);

void buffer_append(struct buffer *b, const void *bytes, size_t size);

void buffer_drop(struct buffer *b, size_t size);

#endif
