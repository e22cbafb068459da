/* One call to the vacancy client on behalf of one request.  A call that completes at once costs
 * nothing extra; one that stays pending is cancelled if the request goes away.  For src/route only.
 *
 *     struct my_call { struct route_wait wait; … };             in the request's memory
 *     route_wait_begin(&call->wait, &answered, router, exchange);
 *     start the vacancy or sale call; its callback first calls route_wait_ended(&call->wait)
 *     route_wait_returned(&answered, &call->wait, cancel, call);
 */
#ifndef TICKETD_ROUTE_WAIT_H
#define TICKETD_ROUTE_WAIT_H

#include "route/route.h"

struct route_wait {
    struct router *router;
    struct http_exchange *exchange;
    bool *ended; /* on the starter's stack while it runs: after the answer the request is gone */
};

static inline void route_wait_begin(struct route_wait *wait, bool *ended, struct router *router,
                                    struct http_exchange *exchange)
{
    *ended = false;
    *wait = (struct route_wait){.router = router, .exchange = exchange, .ended = ended};
}

static inline void route_wait_ended(struct route_wait *wait)
{
    if (wait->ended != NULL)
        *wait->ended = true;
}

/* `wait` is looked at only if the call did not end while it was being started. */
static inline void route_wait_returned(const bool *ended, struct route_wait *wait,
                                       void (*cancel)(void *call), void *call)
{
    if (*ended)
        return;
    wait->ended = NULL;
    http_exchange_park(wait->exchange);
    http_on_gone(wait->exchange, cancel, call);
}

#endif
