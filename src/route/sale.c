#include "service/sale.h"

#include "route/route.h"
#include "route/sale_text.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"

typedef void sale_starter(struct vacancy_client *client, struct sale_call *call,
                          const struct sale_request *request, sale_on_reply *on_reply);

struct route_sale {
    struct sale_call sale; /* first */
    struct route_wait wait;
    char body[SALE_TEXT_MAX];
};

static void on_reply(struct sale_call *sale, const struct sale_reply *reply)
{
    struct route_sale *call = (struct route_sale *)sale;
    const char *end;

    route_wait_ended(&call->wait);
    if (reply->status == TICKETD_OUTCOME_UNKNOWN && reply->key.len > 0) {
        route_outcome_unknown(call->wait.router, call->wait.exchange, reply->key);
        return;
    }
    if (reply->status != TICKETD_DONE) {
        route_failed(call->wait.router, call->wait.exchange, reply->status);
        return;
    }
    sale_count(call->wait.router, reply);
    end = sale_print(call->body, reply, false);
    http_reply(call->wait.exchange,
               &(struct http_reply){
                   .status = 200,
                   .reason = "OK",
                   .content_type = TEXT("application/json"),
                   .body = {.base = call->body, .len = (size_t)(end - call->body)},
                   .replayed = reply->replayed,
               });
}

static void cancel(void *call)
{
    sale_cancel(&((struct route_sale *)call)->sale);
}

static void sell(struct router *router, struct http_exchange *exchange, sale_starter *starter)
{
    struct sale_request request = {.event = TEXT(STOCK_DEFAULT_EVENT),
                                   .request_id = exchange->request_id,
                                   .traceparent = exchange->traceparent};
    char key[IDEMPOTENCY_KEY_MAX]; /* a client of the stock that needs it for longer copies it */
    struct route_sale *call;
    bool ended;

    if (!http_read_idempotency_key(exchange, key, &request.key) ||
        !http_read_quantity(exchange, &request.quantity))
        return;
    call = http_alloc(exchange, sizeof(*call));
    call->sale.vacancy.pending = NULL;
    route_wait_begin(&call->wait, &ended, router, exchange);
    starter(router->vacancy, &call->sale, &request, on_reply);
    route_wait_returned(&ended, &call->wait, cancel, call);
}

void route_reserve(struct router *router, struct http_exchange *exchange)
{
    sell(router, exchange, sale_reserve);
}

void route_purchase(struct router *router, struct http_exchange *exchange)
{
    sell(router, exchange, sale_purchase);
}
