/* Publishers to viewers: how much reaches whom, how late, and what it costs the server. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "clock.h"
#include "connection.h"
#include "event.h"
#include "histogram.h"
#include "load.h"
#include "process.h"

enum { EVENTS_A_WAIT = 1024, INFLATED_ROOM = 4 << 20 };

static const uint64_t SETTLE_NS = 500000000, GIVE_UP_NS = 2500000000u;
static const long LONGEST_WAIT_NS = 1000000;

struct fanout {
    const struct options *options;
    struct connection *viewers, *publishers;
    int epoll;
    uint64_t published, delivered, read_at;
    struct histogram ages_us;
    z_stream inflate;
};

static void count_mark(void *with, uint64_t sent_ns)
{
    struct fanout *f = with;
    f->delivered++;
    histogram_add(&f->ages_us, f->read_at > sent_ns ? (f->read_at - sent_ns) / 1000 : 0);
}

static void inflate_marks(struct fanout *f, const struct frame *frame)
{
    static uint8_t plain[INFLATED_ROOM];
    static uint8_t tail[4] = {0, 0, 0xff, 0xff};
    uint8_t *parts[] = {(uint8_t *)frame->payload, tail};
    unsigned sizes[] = {(unsigned)frame->size, sizeof tail};
    inflateReset(&f->inflate); /* fails on a server that keeps its window from message to message */
    f->inflate.next_out = plain;
    f->inflate.avail_out = sizeof plain;
    for (int i = 0; i < 2; i++) {
        f->inflate.next_in = parts[i];
        f->inflate.avail_in = sizes[i];
        int result = inflate(&f->inflate, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) {
            fprintf(stderr, "a message could not be inflated\n");
            exit(2);
        }
    }
    event_marks(plain, sizeof plain - f->inflate.avail_out, count_mark, f);
}

static void view(void *with, struct connection *from, const struct frame *frame)
{
    struct fanout *f = with;
    (void)from;
    if (!frame->compressed)
        event_marks(frame->payload, frame->size, count_mark, f);
    else if (f->options->batch > 1)
        inflate_marks(f, frame);
    else
        f->delivered++; /* one event a frame: no need to look inside, and a shared window would need all */
}

static void ignore(void *with, struct connection *from, const struct frame *frame)
{
    (void)with;
    (void)from;
    (void)frame;
}

static void watch(struct fanout *f, struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(f->epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void receive(struct fanout *f, long wait_ns)
{
    struct epoll_event events[EVENTS_A_WAIT];
    struct timespec wait = {0, wait_ns};
    int n = epoll_pwait2(f->epoll, events, EVENTS_A_WAIT, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        int viewer = c >= f->viewers && c < f->viewers + f->options->viewers;
        f->read_at = now_ns();
        connection_frames(c, viewer ? view : ignore, f);
        if (c->dead)
            epoll_ctl(f->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    }
}

static void publish(struct fanout *f)
{
    char text[EVENT_ROOM];
    struct connection *c = &f->publishers[f->published % (unsigned)f->options->publishers];
    struct event event = {f->published, now_ns(), (unsigned)f->options->sessions, f->options->ids ? "load" : NULL};
    frame_write(&c->out, OP_TEXT, text, event_write(text, &event));
    f->published++;
}

static void flush(struct fanout *f)
{
    for (int i = 0; i < f->options->publishers; i++)
        if (f->publishers[i].out.size)
            connection_flush(&f->publishers[i]);
}

static bool enough(const struct fanout *f)
{
    return f->options->events && f->published >= (uint64_t)f->options->events;
}

/* Publish until the time is over and wait until all is delivered or nothing comes any more. */
static uint64_t run(struct fanout *f, uint64_t start, uint64_t *latest_ns)
{
    const struct options *o = f->options;
    uint64_t last = start, before = 0, viewers = (uint64_t)o->viewers;
    for (bool publishing = true;;) {
        uint64_t now = now_ns();
        long wait_ns = LONGEST_WAIT_NS;
        if (publishing && (enough(f) || (double)(now - start) > o->seconds * 1e9))
            publishing = false;
        if (!publishing && f->delivered >= f->published * viewers)
            return last;
        if (publishing && o->rate > 0) {
            uint64_t due;
            while ((due = start + (uint64_t)((double)f->published * 1e9 / o->rate)) <= now && !enough(f)) {
                if (now - due > *latest_ns)
                    *latest_ns = now - due;
                publish(f);
            }
            if (due > now && (long)(due - now) < wait_ns)
                wait_ns = (long)(due - now);
        } else if (publishing) {
            while (f->published - f->delivered / viewers < (uint64_t)o->window && !enough(f))
                publish(f);
        }
        flush(f);
        receive(f, wait_ns);
        now = now_ns();
        if (f->delivered != before) {
            before = f->delivered;
            last = now;
        } else if (now - last > GIVE_UP_NS) {
            return last;
        }
    }
}

int fanout(const struct options *options)
{
    static struct fanout f;
    f.options = options;
    f.epoll = epoll_create1(0);
    f.viewers = calloc((size_t)options->viewers, sizeof *f.viewers);
    f.publishers = calloc((size_t)options->publishers, sizeof *f.publishers);
    inflateInit2(&f.inflate, -15);
    for (int i = 0; i < options->viewers; i++) {
        struct connection *c = &f.viewers[i];
        connection_open(c, options->port);
        connection_upgrade(c, options->port, options->viewer_path, options->deflate);
        if (options->hello) {
            frame_write(&c->out, OP_TEXT, options->hello, strlen(options->hello));
            connection_flush(c);
        }
        watch(&f, c);
    }
    for (int i = 0; i < options->publishers; i++) {
        connection_open(&f.publishers[i], options->port);
        connection_upgrade(&f.publishers[i], options->port, options->publisher_path, false);
        watch(&f, &f.publishers[i]);
    }
    for (uint64_t end = now_ns() + SETTLE_NS; now_ns() < end;)
        receive(&f, LONGEST_WAIT_NS);
    f.delivered = 0;
    uint64_t bytes_before = 0, bytes = 0, latest_ns = 0;
    int dead = 0;
    for (int i = 0; i < options->viewers; i++)
        bytes_before += f.viewers[i].bytes_in;
    double server_cpu = process_cpu_s(options->server_pid), own_cpu = own_cpu_s();
    uint64_t start = now_ns(), end = run(&f, start, &latest_ns);
    server_cpu = process_cpu_s(options->server_pid) - server_cpu;
    own_cpu = own_cpu_s() - own_cpu;
    for (int i = 0; i < options->viewers; i++) {
        bytes += f.viewers[i].bytes_in;
        dead += f.viewers[i].dead;
    }
    double seconds = end > start ? (double)(end - start) / 1e9 : 1e-9, deliveries = f.delivered ? (double)f.delivered : 1;
    printf("{\"published\":%llu,\"delivered\":%llu,\"lost\":%lld,\"cut\":%d,\"seconds\":%.3f,"
           "\"deliveries_per_s\":%.0f,\"events_per_s\":%.0f,\"cpu_s\":%.3f,\"cores\":%.3f,"
           "\"cpu_us_per_delivery\":%.4f,\"client_cores\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"late_ms\":%.3f,\"bytes_per_delivery\":%.1f,\"rss_mib\":%.1f}\n",
           (unsigned long long)f.published, (unsigned long long)f.delivered,
           (long long)(f.published * (uint64_t)options->viewers) - (long long)f.delivered, dead, seconds,
           deliveries / seconds, (double)f.published / seconds, server_cpu, server_cpu / seconds,
           server_cpu * 1e6 / deliveries, own_cpu / seconds, histogram_quantile(&f.ages_us, 0.5) / 1e3,
           histogram_quantile(&f.ages_us, 0.99) / 1e3, (double)f.ages_us.max / 1e3, (double)latest_ns / 1e6,
           (double)(bytes - bytes_before) / deliveries, (double)process_rss_kib(options->server_pid) / 1024);
    return 0;
}
