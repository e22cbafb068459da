/* The journal of each event as the keeper uses it: it takes entries out in order, puts its own in,
 * and publishes what is in the ledger.  The keeper's process only, but for the seller's half in
 * ticketd/stock.h.  Never blocks. */
#ifndef TICKETD_STOCK_JOURNAL_H
#define TICKETD_STOCK_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/key.h"
#include "ticketd/stock.h"

enum journal_answer {
    JOURNAL_TAKEN = 0,
    JOURNAL_END = 1, /* there is no entry of that sequence yet */
    JOURNAL_STALLED, /* its seller has taken the slot and not filled it yet */
};

/* Who waits for an entry's outcome. */
struct journal_waiter {
    uint32_t place;
    uint32_t generation; /* of the place; another one has nobody waiting */
    uint32_t cookie;
};

struct journal_entry {
    struct ledger_key key;
    uint64_t token;
    int32_t quantity;
    uint32_t before; /* available before it */
    uint8_t kind;    /* enum ledger_kind */
    bool withdrawn;  /* by its seller: to be recorded as void */
    struct journal_waiter waiter;
};

/* Takes the entry: from now on its seller cannot withdraw it.  May be repeated. */
int journal_take(struct stock *stock, uint32_t event, uint64_t sequence,
                 struct journal_entry *ret_entry);

/* Whether there is a stamped entry of that sequence, to be taken. */
bool journal_has_entry(const struct stock *stock, uint32_t event, uint64_t sequence);

/* Reads an entry again that was taken before; it must not have been published. */
void journal_read(const struct stock *stock, uint32_t event, uint64_t sequence,
                  struct journal_entry *ret_entry);

/* The next sequence of the event's word. */
uint64_t journal_end(const struct stock *stock, uint32_t event);

/* Gives `quantity` tickets under the keeper's place, as an entry of `kind` (LEDGER_RETURN or
 * LEDGER_RESTOCK).
 * 0: done, *ret_sequence is the entry's.  TICKETD_BUSY: the ring is full, or STOCK_SWAP_TRIES_MAX.
 * TICKETD_INVALID: more than STOCK_QUANTITY_MAX would be available. */
int journal_give(struct stock *stock, uint32_t event, uint8_t kind, uint32_t quantity,
                 uint64_t token, const struct journal_waiter *waiter, uint64_t *ret_sequence);

/* Everything before `sequence` is in the ledger, where `available` tickets were left. */
void journal_publish(struct stock *stock, uint32_t event, uint64_t sequence, uint32_t available,
                     uint64_t capacity);

#endif
