/* A process that sells one ticket after the other out of the stock, as a worker does without HTTP:
 * a token from the kernel's generator, stock_sell, and after each turn a look whether the keeper
 * must be rung.  Where sales wait for the ledger it parks as many as a worker may, and takes their
 * outcomes.  Called by the one process whose place it is. */
#ifndef TICKETD_TESTS_BENCH_CORE_SELLER_H
#define TICKETD_TESTS_BENCH_CORE_SELLER_H

#include "core_stage.h"
#include "util/token.h"

struct seller_options {
    uint32_t index;       /* of the seller: its place and its tally */
    uint32_t first_event; /* it sells of this one */
    uint32_t event_mask;  /* … plus a random number of these bits */
    bool keyed;           /* each sale has a key of its own */
    bool waits;           /* for the outcome, as with a ledger on disk or with a key */
};

struct seller {
    struct stage *stage;
    struct seller_options options;
    struct stage_tally *tally;
    struct token_source tokens;
    uint64_t random;
    uint32_t parked;     /* sales whose outcome has not come */
    uint32_t full_event; /* whose journal had no room for the last sale */
};

void seller_init(struct seller *seller, struct stage *stage, const struct seller_options *options);

/* Sells at most so many tickets, one each; how many: fewer when the journal is full, the seller
 * may park no more, or there may be no more keys, which it tells by `full`. */
uint32_t seller_sell(struct seller *seller, uint32_t most);

/* For stage_start: sells until STAGE_OVER.  `context` is its struct seller_options. */
int seller_run(struct stage *stage, void *context);

#endif
