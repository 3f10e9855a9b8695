/* The four things this client can do; each prints one line of JSON and returns the exit code. */
#ifndef LOAD_H
#define LOAD_H

#include "options.h"

int fanout(const struct options *options);

/* Publish over WebSockets and count the acknowledgements. */
int ingest(const struct options *options);

/* The same in NDJSON requests. */
int post(const struct options *options);

/* Connect viewers that do nothing, print, and wait for the end of standard input. */
int hold(const struct options *options);

#endif
