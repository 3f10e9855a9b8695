/* Viewers that do nothing: what one costs the server in memory. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "connection.h"
#include "load.h"
#include "process.h"

int hold(const struct options *o)
{
    long before = process_rss_kib(o->server_pid);
    struct connection *viewers = calloc((size_t)o->viewers, sizeof *viewers);
    for (int i = 0; i < o->viewers; i++) {
        connection_open(&viewers[i], o->port);
        connection_upgrade(&viewers[i], o->port, o->viewer_path, o->deflate);
    }
    usleep(500000);
    long after = process_rss_kib(o->server_pid);
    printf("{\"viewers\":%d,\"before_mib\":%.1f,\"after_mib\":%.1f,\"kib_per_viewer\":%.2f}\n", o->viewers,
           (double)before / 1024, (double)after / 1024, (double)(after - before) / o->viewers);
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}
