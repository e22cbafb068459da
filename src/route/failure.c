#include "route/route.h"
#include "ticketd/error.h"

void route_failed(struct router *router, struct http_exchange *exchange, int status)
{
    scoreboard_add(&router->slot->count.refused, 1);
    switch (status) {
    case TICKETD_BUSY:
        http_problem(exchange, PROBLEM_overloaded,
                     "too much is under way; nothing was sold, send the same request again");
        break;
    case TICKETD_UNAVAILABLE:
    case TICKETD_TIMED_OUT:
    case TICKETD_EVENT_UNKNOWN: /* of the default event: the stock is not set up */
        http_problem(exchange, PROBLEM_vacancy_unavailable,
                     "the stock cannot be reached; nothing was sold, send the same request again");
        break;
    default:
        http_problem(exchange, PROBLEM_internal_error, "the request could not be carried out");
        break;
    }
}
