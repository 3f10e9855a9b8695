/* A lean load client in one thread; it must never be what is measured. Source: docs/performance.md. */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "load.h"

int main(int count, char **values)
{
    static const struct {
        const char *name;
        int (*run)(const struct options *);
    } modes[] = {{"fanout", fanout}, {"ingest", ingest}, {"post", post}, {"hold", hold}};
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1); /* rates are kept to the microsecond, not to 50 of them */
    struct options options = options_read(count, values);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (count > 1 && !strcmp(values[optind], modes[i].name))
            return modes[i].run(&options);
    fprintf(stderr, "unknown mode\n");
    return 2;
}
