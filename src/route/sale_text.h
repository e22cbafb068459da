/* What a sale's answer is in JSON, and as what it counts: the same wherever a sale is answered. For
 * src/route only. */
#ifndef TICKETD_ROUTE_SALE_TEXT_H
#define TICKETD_ROUTE_SALE_TEXT_H

#include "route/route.h"
#include "service/sale.h"
#include "util/append.h"

/* Longest such text. */
#define SALE_TEXT_MAX                                                                              \
    (sizeof("{\"success\":false,\"remaining\":,\"message\":\"\",\"order_id\":\"\",\"replayed\":"   \
            "true}") +                                                                             \
     APPEND_U32_MAX + SALE_MESSAGE_MAX + ORDER_ID_LEN)

/* Writes the answer of a sale that was judged (status 0) into SALE_TEXT_MAX bytes; the new end.
 * `tells_replay`: in the text, because the answer has no headers of its own. */
char *sale_print(char *at, const struct sale_reply *reply, bool tells_replay);

/* Counts a sale that was judged. */
void sale_count(const struct router *router, const struct sale_reply *reply);

#endif
