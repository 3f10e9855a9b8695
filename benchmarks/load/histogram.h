/* Latencies in microseconds, kept in logarithmic buckets 1/64 wide: a quantile is right within 1.6 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { SUB_BUCKETS = 64, BUCKETS = 64 * SUB_BUCKETS };

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
    uint64_t max;
};

void histogram_add(struct histogram *h, uint64_t value);

/* The value below which the share q (0 to 1) of the observations lies; 0 for none. */
double histogram_quantile(const struct histogram *h, double q);

#endif
