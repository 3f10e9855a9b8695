/* The events that are published: about 340 bytes of JSON, as a translation's progress looks.
 *
 * The message begins with a mark, '@' and the time it was sent as 19 digits of nanoseconds; whoever receives
 * the event finds its age there.
 */
#ifndef EVENT_H
#define EVENT_H

#include <stddef.h>
#include <stdint.h>

enum { MARK_DIGITS = 19, EVENT_ROOM = 1024 };

struct event {
    uint64_t number;   /* of this run */
    uint64_t sent_ns;
    unsigned sessions; /* the event goes to one of so many, named s1, s2, … */
    const char *id_prefix; /* NULL: the event carries no id */
};

/* Write the event's JSON; returns its size. */
size_t event_write(char *to, const struct event *event);

/* Call `found` with the time of every mark in the bytes; returns how many there were. */
uint64_t event_marks(const uint8_t *bytes, size_t size, void (*found)(void *, uint64_t sent_ns), void *with);

#endif
