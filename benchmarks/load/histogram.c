#include "histogram.h"

void histogram_add(struct histogram *h, uint64_t value)
{
    unsigned bucket = (unsigned)value;
    if (value >= SUB_BUCKETS) {
        int shift = 63 - __builtin_clzll(value) - 6;
        bucket = (unsigned)(shift + 1) * SUB_BUCKETS + (unsigned)((value >> shift) - SUB_BUCKETS);
    }
    h->counts[bucket]++;
    h->total++;
    if (value > h->max)
        h->max = value;
}

double histogram_quantile(const struct histogram *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->total), seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += h->counts[bucket];
        if (seen > rank) {
            if (bucket < SUB_BUCKETS)
                return bucket;
            unsigned shift = bucket / SUB_BUCKETS - 1;
            return (double)((uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS) << shift);
        }
    }
    return (double)h->max;
}
