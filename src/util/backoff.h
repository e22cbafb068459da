/* How long to wait before something that has failed is tried again: not at all after the first
 * time, then longer each time.  Any process; no state. */
#ifndef TICKETD_UTIL_BACKOFF_H
#define TICKETD_UTIL_BACKOFF_H

#include <stdint.h>

/* The delay after the second failure in a row, doubled with each further one, at most the last. */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   10000

/* After a failure that `before` others came right before. */
static inline uint64_t backoff_ms(unsigned before)
{
    uint64_t delay_ms;

    if (before == 0)
        return 0;
    delay_ms = (uint64_t)BACKOFF_FIRST_MS << (before - 1 < 16 ? before - 1 : 16);
    return delay_ms < BACKOFF_MAX_MS ? delay_ms : BACKOFF_MAX_MS;
}

#endif
