#include "route/route.h"
#include "ticketd/error.h"

/* The last row is for all that has no row of its own. */
static const struct route_failure failures[] = {
    {TICKETD_BUSY, PROBLEM_overloaded,
     "too much is under way; nothing was sold, send the same request again"},
    {TICKETD_UNAVAILABLE, PROBLEM_vacancy_unavailable,
     "the stock cannot be reached; nothing was sold, send the same request again"},
    /* of the default event: the stock is not set up */
    {TICKETD_EVENT_UNKNOWN, PROBLEM_vacancy_unavailable,
     "the stock is not set up; nothing was sold, send the same request again"},
    {TICKETD_TIMED_OUT, PROBLEM_overloaded,
     "it was not done and durable in time; nothing was sold, send the same request again"},
    {TICKETD_LEDGER_FAULT, PROBLEM_ledger_unavailable,
     "sales cannot be written down now; nothing was sold, send the same request again"},
    {TICKETD_KEY_REUSED, PROBLEM_idempotency_key_reused,
     "this Idempotency-Key has sold another quantity; nothing more was sold, use a new key"},
    {TICKETD_KEY_IN_FLIGHT, PROBLEM_idempotency_key_in_flight,
     "another request with this Idempotency-Key is still under way; this one sold nothing, send it "
     "again for the answer"},
    {TICKETD_OUTCOME_UNKNOWN, PROBLEM_outcome_unknown,
     "it is not known yet whether this was sold; send the same request with the same "
     "Idempotency-Key again, which sells at most once and tells"},
    {TICKETD_NOT_FOUND, PROBLEM_order_not_found, "there is no order of this id"},
    {0, PROBLEM_internal_error, "the request could not be carried out"},
};

#define LAST (sizeof(failures) / sizeof(failures[0]) - 1)

const struct route_failure *route_failure_of(int status)
{
    const struct route_failure *failure = failures;

    while (failure != &failures[LAST] && failure->status != status)
        ++failure;
    return failure;
}

void route_count_failure(struct router *router, const struct route_failure *failure)
{
    switch (failure->code) {
#define COUNTED(code)                                                                              \
    case PROBLEM_##code:                                                                           \
        metrics_add(router->metrics, METRICS_refused_##code, 1);                                   \
        break
        COUNTED(overloaded);
        COUNTED(vacancy_unavailable);
        COUNTED(ledger_unavailable);
        COUNTED(outcome_unknown);
        COUNTED(internal_error);
#undef COUNTED
    default: /* the client's */
        break;
    }
}

void route_failed(struct router *router, struct http_exchange *exchange, int status)
{
    const struct route_failure *failure = route_failure_of(status);

    route_count_failure(router, failure);
    http_problem(exchange, failure->code, failure->detail);
}

void route_outcome_unknown(struct router *router, struct http_exchange *exchange, struct text key)
{
    const struct route_failure *failure = route_failure_of(TICKETD_OUTCOME_UNKNOWN);

    route_count_failure(router, failure);
    http_problem_key(exchange, failure->code,
                     "it is not known yet whether this was sold; send the same request again with "
                     "the Idempotency-Key in this answer's headers, which sells at most once and "
                     "tells",
                     key);
}
