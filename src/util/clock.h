/* Time for deadlines and heartbeats: it never jumps when somebody sets the wall clock.  Any
 * process; no state. */
#ifndef TICKETD_UTIL_CLOCK_H
#define TICKETD_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds since some fixed moment of this boot (CLOCK_MONOTONIC, read without a system call).
 */
static inline uint64_t clock_monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000U;
}

/* The earlier of two moments; UINT64_MAX stands for never. */
static inline uint64_t clock_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
