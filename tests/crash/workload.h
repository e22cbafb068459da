/* Sales to put into a ledger, and the memory of what was promised: the judge of the crash tests.
 *
 * A workload makes batches whose entries follow from each other.  It notes when each was tried and
 * when it was acknowledged, so that a ledger found after a crash can be held against both. */
#ifndef TICKETD_TESTS_CRASH_WORKLOAD_H
#define TICKETD_TESTS_CRASH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/ledger.h"

enum {
    WORKLOAD_EVENTS = 3,
    WORKLOAD_ENTRIES_MAX = 4096, /* of one event */
    WORKLOAD_BATCH_MAX = 48,
    WORKLOAD_STEPS_MAX = 512,
};

/* A promise: at that moment (of the caller's choice, never decreasing) so much was tried, and so
 * much acknowledged, of each event. */
struct workload_step {
    size_t moment;
    bool acknowledged;
    uint64_t entries[WORKLOAD_EVENTS];
};

struct workload {
    uint64_t state;
    struct ledger_entry entries[WORKLOAD_EVENTS][WORKLOAD_ENTRIES_MAX];
    uint64_t made[WORKLOAD_EVENTS];
    int64_t owed[WORKLOAD_EVENTS];
    struct workload_step steps[WORKLOAD_STEPS_MAX];
    size_t step_count;
};

struct workload *workload_new(uint64_t seed);
void workload_free(struct workload *workload);
/* A number below `limit`, the same sequence for the same seed. */
unsigned workload_random(struct workload *workload, unsigned limit);

/* Creates the events, noting each. 0, or the ledger's answer for the first that failed. */
int workload_create_event(struct workload *workload, struct ledger *ledger, uint32_t event,
                          size_t moment);
/* Makes the next batch; returns its size. */
size_t workload_batch(struct workload *workload, struct ledger_entry *entries);
/* Notes that all entries made so far are being tried, or are acknowledged. */
void workload_note(struct workload *workload, size_t moment, bool acknowledged);

/* Fails the running test unless the ledger holds, batch by batch, at least what was acknowledged
 * by that moment and no more than what was tried by then, each entry as it was made. */
void workload_check(const struct workload *workload, struct ledger *ledger, size_t moment,
                    const char *about);

#endif
