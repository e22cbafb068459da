#include "service/sale.h"

#include <inttypes.h>
#include <stdio.h>

#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"

/* Longest answer of a sale; its message is one of the service layer's few. */
#define SALE_BODY_MAX 160

typedef void sale_starter(struct vacancy_client *client, struct sale_call *call,
                          const struct sale_request *request, sale_on_reply *on_reply);

struct route_sale {
    struct sale_call sale; /* first */
    struct route_wait wait;
    char body[SALE_BODY_MAX];
};

static void count_sale(struct scoreboard_slot *slot, const struct sale_call *sale, bool success)
{
    if (success) {
        scoreboard_add(&slot->count.sales, 1);
        scoreboard_add(&slot->count.tickets_sold, sale->quantity);
    } else {
        scoreboard_add(&slot->count.sold_out, 1);
    }
}

static void on_reply(struct sale_call *sale, const struct sale_reply *reply)
{
    struct route_sale *call = (struct route_sale *)sale;
    int len;

    route_wait_ended(&call->wait);
    if (reply->status != TICKETD_DONE) {
        route_failed(call->wait.router, call->wait.exchange, reply->status);
        return;
    }
    count_sale(call->wait.router->slot, sale, reply->success);
    len = snprintf(call->body, sizeof(call->body),
                   "{\"success\":%s,\"remaining\":%" PRIu32 ",\"message\":\"%.*s\"}",
                   reply->success ? "true" : "false", reply->remaining, (int)reply->message.len,
                   reply->message.base);
    http_reply_json(call->wait.exchange, (struct text){.base = call->body, .len = (size_t)len});
}

static void cancel(void *call)
{
    sale_cancel(&((struct route_sale *)call)->sale);
}

static void sell(struct router *router, struct http_exchange *exchange, sale_starter *starter)
{
    struct sale_request request = {.event = TEXT(STOCK_DEFAULT_EVENT),
                                   .request_id = exchange->request_id};
    struct route_sale *call;
    bool ended;

    if (!http_read_quantity(exchange, &request.quantity))
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
