#include "buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *buffer_reserve(struct buffer *b, size_t extra)
{
    if (b->size + extra > b->room) {
        b->room = (b->size + extra) * 2 + 4096;
        b->data = realloc(b->data, b->room);
        if (!b->data) {
            fprintf(stderr, "no memory\n");
            exit(2);
        }
    }
    return b->data + b->size;
}

void buffer_append(struct buffer *b, const void *bytes, size_t size)
{
    memcpy(buffer_reserve(b, size), bytes, size);
    b->size += size;
}

void buffer_drop(struct buffer *b, size_t size)
{
    memmove(b->data, b->data + size, b->size - size);
    b->size -= size;
}
