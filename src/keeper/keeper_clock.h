/* The ledger's time: the wall clock, but never back; and what it jumped ahead is recorded, so that
 * keys do not age by it (ledger_key_clock in src/ledger).  The keeper's process. */
#ifndef TICKETD_KEEPER_KEEPER_CLOCK_H
#define TICKETD_KEEPER_KEEPER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Ahead by so much against the clock that nobody sets, and it was set. */
#define KEEPER_CLOCK_STEP_US 1000000

/* Begins zeroed, but for time_us: that of the ledger's newest entry. */
struct keeper_clock {
    int64_t time_us;        /* the last one told */
    int64_t offset_us;      /* wall clock minus boot clock, as of the last step that was recorded */
    int64_t seen_offset_us; /* when it was last read */
    bool knows_offset;
};

/* The time for a batch.  *ret_step_us: 0, or by how much the clock has been set ahead or back since
 * the last step; also what passed before this keeper's first batch, of which it knows nothing.  To
 * be recorded before the batch. */
int64_t keeper_clock_now(struct keeper_clock *clock, int64_t *ret_step_us);
/* That time is in use, and its step, if it had one, is recorded. */
void keeper_clock_told(struct keeper_clock *clock, int64_t time_us, bool had_step);

#endif
