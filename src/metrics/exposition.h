/* /metrics: all families of the table as Prometheus reads them (text format 0.0.4), summed over the
 * processes of this master.  In a worker; reads shared memory and never blocks.
 *
 * The labels' values are ours, an event's id included, and never a client's; so the number of lines
 * is bounded by routes, methods, statuses and events. */
#ifndef TICKETD_METRICS_EXPOSITION_H
#define TICKETD_METRICS_EXPOSITION_H

#include "metrics/metrics.h"
#include "scoreboard/scoreboard.h"
#include "ticketd/text.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Different kinds of answers (method, route, status, pool) that one exposition tells apart; those
 * beyond are left out. */
#define METRICS_KINDS_MAX 1024

/* What of an event only the stock knows. */
struct metrics_stock_event {
    uint64_t available;
    uint64_t capacity;
    uint64_t lag; /* entries that are not in the ledger yet */
};

/* absent: no process, as in a ticket pool's tree or while one is being restarted; fault: the ledger
 * cannot be written, so nothing is sold */
#define METRICS_KEEPER_STATES(X) X(absent) X(loading) X(running) X(fault)

enum metrics_keeper_state {
#define X(name) METRICS_KEEPER_##name,
    METRICS_KEEPER_STATES(X)
#undef X
        METRICS_KEEPER_STATE_COUNT
};

/* As people and programs read it: "absent" for METRICS_KEEPER_absent.  Static storage. */
const char *metrics_keeper_word(enum metrics_keeper_state state);

/* What only the stock knows of keeper and ledger. */
struct metrics_ledger {
    bool ready;
    enum metrics_keeper_state state;
    uint64_t journal_slots;
    uint64_t keys_of_clients;
    uint64_t keys_transient;
    uint64_t keys_max; /* of each */
};

/* Where everything is read. */
struct metrics_source {
    const struct metrics *metrics;
    const struct scoreboard *scoreboard;
    /* The path of a route's number; "" for 0 and for one that there is not. */
    const char *(*route)(uint32_t route);
    /* what settings allow: of a pool, of a worker with stock, of a ticket worker */
    uint64_t connections_max;
    uint64_t parked_max;
    uint64_t client_queue_max;
    void *context; /* handed to the next two, which are NULL where there is no stock */
    void (*ledger)(void *context, struct metrics_ledger *ret_ledger);
    void (*event)(void *context, uint32_t event, struct metrics_stock_event *ret_event);
};

/* The text, in memory that `alloc` gives and never gets back: twice, and as much as all of it may
 * take, of which what is not used is not touched. */
struct text metrics_exposition(const struct metrics_source *source,
                               void *(*alloc)(void *context, size_t size), void *context);

#endif
