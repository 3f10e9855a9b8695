/* Publishing for the acknowledgement alone: how many events a second become durable. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "event.h"
#include "histogram.h"
#include "load.h"
#include "process.h"

static const uint64_t PATIENCE_NS = 10000000000u;

/* One publisher: what it has sent and what was answered. `sent_at` is a ring, one place per frame under way. */
struct publisher {
    struct connection connection;
    char id_prefix[32];
    uint64_t sent, answered, frames_sent, frames_answered;
    uint64_t *sent_at;
};

struct ingest {
    const struct options *options;
    struct publisher *publishers;
    struct pollfd *polls;
    uint64_t sent, answered, refused;
    struct histogram waits_us;
};

static void write_event(struct ingest *g, struct publisher *p, struct buffer *to)
{
    struct event event = {g->sent, now_ns(), (unsigned)g->options->sessions, g->options->ids ? p->id_prefix : NULL};
    to->size += event_write(buffer_reserve(to, EVENT_ROOM), &event);
    p->sent++;
    g->sent++;
}

static void note_sent(struct ingest *g, struct publisher *p)
{
    p->sent_at[p->frames_sent++ % (unsigned)g->options->window] = now_ns();
}

/* `events` of one frame or request have been answered. */
static void note_answered(struct ingest *g, struct publisher *p, uint64_t events)
{
    p->answered += events;
    g->answered += events;
    while (p->frames_answered < p->answered / (unsigned)g->options->batch) {
        uint64_t sent_at = p->sent_at[p->frames_answered++ % (unsigned)g->options->window];
        histogram_add(&g->waits_us, (now_ns() - sent_at) / 1000);
    }
}

static uint64_t occurrences(const uint8_t *text, size_t size, const char *what)
{
    uint64_t count = 0;
    size_t length = strlen(what);
    for (const uint8_t *at = text; (at = memmem(at, (size_t)(text + size - at), what, length)); at += length)
        count++;
    return count;
}

struct answering {
    struct ingest *ingest;
    struct publisher *publisher;
};

static void take_acks(void *with, struct connection *from, const struct frame *frame)
{
    struct answering *a = with;
    (void)from;
    a->ingest->refused += occurrences(frame->payload, frame->size, "\"type\":\"error\"");
    note_answered(a->ingest, a->publisher, occurrences(frame->payload, frame->size, "\"type\":\"ack\""));
}

static void send_frame(struct ingest *g, struct publisher *p)
{
    static struct buffer text;
    text.size = 0;
    for (int i = 0; i < g->options->batch; i++) {
        if (g->options->batch > 1)
            buffer_append(&text, i ? "," : "[", 1);
        write_event(g, p, &text);
    }
    if (g->options->batch > 1)
        buffer_append(&text, "]", 1);
    frame_write(&p->connection.out, OP_TEXT, text.data, text.size);
    note_sent(g, p);
}

static void send_request(struct ingest *g, struct publisher *p)
{
    static struct buffer body;
    char head[256];
    body.size = 0;
    for (int i = 0; i < g->options->batch; i++) {
        write_event(g, p, &body);
        buffer_append(&body, "\n", 1);
    }
    int size = snprintf(head, sizeof head,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/x-ndjson\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        g->options->publisher_path, g->options->port, body.size);
    buffer_append(&p->connection.out, head, (size_t)size);
    buffer_append(&p->connection.out, body.data, body.size);
    note_sent(g, p);
}

/* Take whole answers off what has come in. */
static void take_answers(struct ingest *g, struct publisher *p)
{
    struct buffer *in = &p->connection.in;
    for (;;) {
        char *end = memmem(in->data, in->size, "\r\n\r\n", 4);
        char *length = memmem(in->data, in->size, "Content-Length: ", 16);
        if (!end || !length || length > end)
            return;
        size_t head = (size_t)(end - in->data) + 4, body = strtoul(length + 16, NULL, 10);
        if (in->size < head + body)
            return;
        char *accepted = memmem(end, body, "\"accepted\":", 11);
        uint64_t taken = accepted ? strtoull(accepted + 11, NULL, 10) : 0;
        g->refused += (uint64_t)g->options->batch - taken;
        note_answered(g, p, taken);
        buffer_drop(in, head + body);
    }
}

static int run(const struct options *o, bool http)
{
    static struct ingest g;
    g.options = o;
    g.publishers = calloc((size_t)o->publishers, sizeof *g.publishers);
    g.polls = calloc((size_t)o->publishers, sizeof *g.polls);
    for (int i = 0; i < o->publishers; i++) {
        struct publisher *p = &g.publishers[i];
        connection_open(&p->connection, o->port);
        if (http)
            connection_nonblocking(&p->connection);
        else
            connection_upgrade(&p->connection, o->port, o->publisher_path, false);
        snprintf(p->id_prefix, sizeof p->id_prefix, "%d-%d", (int)getpid(), i);
        p->sent_at = calloc((size_t)o->window, sizeof *p->sent_at);
    }
    double server_cpu = process_cpu_s(o->server_pid), own_cpu = own_cpu_s();
    uint64_t start = now_ns(), last = start;
    for (bool sending = true; sending || g.answered + g.refused < g.sent;) {
        uint64_t now = now_ns(), before = g.answered + g.refused;
        sending = (double)(now - start) < o->seconds * 1e9 && !(o->events && g.sent >= (uint64_t)o->events);
        for (int i = 0; i < o->publishers; i++) {
            struct publisher *p = &g.publishers[i];
            while (sending && p->frames_sent - p->frames_answered < (uint64_t)o->window
                   && !(o->events && g.sent >= (uint64_t)o->events))
                http ? send_request(&g, p) : send_frame(&g, p);
            connection_flush(&p->connection);
            short events = p->connection.out.size ? POLLIN | POLLOUT : POLLIN;
            g.polls[i] = (struct pollfd){.fd = p->connection.dead ? -1 : p->connection.fd, .events = events};
        }
        poll(g.polls, (nfds_t)o->publishers, 100);
        for (int i = 0; i < o->publishers; i++) {
            struct publisher *p = &g.publishers[i];
            struct answering answering = {&g, p};
            if (!(g.polls[i].revents & (POLLIN | POLLHUP)))
                continue;
            if (!http)
                connection_frames(&p->connection, take_acks, &answering);
            else if (connection_read(&p->connection))
                take_answers(&g, p);
        }
        now = now_ns();
        if (g.answered + g.refused != before)
            last = now;
        else if (now - last > PATIENCE_NS)
            break;
    }
    double seconds = last > start ? (double)(last - start) / 1e9 : 1e-9, events = g.answered ? (double)g.answered : 1;
    server_cpu = process_cpu_s(o->server_pid) - server_cpu;
    printf("{\"sent\":%llu,\"acknowledged\":%llu,\"refused\":%llu,\"seconds\":%.3f,\"events_per_s\":%.0f,"
           "\"cpu_s\":%.3f,\"cores\":%.3f,\"cpu_us_per_event\":%.3f,\"client_cores\":%.3f,\"p50_ms\":%.3f,"
           "\"p99_ms\":%.3f,\"rss_mib\":%.1f}\n",
           (unsigned long long)g.sent, (unsigned long long)g.answered, (unsigned long long)g.refused, seconds,
           events / seconds, server_cpu, server_cpu / seconds, server_cpu * 1e6 / events,
           (own_cpu_s() - own_cpu) / seconds, histogram_quantile(&g.waits_us, 0.5) / 1e3,
           histogram_quantile(&g.waits_us, 0.99) / 1e3, (double)process_rss_kib(o->server_pid) / 1024);
    return 0;
}

int ingest(const struct options *options)
{
    return run(options, false);
}

int post(const struct options *options)
{
    return run(options, true);
}
