/* A circuit breaker (M. Nygard, Release It!, chapter "Stability Patterns"): a peer that fails again
 * and again is left alone for a while, so that callers fail at once instead of waiting for it, and
 * so that it is not buried under calls when it comes back.
 *
 *               failures_max failures in a row
 *    CLOSED ────────────────────────────────────► OPEN ◄─────────────┐
 *      ▲                                            │                │
 *      │                                            │ open_ms later  │ the probe fails
 *      │            the probe succeeds              ▼                │
 *      └─────────────────────────────────────── HALF_OPEN ───────────┘
 *
 * CLOSED admits every call; OPEN none; HALF_OPEN one at a time, the probe.  A success at any time
 * closes it.  Plain data of one thread; the caller brings the time (clock_monotonic_ms). */
#ifndef TICKETD_CLIENT_BREAKER_H
#define TICKETD_CLIENT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state {
    BREAKER_CLOSED = 0,
    BREAKER_OPEN,
    BREAKER_HALF_OPEN,
};

struct breaker {
    /* fixed after start */
    uint32_t failures_max;
    uint32_t open_ms;

    enum breaker_state state;
    uint32_t failures; /* in a row */
    uint64_t open_until_ms;
    bool probing; /* HALF_OPEN: the one call is under way */
};

void breaker_init(struct breaker *breaker, uint32_t failures_max, uint32_t open_ms);

/* Whether a call may be made now; a true is followed by exactly one of the three below.  Turns OPEN
 * into HALF_OPEN when its time has come. */
bool breaker_admit(struct breaker *breaker, uint64_t now_ms);

/* What breaker_admit would say, changing nothing. */
bool breaker_would_admit(const struct breaker *breaker, uint64_t now_ms);

/* How an admitted call ended; `abandoned`: it says nothing about the peer.  Return true when the
 * state changed, so that the caller can log it. */
bool breaker_succeeded(struct breaker *breaker);
bool breaker_failed(struct breaker *breaker, uint64_t now_ms);
bool breaker_abandoned(struct breaker *breaker);

#endif
