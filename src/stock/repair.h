/* Places and their repair: who acts on the stock under which number, and what is done about a slot
 * of the journal that a dead child had won and not stamped.  Master only; never blocks.
 *
 *            place_give                 place_reaped              place_repair: DONE
 *   VACANT ──────────────► ALIVE ──────────────────────► REAPED ────────────────────► VACANT
 *
 * A place is given only to a child that is forked next, and its number goes to nobody else before
 * its repair.  All children that have died are reaped (place_reaped) before any is repaired: a
 * killed one that is not yet reaped may still run. */
#ifndef TICKETD_STOCK_REPAIR_H
#define TICKETD_STOCK_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/stock.h"

void place_give(struct stock *stock, uint32_t place);

/* The child has been waited for: it does not run any more. */
void place_reaped(struct stock *stock, uint32_t place);

/* Whether it waits for its repair. */
bool place_is_reaped(const struct stock *stock, uint32_t place);

/* Mends what the dead owner left.  May be cut short anywhere and run again.
 * 0: done, the place is vacant, and the keeper's bell should be rung: the dead one may have stamped
 * and not rung.  TICKETD_BUSY: a living child may own the same slot; come back when it has gone on,
 * which takes it some instructions, or has died. */
int place_repair(struct stock *stock, uint32_t place);

/* The living place whose owner has taken the slot of `sequence` (its low 32 bits) and not stamped
 * it; false when there is none.  For the slot that keeper_stalled (keeper_link.h) names. */
bool place_of_intent(const struct stock *stock, uint32_t event, uint32_t sequence,
                     uint32_t *ret_place);

#endif
