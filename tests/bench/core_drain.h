/* A consumer that does nothing: it takes stamped entries out of the journals as the keeper does, as
 * many at a time, looks only whether each begins where the one before it ended, and publishes. What
 * the rings themselves sustain.  In the keeper's place: one process at a time. */
#ifndef TICKETD_TESTS_BENCH_CORE_DRAIN_H
#define TICKETD_TESTS_BENCH_CORE_DRAIN_H

#include "core_stage.h"

struct drain {
    struct stage *stage;
    struct stage_tally *tally;
    struct drain_event {
        uint64_t next;
        uint32_t available;
    } events[STAGE_EVENTS_MAX];
};

/* When nothing has been sold yet. */
void drain_init(struct drain *drain, struct stage *stage);

/* At most a batch of each event: whether there was any. */
bool drain_turn(struct drain *drain);

/* For stage_start, without context: drains until STAGE_SOLD and nothing is left. */
int drain_run(struct stage *stage, void *context);

#endif
