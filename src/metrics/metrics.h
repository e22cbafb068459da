/* What this master's processes count, in shared memory: one slot for each process, which it alone
 * writes, summed over all slots by whoever reads.  The master maps it before it forks; every child
 * inherits it, a ticket worker too, for there is no stock in it.
 *
 * Nothing here is ever zeroed while the master lives: the next owner of a dead process's slot goes
 * on counting where that one was killed, so that no sum ever goes backwards.  One writer at a time:
 * a slot gets a new owner when the old one was reaped.  What can fall (connections, what waits) is
 * in the scoreboard (scoreboard/scoreboard.h), or read from the stock.
 *
 * Writing is a plain load and store of one's own cells, relaxed: readers want recent numbers, and
 * no other memory hangs on them.  Nothing blocks, allocates or makes a system call but
 * metrics_create and metrics_destroy.
 *
 * Layout: head; slots; for each slot the cells of each event; the keeper's cells of each event.
 * Pages that nobody touches cost no memory. */
#ifndef TICKETD_METRICS_METRICS_H
#define TICKETD_METRICS_METRICS_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/role.h"
#include "ticketd/text.h"

/* Events that are counted and listed, in the order in which they were created. */
#define METRICS_EVENTS_MAX 1024
/* Longest id of an event; STOCK_EVENT_ID_MAX. */
#define METRICS_EVENT_ID_MAX 47
/* Different kinds of answers (method, route, status) that one process counts apart; those beyond
 * are counted together. */
#define METRICS_REQUESTS_MAX 256

/* ---- the table ---- */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum metric_id {
#define METRIC(id, name, type, labels, help) METRIC_##id,
#include "metrics/metrics.def"
    METRIC_COUNT
};

struct metric {
    const char *name;
    enum metric_type type;
    const char *labels; /* separated by commas; "" for none */
    const char *help;
};

const struct metric *metric_of(enum metric_id id);

/* Counters of a process's slot: METRICS_accepted and so on. */
enum metrics_cell {
#define METRIC_CELL(id, cell, value) METRICS_##cell,
#include "metrics/metrics.def"
    METRICS_CELL_COUNT
};

/* Counters of a worker by event: METRICS_EVENT_sales and so on. */
enum metrics_event_cell {
#define METRIC_EVENT_CELL(id, cell) METRICS_EVENT_##cell,
#include "metrics/metrics.def"
    METRICS_EVENT_CELL_COUNT
};

/* Counters of the keeper by event: METRICS_ORDER_orders and so on. */
enum metrics_order_cell {
#define METRIC_ORDER_CELL(id, cell) METRICS_ORDER_##cell,
#include "metrics/metrics.def"
    METRICS_ORDER_CELL_COUNT
};

/* Histograms of a process's slot: METRICS_SERIES_keeper_batch and so on. */
enum metrics_series {
#define METRIC_SERIES(id, cell, bounds) METRICS_SERIES_##cell,
#include "metrics/metrics.def"
    METRICS_SERIES_COUNT
};

/* Most upper bounds of buckets; above the last one there is one bucket more. */
#define METRICS_BOUNDS_MAX 17

struct metrics_bounds {
    uint64_t bound[METRICS_BOUNDS_MAX]; /* the upper one of each bucket, itself included */
    const char *text[METRICS_BOUNDS_MAX];
    uint32_t count;
    bool is_time; /* in nanoseconds, and told in seconds */
};

extern const struct metrics_bounds metrics_bounds_TIME;  /* 50 µs … 10 s in steps of 1, 2, 5 */
extern const struct metrics_bounds metrics_bounds_COUNT; /* 1 … 1024 in powers of two */

/* ---- the memory ---- */

/* Whose a slot is. */
enum metrics_owner {
    METRICS_NOBODY = 0,
    METRICS_MONOLITH = ROLE_MONOLITH + 1, /* a worker of that pool */
    METRICS_VACANCY = ROLE_VACANCY + 1,
    METRICS_TICKET = ROLE_TICKET + 1,
    METRICS_KEEPER,
    METRICS_READER,
    METRICS_MASTER,
    METRICS_OWNER_COUNT,
};

#define METRICS_OWNER_OF(role) ((enum metrics_owner)((role) + 1))

struct metrics_histogram {
    _Atomic uint64_t sum;                            /* in the unit of the bounds */
    _Atomic uint64_t bucket[METRICS_BOUNDS_MAX + 1]; /* not cumulated */
};

/* The method of a request that is counted; those that no route offers are one. */
enum metrics_method {
    METRICS_METHOD_OTHER = 0,
    METRICS_METHOD_GET,
    METRICS_METHOD_HEAD,
    METRICS_METHOD_POST,
    METRICS_METHOD_OPTIONS,
    METRICS_METHOD_COUNT,
};

/* What answers are counted by. */
struct metrics_request_key {
    uint16_t route;  /* the number of a route (route/route.h), 0: none has taken it */
    uint16_t status; /* below 1000; 0: all that had no room of their own */
    uint8_t method;  /* enum metrics_method */
};

struct metrics_requests {
    _Atomic uint32_t key; /* 0: free; stored before the count, and never changed after that */
    struct metrics_histogram duration; /* TIME */
};

struct metrics_slot {
    alignas(64) _Atomic uint64_t cell[METRICS_CELL_COUNT];
    struct metrics_histogram series[METRICS_SERIES_COUNT];
    _Atomic uint32_t request_count; /* of `requests`, those in use */
    struct metrics_requests requests[METRICS_REQUESTS_MAX];
};

struct metrics_head; /* metrics.c */

/* A process's handle; plain data, inherited over fork.  All zero: counts nothing. */
struct metrics {
    struct metrics_head *head;
    uint32_t worker_slots; /* as many as the scoreboard has; three more follow */
};

/* Maps memory for that many slots of workers, and events.  Master only, before any fork.
 * 0 or -errno. */
int metrics_create(struct metrics *ret_metrics, uint32_t worker_slots, uint32_t events_max);
/* Accepts a zeroed or an already destroyed one. */
void metrics_destroy(struct metrics *metrics);

/* Master, before any fork: whose slots these are; the id of the next event, in the stock's order,
 * and the sequence of its first entry that is to be counted. */
void metrics_own(const struct metrics *metrics, uint32_t first_slot, uint32_t count,
                 enum metrics_owner owner);
void metrics_add_event_id(const struct metrics *metrics, const char *id, uint64_t sequence);

/* Slots of those that are no workers. */
#define METRICS_SLOT_KEEPER(metrics) ((metrics)->worker_slots)
#define METRICS_SLOT_READER(metrics) ((metrics)->worker_slots + 1)
#define METRICS_SLOT_MASTER(metrics) ((metrics)->worker_slots + 2)

/* ---- writing: only its owner, or the master while it has none ---- */

/* What a process counts with: private, made after fork; zeroed it counts nothing. */
struct metrics_recorder {
    struct metrics_slot *slot; /* NULL: counts nothing */
    _Atomic uint64_t *events;  /* this slot's cells of all events */
    uint32_t event_count;
    /* where the slot's requests are, by key (0: free): open addressing */
    struct metrics_place {
        uint32_t key;
        uint32_t index;
    } places[2 * METRICS_REQUESTS_MAX];
};

void metrics_recorder_init(struct metrics_recorder *recorder, const struct metrics *metrics,
                           uint32_t slot);

/* The recorder, or one that counts nothing in place of NULL. */
struct metrics_recorder *metrics_recorder_or_none(struct metrics_recorder *recorder);

static inline void metrics_raise(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* A counter of the process's. */
static inline void metrics_add(struct metrics_recorder *recorder, enum metrics_cell cell,
                               uint64_t n)
{
    if (recorder->slot != NULL)
        metrics_raise(&recorder->slot->cell[cell], n);
}

/* Raises a counter of anybody's slot that only the master counts: starts and deaths. */
void metrics_raise_in(const struct metrics *metrics, uint32_t slot, enum metrics_cell cell);

/* Where that counter is, for who counts without a recorder; NULL: nothing is counted. */
_Atomic uint64_t *metrics_cell_in(const struct metrics *metrics, uint32_t slot,
                                  enum metrics_cell cell);

/* A worker's counter of an event (metrics_event_of). */
static inline void metrics_add_event(struct metrics_recorder *recorder, uint32_t event,
                                     enum metrics_event_cell cell, uint64_t n)
{
    if (event < recorder->event_count)
        metrics_raise(&recorder->events[event * METRICS_EVENT_CELL_COUNT + cell], n);
}

/* The number of an event for metrics_add_event; of one that is not counted UINT32_MAX. */
uint32_t metrics_event_of(const struct metrics *metrics, struct text id);

/* A value of a histogram, in the unit of its bounds. */
void metrics_observe(struct metrics_recorder *recorder, enum metrics_series series, uint64_t value);

/* An answer, and how long it took. */
void metrics_request(struct metrics_recorder *recorder, struct metrics_request_key key,
                     uint64_t duration_ns);

/* ---- the keeper's: what the ledger has ---- */

/* What entries of one event have become, since the master began. */
struct metrics_orders {
    uint64_t sequence; /* all entries before it are counted */
    uint64_t count[METRICS_ORDER_CELL_COUNT];
};

/* The keeper's counts of an event, all of one instant: any process. */
void metrics_orders_read(const struct metrics *metrics, uint32_t event,
                         struct metrics_orders *ret_orders);
/* Replaces them, all at one instant, so that a keeper that is killed leaves the old ones or the new
 * ones.  The keeper only.  Does nothing for an event that is not counted. */
void metrics_orders_write(const struct metrics *metrics, uint32_t event,
                          const struct metrics_orders *orders);

/* ---- reading: any process, at any time ---- */

/* When the master began, in microseconds since 1970, UTC. */
int64_t metrics_began_us(const struct metrics *metrics);

enum metrics_owner metrics_owner_of(const struct metrics *metrics, uint32_t slot);
/* How many slots there are, those of no workers included. */
uint32_t metrics_slot_count(const struct metrics *metrics);

/* Events that are counted, and their ids. */
uint32_t metrics_event_count(const struct metrics *metrics);
const char *metrics_event_id(const struct metrics *metrics, uint32_t event);

/* Sums over the slots of one owner, or of all (METRICS_NOBODY).  Everything here reads nothing, and
 * is 0, where there is no memory. */
uint64_t metrics_sum(const struct metrics *metrics, enum metrics_owner owner,
                     enum metrics_cell cell);
uint64_t metrics_sum_event(const struct metrics *metrics, enum metrics_owner owner, uint32_t event,
                           enum metrics_event_cell cell);

/* Plain numbers of a histogram. */
struct metrics_values {
    uint64_t sum;
    uint64_t bucket[METRICS_BOUNDS_MAX + 1]; /* not cumulated */
};

const struct metrics_bounds *metrics_series_bounds(enum metrics_series series);
void metrics_sum_series(const struct metrics *metrics, enum metrics_series series,
                        struct metrics_values *ret_values);

/* Adds what a histogram has now. */
void metrics_values_add(struct metrics_values *values, const struct metrics_histogram *histogram);
uint64_t metrics_values_count(const struct metrics_values *values);

typedef void metrics_on_requests(void *context, enum metrics_owner owner,
                                 struct metrics_request_key key,
                                 const struct metrics_histogram *duration);

/* Every kind of answer of every slot, one after the other: the same key comes once for each slot
 * that has it. */
void metrics_each_requests(const struct metrics *metrics, metrics_on_requests *on_requests,
                           void *context);

#endif
