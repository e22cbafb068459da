/* The body of a sale, {"qty":N}, read as it passes: it is what nearly every client sends, and a
 * tree of it costs a quarter of all user instructions of a purchase.  Any process; pure. */
#ifndef TICKETD_HTTP_QUANTITY_H
#define TICKETD_HTTP_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/text.h"

/* True when the body is an object of this one member, which is a quantity that may be sold (1 to
 * STOCK_QUANTITY_MAX), with blanks wherever JSON allows them.  False says nothing: the body may
 * still be good, or any kind of bad, and util/json.h tells which. */
bool quantity_scan(struct text body, int64_t *ret_quantity);

#endif
