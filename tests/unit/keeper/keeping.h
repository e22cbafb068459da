/* A keeper over a stock and a ledger of its own, whose turns the test takes itself. */
#ifndef TICKETD_TESTS_KEEPER_KEEPING_H
#define TICKETD_TESTS_KEEPER_KEEPING_H

#include <stdlib.h>
#include <unistd.h>

#include "../../crash/cmocka_first.h"

#include "../../crash/scratch.h"
#include "keeper/keeper.h"
#include "stock/keeper_link.h"
#include "ticketd/ledger.h"
#include "ticketd/stock.h"

struct keeping {
    struct scratch scratch;
    struct stock *stock;
    const struct ledger_ops *ops; /* may be replaced by a wrapper before keeping_open */
    int hold;
    struct keeper *keeper;
    const struct metrics *metrics; /* may be set before keeping_open */
    bool is_open;
};

/* Makes a ledger that has the events of the stock, each with what it has now as its first entry: so
 * the stock's events begin with sequence 1. */
static inline void keeping_make(struct keeping *keeping, struct stock *stock,
                                const struct ledger_ops *store)
{
    struct ledger *ledger = NULL;
    char error[512] = "";

    *keeping = (struct keeping){.stock = stock, .ops = store};
    scratch_make(&keeping->scratch);
    keeping->keeper = malloc(sizeof(*keeping->keeper));
    assert_non_null(keeping->keeper);
    assert_int_equal(store->lock(&keeping->hold, keeping->scratch.ledger, 0, error, sizeof(error)),
                     0);
    assert_int_equal(
        store->open(&ledger, keeping->scratch.ledger, keeping->hold, error, sizeof(error)), 0);
    for (uint32_t i = 0; i < stock_event_count(stock); ++i) {
        struct stock_view view = stock_view(stock, i);
        assert_int_equal(view.sequence, 1);
        assert_int_equal(store->create_event(ledger, view.id, view.available, 1), 0);
    }
    store->close(ledger);
}

static inline int keeping_try_open(struct keeping *keeping)
{
    const struct keeper_options options = {
        .stock = keeping->stock,
        .ops = keeping->ops,
        .location = keeping->scratch.ledger,
        .hold_fd = keeping->hold,
        .ttl_s = 3600,
        .reader_bell = -1,
        .metrics = keeping->metrics,
    };
    char error[512] = "";
    int result = keeper_open(keeping->keeper, &options, error, sizeof(error));

    keeping->is_open = result == 0;
    return result;
}

static inline void keeping_open(struct keeping *keeping)
{
    assert_int_equal(keeping_try_open(keeping), 0);
    keeper_set_state(keeping->stock, KEEPER_RUNNING);
}

/* The keeper dies where it is; the next keeping_open is its successor. */
static inline void keeping_kill(struct keeping *keeping)
{
    if (keeping->is_open)
        keeper_close(keeping->keeper);
    keeping->is_open = false;
}

/* Takes turns until there is nothing more to do, or nothing can be done; says which. */
static inline int keeping_work(struct keeping *keeping)
{
    struct keeper_stall stall;
    int result;

    do
        result = keeper_turn(keeping->keeper, &stall);
    while (result == KEEPER_TURN_DONE);
    return result;
}

static inline void keeping_end(struct keeping *keeping)
{
    keeping_kill(keeping);
    free(keeping->keeper);
    if (keeping->hold >= 0)
        (void)close(keeping->hold);
    scratch_remove(&keeping->scratch);
}

#endif
