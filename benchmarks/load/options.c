#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void usage(void)
{
    fprintf(stderr, "load fanout|ingest|post|hold --port N [--server-pid N] [--viewers N] [--publishers N] "
                    "[--window N] [--rate N] [--seconds N] [--events N] [--batch N] [--sessions N] [--deflate] "
                    "[--ids] [--viewer-path PATH] [--publisher-path PATH] [--hello TEXT]\n");
    exit(2);
}

struct options options_read(int count, char **values)
{
    struct options o = {.viewers = 100,
                        .publishers = 1,
                        .window = 128,
                        .seconds = 2.5,
                        .batch = 1,
                        .sessions = 1,
                        .viewer_path = "/ws?session_id=s1&role=viewer",
                        .publisher_path = "/ws?role=publisher"};
    static const struct option names[] = {
        {"port", required_argument, 0, 'p'},        {"server-pid", required_argument, 0, 's'},
        {"viewers", required_argument, 0, 'v'},     {"publishers", required_argument, 0, 'n'},
        {"window", required_argument, 0, 'w'},      {"rate", required_argument, 0, 'r'},
        {"seconds", required_argument, 0, 't'},     {"events", required_argument, 0, 'e'},
        {"batch", required_argument, 0, 'b'},       {"sessions", required_argument, 0, 'S'},
        {"deflate", no_argument, 0, 'd'},           {"ids", no_argument, 0, 'i'},
        {"viewer-path", required_argument, 0, 'V'}, {"publisher-path", required_argument, 0, 'P'},
        {"hello", required_argument, 0, 'h'},       {0, 0, 0, 0},
    };
    int name;
    while ((name = getopt_long(count, values, "", names, NULL)) >= 0)
        switch (name) {
        case 'p': o.port = atoi(optarg); break;
        case 's': o.server_pid = atoi(optarg); break;
        case 'v': o.viewers = atoi(optarg); break;
        case 'n': o.publishers = atoi(optarg); break;
        case 'w': o.window = atoi(optarg); break;
        case 'r': o.rate = atof(optarg); break;
        case 't': o.seconds = atof(optarg); break;
        case 'e': o.events = atol(optarg); break;
        case 'b': o.batch = atoi(optarg); break;
        case 'S': o.sessions = atoi(optarg); break;
        case 'd': o.deflate = true; break;
        case 'i': o.ids = true; break;
        case 'V': o.viewer_path = optarg; break;
        case 'P': o.publisher_path = optarg; break;
        case 'h': o.hello = optarg; break;
        default: usage();
        }
    if (!o.port || o.publishers < 1 || o.batch < 1 || o.sessions < 1 || optind + 1 != count)
        usage();
    return o;
}
