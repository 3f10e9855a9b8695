#define _GNU_SOURCE
#include "event.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t event_write(char *to, const struct event *event)
{
    unsigned line = (unsigned)(event->number / event->sessions % 10) + 1;
    int size = snprintf(
        to, EVENT_ROOM,
        "{\"type\":\"translation_progress\",\"session_id\":\"s%" PRIu64 "\",\"step\":\"translation\","
        "\"message\":\"@%0*" PRIu64 " Translating line %u/10\",\"progress\":%u.5,\"current_item\":\"line_%u\","
        "\"total_items\":10,\"timestamp\":1640995200,\"data\":{\"worker_info\":{\"host\":\"localhost\","
        "\"port\":8444,\"type\":\"ssh-llamacpp\",\"model\":\"llama-2-7b-chat\",\"capacity\":10}}",
        event->number % event->sessions + 1, MARK_DIGITS, event->sent_ns, line, line * 9, line);
    if (event->id_prefix)
        size += snprintf(to + size, EVENT_ROOM - (size_t)size, ",\"id\":\"%s-%012" PRIu64 "\"", event->id_prefix,
                         event->number);
    to[size++] = '}';
    return (size_t)size;
}

uint64_t event_marks(const uint8_t *bytes, size_t size, void (*found)(void *, uint64_t), void *with)
{
    uint64_t count = 0;
    const uint8_t *end = bytes + size;
    for (;;) {
        const uint8_t *mark = memchr(bytes, '@', (size_t)(end - bytes));
        if (!mark || end - mark <= MARK_DIGITS)
            return count;
        uint64_t sent_ns = 0;
        for (int i = 1; i <= MARK_DIGITS; i++)
            sent_ns = sent_ns * 10 + (uint64_t)(mark[i] - '0');
        found(with, sent_ns);
        count++;
        bytes = mark + 1 + MARK_DIGITS;
    }
}
