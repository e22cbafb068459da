/* What a master that owns a stock has: the right to the ledger, and the segment made from it.
 * Master only, before any fork; blocks on the disk. */
#ifndef TICKETD_MASTER_STOCK_OWNER_H
#define TICKETD_MASTER_STOCK_OWNER_H

#include "config/settings.h"
#include "ledger/ledger_url.h"
#include "ticketd/stock.h"

/* How long a start waits for an old tree to let go of the ledger. */
#define STOCK_OWNER_WAIT_MS 5000

struct stock_owner {
    struct ledger_place place;
    int hold; /* the right to the ledger; -1: none */
    struct stock stock;
    uint64_t keys; /* of clients, brought back from the ledger */
};

/* Whether LEDGER_URL names a ledger; opens nothing.  0, or TICKETD_INVALID or -errno with one line
 * in `error`. */
int stock_owner_judge(const struct settings *settings, struct ledger_place *ret_place,
                      char error[SETTINGS_ERROR_MAX]);

/* Takes the right to the ledger and brings stock and keys back from it; a new ledger gets the event
 * "default" with INITIAL_STOCK.  `slots`: how many workers may live at a time.
 * 0; TICKETD_INVALID: a setting does not fit the ledger; another positive answer or -errno: the
 * ledger cannot be had.  On all but 0 `error` has one line, and the ledger is as it was. */
int stock_owner_open(struct stock_owner *owner, const struct settings *settings, uint32_t slots,
                     char error[SETTINGS_ERROR_MAX]);

/* Accepts a zeroed one that was never opened, and one that failed to open. */
void stock_owner_close(struct stock_owner *owner);

#endif
