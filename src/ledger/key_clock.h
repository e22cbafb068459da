/* How old an idempotency key is, whatever the wall clock did since its sale.
 *
 * A key must live at least its time to live.  The ledger's times are the wall clock's, which
 * somebody may set, so a key's age is counted in what is known to have passed: up to the newest
 * thing in the ledger (the time that ticketd was down does not age a key), without the steps that
 * the clock made forward (ledger_ops.note_clock_step).  Steps back need nothing: the ledger's time
 * stands still until the clock has caught up.  So an age is never too high; keys may live longer.
 *
 *     sale          step of f         newest
 *       |-------------|······f······|----|        age = newest − sale − f
 *
 * For the process that loads the keys; plain data. */
#ifndef TICKETD_LEDGER_KEY_CLOCK_H
#define TICKETD_LEDGER_KEY_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/ledger.h"

enum {
    /* More than so many forward steps within a key's life are a broken clock: what was sold before
     * them counts as young as it was at the oldest one known. */
    KEY_CLOCK_STEPS_MAX = 1024,
};

struct ledger_key_clock {
    int64_t newest_us; /* the ledger's time */
    unsigned count;
    bool more; /* there were older steps than there is room for */
    struct {
        int64_t time_us, step_us;
    } steps[KEY_CLOCK_STEPS_MAX]; /* the forward ones, newest first */
};

/* Reads the newest time and the steps; blocks on the disk.  0, or the ledger's negated errno. */
int ledger_key_clock_load(const struct ledger_ops *ops, struct ledger *ledger,
                          struct ledger_key_clock *ret_clock);

/* What each_key is to be asked for: no sale before it is younger than ttl_us (≥ 0). */
int64_t ledger_key_clock_since(const struct ledger_key_clock *clock, int64_t ttl_us);

/* The age of a sale of that time when the ledger's newest thing happened; never negative. */
int64_t ledger_key_clock_age_us(const struct ledger_key_clock *clock, int64_t time_us);

#endif
