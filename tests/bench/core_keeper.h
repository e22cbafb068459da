/* The real keeper in a child: keeper_run over a real ledger, as the master of ticketd runs it, and
 * what it costs.  For the master of a stage. */
#ifndef TICKETD_TESTS_BENCH_CORE_KEEPER_H
#define TICKETD_TESTS_BENCH_CORE_KEEPER_H

#include "core_stage.h"
#include "ledger/ledger_url.h"

/* Readings of one instant, or what was done between two. */
struct keeper_work {
    uint64_t entries; /* that are in the ledger */
    uint64_t batches;
    uint64_t syncs;
    uint64_t cpu_ns, wall_ns;
    uint64_t written;      /* bytes that it gave to write calls */
    uint64_t written_disk; /* bytes of pages that it made dirty (/proc/PID/io: write_bytes) */
};

struct stage_keeper {
    struct stage *stage;
    struct ledger_place place;
    pid_t pid;
    struct keeper_work then, work;
};

/* Makes a ledger at `url`, a LEDGER_URL, with the events of the stage; no file may be there. */
void stage_keeper_open(struct stage_keeper *keeper, struct stage *stage, const char *url);
/* Starts it on that CPU and waits until it takes sales. */
void stage_keeper_start(struct stage_keeper *keeper, uint32_t cpu);
/* For stage_measure, whose `context` is the struct stage_keeper: leaves in `work` what the keeper
 * does between the two edges. */
void stage_keeper_on_edge(void *context, bool begins);
/* When all sellers have ended: tells it to end, and waits until all is in the ledger. */
void stage_keeper_end(struct stage_keeper *keeper);

/* Sales of all events that are in the ledger. */
uint64_t stage_keeper_entries(const struct stage_keeper *keeper);

#endif
