/* What the services answer, whichever of them a client asked.  The service layer holds the rules
 * of selling; it knows neither HTTP nor JSON nor who keeps the stock.  Workers only. */
#ifndef TICKETD_SERVICE_SALE_H
#define TICKETD_SERVICE_SALE_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/text.h"
#include "ticketd/vacancy_client.h"

/* Longest message of a reply. */
#define SALE_MESSAGE_MAX 47

struct sale_request {
    struct text event;
    int64_t quantity; /* as the client sent it; the rules judge it */
    struct text key;  /* idempotency key, decoded; empty for none */
    bool fresh;       /* see struct vacancy_request */
    struct text request_id;
    struct text traceparent; /* empty for none */
    /* 0 leaves the limit to the client of the stock, which knows SALE_TIMEOUT: so a sale that needs
     * not wait needs no clock either */
    uint64_t deadline_ms;
};

struct sale_reply {
    /* 0: judged, the fields below hold.  Else why not: TICKETD_INVALID (quantity out of bounds), or
     * what a reserve answers (ticketd/vacancy_client.h); nothing was sold, except that nobody knows
     * after TICKETD_OUTCOME_UNKNOWN. */
    int status;
    bool success;  /* false: sold out */
    bool replayed; /* success: the sale of an earlier request with the same key */
    uint32_t remaining;
    struct order_id order; /* success only */
    /* TICKETD_OUTCOME_UNKNOWN: the key to ask again with, if the client sent none; else empty;
     * lives while the callback runs */
    struct text key;
    /* printable ASCII without quotes or backslashes; lives while the callback runs */
    struct text message;
};

struct sale_call;
typedef void sale_on_reply(struct sale_call *call, const struct sale_reply *reply);

/* One sale under way; the caller owns it, makes it idle first (vacancy.pending = NULL), and keeps
 * it in place until on_reply ran or sale_cancel returned.  The rules of vacancy_client.h for
 * completion and cancelling hold. */
struct sale_call {
    struct vacancy_call vacancy;
    sale_on_reply *on_reply;
    uint32_t quantity;
    bool names_quantity; /* which wording the success gets */
};

/* POST /api/v1/reserve: the success message names the quantity. */
void sale_reserve(struct vacancy_client *client, struct sale_call *call,
                  const struct sale_request *request, sale_on_reply *on_reply);

/* POST /api/v1/purchase: the same sale, as the public sees it. */
void sale_purchase(struct vacancy_client *client, struct sale_call *call,
                   const struct sale_request *request, sale_on_reply *on_reply);

/* Ends interest in the answer; accepts a zeroed or an ended call. */
void sale_cancel(struct sale_call *call);

#endif
