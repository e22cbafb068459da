/* A pool of workers: forked, watched, replaced, rolled and stopped by the master.  Master only; no
 * function blocks.
 *
 * A child's states, as the master sees them:
 *
 *               fork (start, or after a death)
 *    (none) ───────────────────────────────────► CURRENT ──────┐
 *       │                                           ▲          │ roll: its successor serves
 *       │       fork (roll)            it serves    │          ▼
 *       └───────────────────────► INCOMING ─────────┘       RETIRING
 *
 * From each of them the child's death leads back to (none), where a place without a CURRENT child
 * gets a new one, at once or after a growing delay (util/backoff.h).  The slot of a dead child is
 * free again when what it left in the stock is repaired. */
#ifndef TICKETD_MASTER_POOL_H
#define TICKETD_MASTER_POOL_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "master/listener.h"
#include "worker/worker.h"

#define POOL_WORKERS_MAX 128
static_assert(LISTENERS_MAX <= WORKER_LISTENERS_MAX, "a worker takes every listener of its pool");
/* Slots a pool needs: each worker once, and once more while a roll overlaps. */
#define POOL_SLOTS(workers) (2 * (workers))

/* A child that lives this long has not died at once; its next death is answered at once. */
#define POOL_SETTLED_MS 10000
/* So many deaths in one place before any worker of the pool ever served, and the master gives up.
 */
#define POOL_STILLBORN_MAX 5
/* Time for a new child to serve. */
#define POOL_START_TIMEOUT_MS 10000
/* How long a child's loop may stand still before it is killed and replaced. */
#define POOL_HANG_TIMEOUT_MS 5000

enum child_state {
    CHILD_NONE = 0,
    CHILD_CURRENT,
    CHILD_INCOMING,
    CHILD_RETIRING,
};

struct child {
    enum child_state state;
    pid_t pid;
    uint32_t index;      /* which of the pool */
    uint64_t began_ms;   /* when it was forked */
    uint64_t kill_at_ms; /* 0: never */
    bool served;         /* it was seen serving */
    bool killed;         /* SIGKILL is sent, it is about to be reaped */
    uint64_t heartbeat;  /* as last seen */
    uint64_t still_ms;   /* for how long it has not moved, as far as the master was awake to see */
};

struct place {
    unsigned deaths; /* in a row */
    uint64_t restart_at_ms;
};

struct pool {
    /* fixed after start */
    enum role role;
    const char *worker; /* what one is called in logs */
    uint32_t worker_count;
    uint32_t first_slot;             /* of its own part of the scoreboard */
    struct scoreboard board;         /* that part */
    struct heritage heritage;        /* a template: index and slot are filled in at each fork */
    void (*in_child)(void *context); /* lets the child drop what is the master's */
    void *context;

    struct child children[POOL_SLOTS(POOL_WORKERS_MAX)]; /* by slot of its part */
    struct place places[POOL_WORKERS_MAX];
    uint64_t watched_ms; /* when the children were last looked at */
    bool ever_served;
    bool stopping;
    /* Another pool is stopping first, or handshakes of this one are still under way.  Until then
     * this one is kept up, so that somebody takes who waits; but a worker that ends properly has
     * heard the same signal, sent to the whole group, and has not crashed. */
    bool stops_later;
    bool stillborn;      /* the pool cannot live */
    bool rolling;        /* a reload is under way */
    bool roll_failed;    /* the last one was given up */
    uint32_t roll_index; /* the place that is being rolled */
};

/* Starts nothing yet: pool_tick does.  `heritage` is copied; the slots of its scoreboard from
 * first_slot on, POOL_SLOTS(worker_count) of them, are this pool's alone. */
void pool_init(struct pool *pool, uint32_t worker_count, uint32_t first_slot,
               const struct heritage *heritage, void (*in_child)(void *context), void *context);

/* Does what is due: forks, promotes, rolls, kills.  Returns when it wants to be called again, on
 * clock_monotonic_ms()'s scale, at the latest. */
uint64_t pool_tick(struct pool *pool, uint64_t now_ms);

/* Takes note of a child that was reaped.  false when it is not of this pool. */
bool pool_reaped(struct pool *pool, pid_t pid, int status, uint64_t now_ms);

/* Mends what dead workers left in the stock, and then frees their slots.  Call when all children
 * that have died are reaped.  false: a living one must go on first, call again soon. */
bool pool_repair(struct pool *pool);

/* Kills the worker that has taken the slot of that sequence and does not stamp it. */
void pool_kill_holder(struct pool *pool, uint32_t event, uint32_t sequence);

/* Replaces the workers one by one; the new one serves before the old one drains.  Not while it is
 * rolling; `rolling` tells when it has ended, and `roll_failed` whether it was given up. */
void pool_roll(struct pool *pool);

/* Tells every worker to drain, and kills what is left at end_ms, on clock_monotonic_ms()'s scale.
 */
void pool_stop(struct pool *pool, uint64_t end_ms);

/* Starts workers again after pool_stop, when pool_gone. */
void pool_restart(struct pool *pool);

/* Kills every worker now. */
void pool_kill(struct pool *pool);

/* How many places have a serving worker; true when all of them have. */
uint32_t pool_serving(const struct pool *pool);
bool pool_ready(const struct pool *pool);

/* True when no child is left. */
bool pool_gone(const struct pool *pool);

#endif
