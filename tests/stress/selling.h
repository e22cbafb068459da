/* Many sellers of one event at once, and a keeper that takes what they sell, with a record of what
 * each was told, so that afterwards the whole history can be replayed; in memory that forked
 * processes share, for threads as well.
 *
 * Every process and thread may call the functions that take a seller's index or look; selling_keep
 * is for one at a time; selling_new, selling_finish, selling_check and selling_free are the test's
 * alone.  Sellers cannot fail a test: they leave the
 * line of the first thing that was wrong in fault_line, and selling_check reports it. */
#ifndef TICKETD_TESTS_STRESS_SELLING_H
#define TICKETD_TESTS_STRESS_SELLING_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mini_keeper.h"
#include "ticketd/stock.h"

#define SELLING_SELLERS_MAX 32
/* Most tickets that one sale takes. */
#define SELLING_QUANTITY_MAX 17
/* Small, so that sellers meet its end and lap it often. */
#define SELLING_RING 512

enum selling_mix {
    SELLING_SINGLES,    /* one ticket each time */
    SELLING_QUANTITIES, /* 1 … SELLING_QUANTITY_MAX */
    SELLING_RETURNS,    /* the same, and for a while all of them come back, some withdrawn */
};

struct selling_options {
    enum selling_mix mix;
    uint32_t sellers;
    uint32_t capacity;
    uint64_t first;       /* the event's first sequence */
    uint32_t churn;       /* that ends when so many entries are made */
    bool churn_till_stop; /* then, or when `stop` is set; and sellers wait for that */
    uint32_t seed;
};

/* One seller's sums of quantities, for observers: each of its calls is counted as begun before it
 * is made, and as done or failed after it; likewise the keeper's returns. */
struct selling_tally {
    alignas(64) _Atomic uint64_t sell_begun;
    _Atomic uint64_t sell_failed;
    _Atomic uint64_t sell_done;
    _Atomic uint64_t back_begun;
    _Atomic uint64_t back_failed;
    _Atomic uint64_t back_done;
    _Atomic int32_t intent; /* what the sale under way takes; 0 for none */
};

/* What is known of one entry. */
struct selling_entry {
    _Atomic uint64_t told;    /* quantity (high half) and what was available after it; 0: nobody was
                                 told */
    _Atomic uint64_t kept;    /* the same, as the keeper took it */
    _Atomic uint8_t kind;     /* as the keeper took it */
    _Atomic bool withdrawing; /* its seller is about to withdraw it */
    _Atomic bool withdrawn;   /* its seller was told that it did */
};

struct selling {
    /* fixed after start */
    struct selling_options options;
    struct stock stock;
    uint32_t event;
    uint32_t entries_max;
    pthread_barrier_t gate; /* for sellers and observer to begin together */

    /* the keeper's */
    struct mini_keeper keeper;

    /* shared */
    _Atomic bool stop;
    _Atomic bool all_sold; /* by all sellers, so that the keeper may end */
    _Atomic int fault_line;
    struct selling_tally tallies[SELLING_SELLERS_MAX + 1]; /* the last one is the keeper's */
    struct selling_entry entries[];                        /* by distance from the first sequence */
};

struct selling *selling_new(const struct selling_options *options);
void selling_free(struct selling *selling);

/* Sells until nothing is left. */
void selling_sell(struct selling *selling, uint32_t seller);

/* Keeps until `all_sold`. */
void selling_keep(struct selling *selling);

/* When nobody else keeps or sells: keeps what is left, and sells what has come back. */
void selling_finish(struct selling *selling, uint32_t seller);

/* Looks once at the stock: what is available must fit what sellers have done, within what they are
 * doing, and never go back behind *last (a zeroed one for the first look). */
struct selling_look {
    bool looked;
    struct stock_view view;
};
void selling_look(struct selling *selling, struct selling_look *last);

/* Tickets that all calls so far have asked to take or to give back, refused ones too: it grows as
 * long as anybody is busy, also when nothing is left to sell. */
uint64_t selling_asked(struct selling *selling);

/* Looks until `stop`. */
void selling_observe(struct selling *selling);

/* Replays the history: every sequence number has one entry, each entry begins where the one before
 * it ended, the keeper took what sellers were told, and everything is sold.  Entries that nobody
 * was told of are allowed for sellers that were killed in a call: `intents` holds what those calls
 * would have taken. */
void selling_check(struct selling *selling, const int32_t *intents, uint32_t intent_count);

#endif
