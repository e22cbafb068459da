/* What tests put into a ledger: one sale, or two events with each kind of entry. */
#ifndef TICKETD_TESTS_LEDGER_MIXED_H
#define TICKETD_TESTS_LEDGER_MIXED_H

#include "../../crash/cmocka_first.h"
#include "ticketd/ledger.h"

/* One ticket of event 0, with a key of which `sequence` is the first byte. */
static inline struct ledger_entry sale(uint64_t sequence, uint32_t available, int64_t time_us)
{
    return (struct ledger_entry){
        .sequence = sequence,
        .kind = LEDGER_SALE,
        .quantity = 1,
        .available = available,
        .token = UINT64_C(0xfedcba9876543210) ^ sequence,
        .time_us = time_us,
        .key = {.bytes = {(uint8_t)sequence, 1, 2, 3}},
    };
}

static const struct ledger_entry mixed[] = {
    {.sequence = 1,
     .kind = LEDGER_SALE,
     .quantity = 2,
     .available = 98,
     .token = UINT64_MAX,
     .time_us = 1000000,
     .key = {.bytes = {0xab, 0xcd}}},
    {.sequence = 2,
     .kind = LEDGER_DUPLICATE,
     .quantity = 2,
     .available = 96,
     .origin = 1,
     .time_us = 2000000,
     .key = {.bytes = {0xab, 0xcd}}},
    {.event = 1,
     .sequence = 1,
     .kind = LEDGER_SALE,
     .quantity = 5,
     .available = 0,
     .token = 7,
     .time_us = 2500000},
    {.sequence = 3, .kind = LEDGER_VOID, .quantity = 1, .available = 95, .time_us = 3000000},
    {.sequence = 4, .kind = LEDGER_RETURN, .quantity = -2, .available = 97, .time_us = 4000000},
    {.event = 1,
     .sequence = 2,
     .kind = LEDGER_RESTOCK,
     .quantity = -10,
     .available = 10,
     .time_us = 4500000},
    {.sequence = 5,
     .kind = LEDGER_SALE,
     .quantity = 1,
     .available = 96,
     .token = 9,
     .time_us = 5000000,
     .key = {.bytes = {[15] = 1}}},
};

enum {
    MIXED_COUNT = sizeof(mixed) / sizeof(mixed[0]),
};

static inline void fill_mixed(const struct ledger_ops *ops, struct ledger *ledger)
{
    assert_int_equal(ops->create_event(ledger, "default", 100, 500000), 0);
    assert_int_equal(ops->create_event(ledger, "concert", 5, 500000), 0);
    assert_int_equal(ops->append(ledger, mixed, MIXED_COUNT), 0);
}

#endif
