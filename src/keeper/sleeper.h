/* How the keeper and the reader wait: for their bell, for the signal to end, for a time. */
#ifndef TICKETD_KEEPER_SLEEPER_H
#define TICKETD_KEEPER_SLEEPER_H

#include <stdbool.h>

struct sleeper {
    int bell;    /* eventfd */
    int signals; /* signalfd */
    bool told_to_end;
};

/* KEEPER_SIGNAL_STOP is blocked already, as the master has it.  0 or -errno. */
int sleeper_init(struct sleeper *sleeper, int bell);

/* Sleeps until the bell rings, the signal to end comes, or `most_ms` have passed: false for the
 * last. */
bool sleeper_wait(struct sleeper *sleeper, int most_ms);

#endif
