#include "frame.h"

#include <string.h>

size_t frame_read(const uint8_t *bytes, size_t size, struct frame *frame)
{
    if (size < 2)
        return 0;
    size_t header = 2;
    uint64_t length = bytes[1] & 127;
    if (length == 126) {
        header = 4;
        if (size < header)
            return 0;
        length = (uint64_t)bytes[2] << 8 | bytes[3];
    } else if (length == 127) {
        header = 10;
        if (size < header)
            return 0;
        length = 0;
        for (int i = 2; i < 10; i++)
            length = length << 8 | bytes[i];
    }
    if (size - header < length)
        return 0;
    frame->opcode = bytes[0] & 15;
    frame->compressed = bytes[0] & 0x40;
    frame->payload = bytes + header;
    frame->size = length;
    return header + length;
}

void frame_write(struct buffer *out, unsigned opcode, const char *payload, size_t size)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t *to = (uint8_t *)buffer_reserve(out, size + 14);
    size_t header = 0;
    to[header++] = (uint8_t)(0x80 | opcode);
    if (size < 126) {
        to[header++] = (uint8_t)(0x80 | size);
    } else if (size < 65536) {
        to[header++] = 0x80 | 126;
        to[header++] = (uint8_t)(size >> 8);
        to[header++] = (uint8_t)size;
    } else {
        to[header++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            to[header++] = (uint8_t)(size >> shift);
    }
    memcpy(to + header, mask, 4);
    header += 4;
    for (size_t i = 0; i < size; i++)
        to[header + i] = (uint8_t)payload[i] ^ mask[i & 3];
    out->size += header + size;
}
