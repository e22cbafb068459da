/* A stock of two events with small rings, for tests that make states by hand; one a case. */
#ifndef TICKETD_TESTS_STOCK_SMALL_STOCK_H
#define TICKETD_TESTS_STOCK_SMALL_STOCK_H

#include "../../crash/cmocka_first.h"

#include "stock/journal.h"
#include "stock/keeper_link.h"
#include "stock/repair.h"
#include "stock/segment.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"
#include "ticketd/stock.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define RING       16
#define PLACES     5
#define PARKED_MAX 2
#define KEYS_MAX   6
#define AVAILABLE  100
/* Three entries before the word's sequence wraps, five laps on in the ledger. */
#define FIRST ((UINT64_C(5) << 32) - 3)

static struct stock stock;
/* Event 0 is in the way, so that an index that is forgotten shows. */
static uint32_t decoy, event;

static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};

static inline int small_set_up(void **state)
{
    const struct stock_options options = {.events_max = 2,
                                          .ring_slots = RING,
                                          .places = PLACES,
                                          .parked_max = PARKED_MAX,
                                          .keys_max = KEYS_MAX};

    (void)state;
    if (stock_create(&stock, &options) != 0 ||
        stock_event_create(&stock,
                           &(struct stock_event){.id = "decoy", .available = 1, .capacity = 1},
                           &decoy) != 0 ||
        stock_event_create(
            &stock,
            &(struct stock_event){
                .id = "e", .available = AVAILABLE, .capacity = AVAILABLE, .sequence = FIRST},
            &event) != 0)
        return -1;
    for (uint32_t place = 0; place < PLACES; ++place)
        place_give(&stock, place);
    return 0;
}

static inline int small_tear_down(void **state)
{
    (void)state;
    stock_destroy(&stock);
    return 0;
}

static inline struct ledger_key key_of(uint8_t number)
{
    return (struct ledger_key){.bytes = {1, [15] = number}};
}

/* Sells under the place; returns the sequence. */
static inline uint64_t must_sell(uint32_t place, uint32_t quantity, uint8_t key)
{
    struct stock_sale sale = {.quantity = quantity, .token = 7, .cookie = 9, .waits = true};
    struct stock_entry entry;

    if (key != 0)
        sale.key = key_of(key);
    assert_int_equal(stock_sell(&stock, place, event, &sale, &entry), TICKETD_DONE);
    return entry.sequence;
}

static inline struct journal_entry must_take(uint64_t sequence)
{
    struct journal_entry entry;

    assert_int_equal(journal_take(&stock, event, sequence, &entry), JOURNAL_TAKEN);
    return entry;
}

#endif
