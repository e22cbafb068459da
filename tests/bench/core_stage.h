/* What core-scaling plays on: the real segment of the stock, and around it processes that the
 * master forks, each on a CPU of its own as long as there are enough.
 *
 * The master alone calls stage_open, _start, _measure, _end and _set_phase; children inherit the
 * stage and write nothing of it but their own tally.  A child dies when the master does
 * (PR_SET_PDEATHSIG), and the master when its time is over (alarm), so that nothing is left behind
 * whatever happens.  What cannot go on ends the program with one line. */
#ifndef TICKETD_TESTS_BENCH_CORE_STAGE_H
#define TICKETD_TESTS_BENCH_CORE_STAGE_H

#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "heritage/heritage.h"
#include "stock/segment.h"
#include "ticketd/stock.h"

#define STAGE_SELLERS_MAX 64
#define STAGE_EVENTS_MAX  64
/* Tickets of each event: no run sells it out. */
#define STAGE_CAPACITY STOCK_QUANTITY_MAX

enum stage_phase {
    STAGE_WARM_UP = 0,
    STAGE_COUNT, /* what is done now is measured */
    STAGE_OVER,  /* sellers end */
    STAGE_SOLD,  /* all sellers have ended: who drains ends when nothing is left */
};

/* What one process has done; read by the master when the process has ended. */
struct stage_tally {
    alignas(SEGMENT_CACHE_LINE) uint64_t entries; /* from its start to its end */
    /* Of these, in STAGE_COUNT, and what it took. */
    uint64_t counted;
    uint64_t cpu_ns;
    uint64_t wall_ns;
    /* In STAGE_COUNT, while it found no room or no entry; cpu_ns and wall_ns are without it. */
    uint64_t idle_cpu_ns;
    uint64_t idle_wall_ns;
    bool counts;
    bool wrong; /* it saw something that cannot be */
};

struct stage_shared {
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t phase; /* enum stage_phase; the master's */
    _Atomic uint32_t ready;                             /* sellers that have sold something */
    _Atomic uint32_t full; /* a seller can have no more keys: what is counted ends early */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint64_t syncs; /* of files, by whoever writes a ledger */
    struct stage_tally sellers[STAGE_SELLERS_MAX];
    struct stage_tally drain;
};

struct stage_options {
    uint32_t sellers, events;
    uint32_t ring_slots; /* of each event */
    uint64_t keys_max;
};

struct stage {
    struct heritage heritage; /* what the real children get: stock, bells, metrics */
    struct stage_shared *shared;
    uint32_t sellers;
    cpu_set_t cpus; /* that the program may use */
    int bells[STAGE_SELLERS_MAX];
};

void stage_open(struct stage *stage, const struct stage_options *options);

/* The index of a CPU is counted among those that may be used, and goes round. */
uint32_t stage_cpu_count(const struct stage *stage);
/* Forks a child that runs on that CPU and ends with what `run` returns. */
pid_t stage_start(struct stage *stage, uint32_t cpu, int (*run)(struct stage *stage, void *context),
                  void *context);
/* Waits for its end, which must be with status 0. */
void stage_expect_end(pid_t child);

/* Waits until each seller has begun, warms up, counts (less long when there is no more to sell),
 * and tells the sellers to end; `on_edge` is called when counting begins and when it ends (NULL:
 * nobody is). */
void stage_measure(struct stage *stage, uint32_t warmup_ms, uint32_t counted_ms,
                   void (*on_edge)(void *context, bool begins), void *context);
void stage_set_phase(struct stage *stage, enum stage_phase phase);

/* --- any process --- */

static inline enum stage_phase stage_phase(const struct stage *stage)
{
    /* acquire: nothing hangs on it but order in this process's own clock readings */
    return (enum stage_phase)atomic_load_explicit(&stage->shared->phase, memory_order_acquire);
}

/* A seller has begun. */
static inline void stage_is_ready(struct stage *stage)
{
    atomic_fetch_add_explicit(&stage->shared->ready, 1, memory_order_relaxed);
}

/* To be called often, with the phase as it is: begins and ends the counting. */
void stage_tally_follow(struct stage_tally *tally, enum stage_phase phase);

/* What waiting costs is kept apart: from begin to end of it. */
struct stage_idle {
    uint64_t cpu_ns, wall_ns;
};
struct stage_idle stage_idle_begin(void);
void stage_idle_end(struct stage_tally *tally, const struct stage_idle *since);

/* CPU time of this process. */
uint64_t stage_cpu_ns(void);

void stage_pause_ns(long ns);

#endif
