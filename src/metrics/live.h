/* What happens just now: two looks at what this master's processes count, and the rates and
 * percentiles between them, as a JSON object.  The dashboard and ticketctl top show it, and count
 * nothing themselves.
 *
 *     {"time": 1795653319.123, "interval": 1.0, "service": "…", "version": "…", "role": "monolith",
 *      "uptime": 12,
 *      "ready": true,                                      with a stock, as the next three
 *      "stock": {"available", "capacity", "sold"},
 *      "events": [{"event": "default", "available", "capacity", "sold", "lag",
 *                  "rate": {"sales", "tickets", "sold_out"}}, …],
 *      "keeper": {"state": "running", "lag", "journal_slots", "batch", "sync": {as below}},
 *      "total": {"requests", … }, "rate": {likewise, per second},
 *      "latency": {"sales": {"count", "p50", "p90", "p99", "max"}, "all": {likewise}},
 *      "workers": [{"pool": "monolith", "starting", "serving", "draining", "died"}, …],
 *      "connections": 3, "streams": 1, "parked": 0,
 *      "hop": {"breaker": "closed", "queue", "busy", "idle"}}         of a ticket pool
 *
 * Durations are in seconds; "max" is the upper bound of the highest bucket that was met.  What one
 * look alone cannot tell (interval, rate, latency, batch, sync), and what had nothing to measure,
 * is left out.
 *
 * For a worker, in the loop's thread; nothing blocks or allocates but live_print (util/json.h). */
#ifndef TICKETD_METRICS_LIVE_H
#define TICKETD_METRICS_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/exposition.h"
#include "ticketd/role.h"

/* Most events that are told apart; all are in the sums. */
#define LIVE_EVENTS_MAX 32
/* Longest such object: each event has its row. */
#define LIVE_TEXT_MAX (4096 + LIVE_EVENTS_MAX * 384)

/* What only grows, of this pool or of the stock that it owns; told in all and per second.
 *   sales      with a stock: orders in the ledger; without: sales that buyers were told of
 *   refused    sales and other calls answered with a problem of the server's (503), alone or in a
 *              batch
 *   errors     answers of 5xx but 503
 *   retries    calls of the ticket pool that were sent once more */
#define LIVE_COUNTS(X)                                                                             \
    X(requests, always)                                                                            \
    X(sales, always)                                                                               \
    X(tickets, stock)                                                                              \
    X(sold_out, always)                                                                            \
    X(replays, always)                                                                             \
    X(duplicates, stock)                                                                           \
    X(refused, always)                                                                             \
    X(errors, always)                                                                              \
    X(retries, hop)

struct live_counts {
#define X(name, where) uint64_t name;
    LIVE_COUNTS(X)
#undef X
};

struct live_event {
    char id[METRICS_EVENT_ID_MAX + 1];
    uint64_t capacity, available, lag;
    uint64_t sales, tickets, sold_out; /* likewise since the master began */
};

struct live_pool {
    uint32_t starting, serving, draining;
    uint64_t died; /* since the master began */
};

/* Of a ticket pool: its way to the vacancy pool, summed over its workers. */
struct live_hop {
    uint32_t queue, busy, idle;
    uint32_t closed, half_open, open; /* addresses, by the state of their breaker */
};

/* One look, not quite at one instant.  Plain data. */
struct live_look {
    int64_t time_ms; /* UTC, since 1970 */
    uint64_t at_ns;  /* monotonic */
    int64_t began_us;
    enum role role;
    struct live_counts count;
    struct metrics_values sales, all; /* durations of requests */
    struct live_pool pools[ROLE_TICKET + 1];
    uint32_t connections, streams, parked;
    struct live_hop hop;

    /* of who owns a stock */
    const char *keeper; /* its state; NULL: there is no stock */
    bool ready;         /* sales can become durable */
    uint64_t capacity, available, lag, journal_slots;
    struct metrics_values batch, commit;
    uint32_t event_count; /* of `events`: the first ones */
    bool events_cut;
    struct live_event events[LIVE_EVENTS_MAX];
};

struct live_source {
    const struct metrics_source *metrics;
    enum role role; /* of the pool whose requests are counted */
    /* whether tickets are bought by that route */
    bool (*sells)(const char *path);
};

/* Looks, at shared memory only. */
void live_look(struct live_look *ret_look, const struct live_source *source);

/* The value below which `permille` of the values lie, in the unit of the bounds: by linear
 * interpolation within a bucket, as Prometheus's histogram_quantile does (promql/quantile.go,
 * bucketQuantile): the lowest bucket begins at 0, and what lies above the last bound counts as
 * lying at it.  false: there are no values. */
bool live_quantile(const struct metrics_values *values, const struct metrics_bounds *bounds,
                   unsigned permille, uint64_t *ret_value);

/* Prints what happens: with NULL for `before` only what one look can tell.  The length of the text,
 * or -errno as json_print. */
int live_print(char text[LIVE_TEXT_MAX], const struct live_look *now,
               const struct live_look *before, const char *service_name);

#endif
