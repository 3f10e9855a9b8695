/* What the command line asks for. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

struct options {
    int port;
    int server_pid;
    int viewers;
    int publishers;
    int window;       /* events under way at most, where no rate is given */
    double rate;      /* events a second; 0: as fast as the window allows */
    double seconds;   /* how long to publish */
    long events;      /* how many to publish at most; 0: no such limit */
    int batch;        /* events a frame or a request */
    int sessions;     /* the events go round so many sessions */
    bool deflate;     /* viewers offer permessage-deflate, as browsers do */
    bool ids;         /* events carry an id of their own */
    const char *viewer_path;
    const char *publisher_path;
    const char *hello; /* the first message of a viewer; NULL: none */
};

/* Exits with the usage where it is wrong. */
struct options options_read(int count, char **values);

#endif
