/* The children of a master that owns a stock: the keeper, which writes the ledger, and the reader,
 * which looks orders up in it.  Forked, watched, replaced and stopped as master/single.h says.
 * Master only; no function blocks. */
#ifndef TICKETD_MASTER_LEDGER_CHILDREN_H
#define TICKETD_MASTER_LEDGER_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

#include "master/single.h"
#include "ticketd/stock.h"

struct ledger_children {
    struct stock *stock; /* the owner's; NULL: this master has none, and no such child */
    struct single keeper;
    struct single reader;
    uint64_t keeper_stops_ms; /* when the keeper is told to end at the latest, once the reader is */
    uint64_t ends_ms;         /* when both must have ended */
    void (*in_child)(void *context);
    void *context;
};

/* Starts nothing yet.  Stock and heritage are borrowed; `in_child` lets a child drop what is the
 * master's and the workers'.  A zeroed one never has a child, and is gone. */
void ledger_children_init(struct ledger_children *children, struct stock *stock,
                          const struct heritage *heritage, void (*in_child)(void *context),
                          void *context);

/* As for one of them: see single.h. */
uint64_t ledger_children_tick(struct ledger_children *children, uint64_t now_ms);
/* The reader first, then the keeper: whoever closes the ledger last moves its log into the database
 * and takes the log away, and only the keeper may write.  Call it until both are gone. */
void ledger_children_stop(struct ledger_children *children, uint64_t now_ms, uint64_t most_ms);
void ledger_children_restart(struct ledger_children *children);
void ledger_children_kill(struct ledger_children *children);

/* True when nobody sells without a ledger: it is loaded and written, or there is none. */
bool ledger_children_ready(const struct ledger_children *children);
bool ledger_children_gone(const struct ledger_children *children);
/* One of them dies before it ever serves. */
bool ledger_children_stillborn(const struct ledger_children *children);

#endif
