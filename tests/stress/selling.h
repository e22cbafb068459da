/* Many sellers of one event at once, with a journal of what each was told, so that afterwards the
 * whole history can be replayed; in memory that forked processes share, for threads as well.
 *
 * Every process and thread may call the functions that take a seller's index or look; selling_new,
 * selling_check and selling_free are the test's alone.  Sellers cannot fail a test: they leave the
 * line of the first thing that was wrong in fault_line, and selling_check reports it. */
#ifndef TICKETD_TESTS_STRESS_SELLING_H
#define TICKETD_TESTS_STRESS_SELLING_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ticketd/stock.h"

#define SELLING_SELLERS_MAX 32
/* Most tickets that one entry takes or gives back. */
#define SELLING_QUANTITY_MAX 17

enum selling_mix {
    SELLING_SINGLES,    /* one ticket each time */
    SELLING_QUANTITIES, /* 1 … SELLING_QUANTITY_MAX */
    SELLING_RETURNS,    /* the same, and about half of them are given back for a while */
};

struct selling_options {
    enum selling_mix mix;
    uint32_t sellers;
    uint32_t capacity;
    uint32_t first;       /* the event's first sequence */
    uint32_t churn;       /* returns end when so many entries are made */
    bool churn_till_stop; /* then, or when `stop` is set; and sellers wait for that */
    uint32_t seed;
};

/* One seller's sums of quantities, for observers: each of its calls is counted as begun before it
 * is made, and as done or failed after it. */
struct selling_tally {
    alignas(64) _Atomic uint64_t sell_begun;
    _Atomic uint64_t sell_failed;
    _Atomic uint64_t sell_done;
    _Atomic uint64_t back_begun;
    _Atomic uint64_t back_failed;
    _Atomic uint64_t back_done;
    _Atomic int32_t intent; /* what the call under way adds to the stock; 0 for none */
};

struct selling {
    /* fixed after start */
    struct selling_options options;
    struct stock stock;
    uint32_t event;
    uint32_t entries_max;
    pthread_barrier_t gate; /* for sellers and observer to begin together */

    /* shared */
    _Atomic bool stop;
    _Atomic int fault_line;
    struct selling_tally tallies[SELLING_SELLERS_MAX];
    /* by distance from the first sequence: what the entry added (high half, signed) and what was
     * available after it; 0: nobody was told of it */
    _Atomic uint64_t entries[];
};

struct selling *selling_new(const struct selling_options *options);
void selling_free(struct selling *selling);

/* Sells until nothing is left. */
void selling_sell(struct selling *selling, uint32_t seller);

/* Looks once at the stock: what is available must fit what sellers have done, within what they are
 * doing, and never go back behind *last (a zeroed one for the first look). */
struct selling_look {
    bool looked;
    struct stock_entry entry;
};
void selling_look(struct selling *selling, struct selling_look *last);

/* Tickets that all calls so far have asked to take or to give back, refused ones too: it grows as
 * long as anybody is busy, also when nothing is left to sell. */
uint64_t selling_asked(struct selling *selling);

/* Looks until `stop`. */
void selling_observe(struct selling *selling);

/* Replays the history: every sequence number has one entry, each entry begins where the one before
 * it ended, and everything is sold.  Entries that nobody was told of are allowed for sellers that
 * were killed in a call: `intents` holds what those calls would have added. */
void selling_check(struct selling *selling, const int32_t *intents, uint32_t intent_count);

#endif
