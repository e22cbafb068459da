/* Plays the keeper over one event of a stock, without a ledger: it takes what is stamped, checks
 * that each entry begins where the one before it ended, returns what voids and duplicates
 * have taken, and publishes.  For tests that sell more than the ring holds.  Whoever has it is the
 * keeper: one process or thread at a time. */
#ifndef TICKETD_TESTS_STRESS_MINI_KEEPER_H
#define TICKETD_TESTS_STRESS_MINI_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "stock/journal.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"
#include "ticketd/stock.h"

struct mini_keeper {
    struct stock *stock;
    uint32_t event;
    uint32_t available; /* after the entries before `next` */
    uint64_t next;
    uint64_t hold;     /* nothing is returned before it has taken everything up to here */
    uint64_t capacity; /* never changes: it knows no restocks */
    uint64_t owed;
    bool wrong; /* an entry did not follow from the one before */

    /* optional: which sales are to be duplicates */
    bool (*is_duplicate)(const struct journal_entry *entry);
    /* optional: looks at each entry, whose kind is decided */
    void (*on_entry)(void *context, uint64_t sequence, const struct journal_entry *entry);
    /* optional: a return is about to be made, and has been made or refused */
    void (*on_return)(void *context, uint32_t quantity, bool begins, bool done);
    void *context;
};

static inline void mini_keeper_init(struct mini_keeper *keeper, struct stock *stock, uint32_t event)
{
    struct stock_view view = stock_view(stock, event);

    *keeper = (struct mini_keeper){
        .stock = stock,
        .event = event,
        .available = view.published_available,
        .next = view.published_sequence,
        .hold = view.published_sequence,
        .capacity = view.capacity,
    };
}

static inline void mini_keeper_give_back(struct mini_keeper *keeper)
{
    static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};
    uint32_t quantity = (uint32_t)keeper->owed;
    uint64_t sequence;
    bool done;

    if (keeper->owed == 0 || keeper->next < keeper->hold)
        return;
    if (keeper->on_return != NULL)
        keeper->on_return(keeper->context, quantity, true, false);
    done = journal_give(keeper->stock, keeper->event, LEDGER_RETURN, quantity, 0, &nobody,
                        &sequence) == TICKETD_DONE;
    if (done)
        keeper->hold = sequence + 1;
    if (keeper->on_return != NULL)
        keeper->on_return(keeper->context, quantity, false, done);
}

static inline void mini_keeper_settle(struct mini_keeper *keeper, struct journal_entry *entry)
{
    if (entry->withdrawn)
        entry->kind = LEDGER_VOID;
    if (entry->kind == LEDGER_SALE && keeper->is_duplicate != NULL && keeper->is_duplicate(entry))
        entry->kind = LEDGER_DUPLICATE;
    if (entry->before != keeper->available)
        keeper->wrong = true;
    if (entry->kind == LEDGER_VOID || entry->kind == LEDGER_DUPLICATE)
        keeper->owed += (uint32_t)entry->quantity;
    if (entry->kind == LEDGER_RETURN)
        keeper->owed -= (uint32_t)-entry->quantity;
    if (keeper->on_entry != NULL)
        keeper->on_entry(keeper->context, keeper->next, entry);
    keeper->available = (uint32_t)((int64_t)entry->before - entry->quantity);
    ++keeper->next;
}

/* Takes all that is stamped, and publishes it.  How many entries it took. */
static inline uint32_t mini_keeper_turn(struct mini_keeper *keeper)
{
    struct journal_entry entry;
    uint32_t count = 0;

    mini_keeper_give_back(keeper);
    while (journal_take(keeper->stock, keeper->event, keeper->next, &entry) == JOURNAL_TAKEN) {
        mini_keeper_settle(keeper, &entry);
        ++count;
    }
    if (count > 0)
        journal_publish(keeper->stock, keeper->event, keeper->next, keeper->available,
                        keeper->capacity);
    return count;
}

#endif
