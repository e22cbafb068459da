/* The scoreboard: one slot of shared memory for each child process, by which the master supervises
 * its children and the workers of a pool share their load.  The master maps it before it forks;
 * every child writes only its own slot.  It holds no stock: a ticket worker, which must not map the
 * stock's segment, has a slot here like any other.
 *
 * The states of a slot, and who moves it:
 *
 *            master: fork              child                 child
 *   FREE ───────────────► STARTING ───────────► SERVING ───────────► DRAINING
 *    ▲                        │                     │                    │
 *    └────────────────────────┴─── master: child was reaped ─────────────┘
 *
 * Process-safe: every field is one aligned atomic cell with one writer at a time.  A child that is
 * killed leaves its slot as it was; the master clears it after it has reaped the child. */
#ifndef TICKETD_SCOREBOARD_SCOREBOARD_H
#define TICKETD_SCOREBOARD_SCOREBOARD_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SCOREBOARD_CACHE_LINE 64

enum scoreboard_state {
    SCOREBOARD_FREE = 0,
    SCOREBOARD_STARTING,
    SCOREBOARD_SERVING,
    SCOREBOARD_DRAINING,
};

/* What a worker has now beside its connections; src/metrics tells of it.  What it has counted is
 * kept in the slots of metrics/metrics.h, where it outlives the worker. */
#define SCOREBOARD_GAUGES(X)                                                                       \
    X(parked)           /* sales and other calls that wait for the stock */                        \
    X(streams)          /* event streams that are open */                                          \
    X(client_busy)      /* connections to the vacancy pool with a request, or about to have one */ \
    X(client_idle)      /* … without one */                                                      \
    X(client_queue)     /* calls that wait for such a connection */                                \
    X(client_closed)    /* addresses of the vacancy pool, by the state of their breaker */         \
    X(client_half_open) /* … */                                                                  \
    X(client_open)

struct scoreboard_slot {
    /* Read by every worker of the pool when it accepts; written on accept, close and state. */
    alignas(SCOREBOARD_CACHE_LINE) _Atomic uint32_t state; /* enum scoreboard_state */
    _Atomic uint32_t pool;                                 /* which pool the worker belongs to */
    _Atomic uint32_t connections;                          /* client connections it holds */
    _Atomic uint32_t accept_paused; /* 1: it waits for its bell before it accepts again */
    _Atomic uint64_t heartbeat;     /* counts up while the child's loop turns; master watches */

    /* Written by the child alone; a line of its own keeps the neighbours calm. */
#define X(name) _Atomic uint32_t name;
    alignas(SCOREBOARD_CACHE_LINE) SCOREBOARD_GAUGES(X)
#undef X
};

static_assert(sizeof(struct scoreboard_slot) % SCOREBOARD_CACHE_LINE == 0, "no shared lines");

/* Reloads since the master started.  One that is asked for while another is under way may be served
 * by the same rolling of workers; `done` and `refused` then count both. */
struct scoreboard_reloads {
    alignas(SCOREBOARD_CACHE_LINE) _Atomic uint64_t asked; /* by whoever asks */
    _Atomic uint64_t done;                                 /* by the master, likewise below */
    _Atomic uint64_t refused;
};

struct scoreboard {
    struct scoreboard_reloads *reloads;
    /* when the master ends the workers that it has told to stop, on clock_monotonic_ms()'s scale;
     * 0: it has told none */
    _Atomic uint64_t *stop_ends_ms;
    struct scoreboard_slot *slots;
    uint32_t slot_count;
};

/* The load of one pool, summed over its slots at one (not quite atomic) look. */
struct scoreboard_load {
    uint32_t serving;             /* workers that accept */
    uint32_t serving_connections; /* connections those hold */
    uint32_t connections;         /* connections of all, draining ones included */
};

/* Maps a scoreboard of slot_count free slots.  Master only, before any fork.  0 or -errno. */
int scoreboard_create(struct scoreboard *ret_board, uint32_t slot_count);

/* Unmaps it; accepts a zeroed or an already destroyed one. */
void scoreboard_destroy(struct scoreboard *board);

/* The slots from `first` on, `count` of them, as a board of their own: a pool's.  Not for
 * scoreboard_destroy. */
static inline struct scoreboard scoreboard_part(const struct scoreboard *board, uint32_t first,
                                                uint32_t count)
{
    struct scoreboard part = *board;

    assert(first + count <= board->slot_count);
    part.slots = board->slots + first;
    part.slot_count = count;
    return part;
}

/* Finds a free slot, clears it and marks it STARTING for that pool.  Master only.
 * 0 or TICKETD_BUSY. */
int scoreboard_claim(struct scoreboard *board, uint32_t pool, uint32_t *ret_slot);

/* The child of that slot was reaped: it accepts nothing and holds no connection.  The slot is not
 * free yet.  Master only. */
void scoreboard_leave(struct scoreboard *board, uint32_t slot);

/* Frees the slot of a child that was reaped.  Master only. */
void scoreboard_release(struct scoreboard *board, uint32_t slot);

/* Looks at every slot of a pool.  Any process; cost is one cache line a slot. */
struct scoreboard_load scoreboard_pool_load(const struct scoreboard *board, uint32_t pool);

/* Adds to a counter of one's own: a plain load and store, since only the owner writes. */
static inline void scoreboard_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* relaxed: readers want a recent value, no other memory hangs on it */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Says how much of it there is now, in one's own slot. */
static inline void scoreboard_show(_Atomic uint32_t *gauge, size_t now)
{
    /* relaxed, as above */
    atomic_store_explicit(gauge, (uint32_t)now, memory_order_relaxed);
}

static inline enum scoreboard_state scoreboard_state(const struct scoreboard_slot *slot)
{
    /* acquire: who sees SERVING also sees what the child did to get there */
    return (enum scoreboard_state)atomic_load_explicit(&slot->state, memory_order_acquire);
}

static inline void scoreboard_set_state(struct scoreboard_slot *slot, enum scoreboard_state state)
{
    /* release: pairs with the acquire above */
    atomic_store_explicit(&slot->state, (uint32_t)state, memory_order_release);
}

#endif
