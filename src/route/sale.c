#include "service/sale.h"

#include <assert.h>

#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/append.h"

/* Longest answer of a sale. */
#define SALE_BODY_MAX                                                                              \
    (sizeof("{\"success\":false,\"remaining\":,\"message\":\"\"}") + APPEND_U32_MAX +              \
     SALE_MESSAGE_MAX)

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
    char *end;

    route_wait_ended(&call->wait);
    if (reply->status != TICKETD_DONE) {
        route_failed(call->wait.router, call->wait.exchange, reply->status);
        return;
    }
    count_sale(call->wait.router->slot, sale, reply->success);
    assert(reply->message.len <= SALE_MESSAGE_MAX);
    end = append_text(call->body, reply->success ? TEXT("{\"success\":true,\"remaining\":")
                                                 : TEXT("{\"success\":false,\"remaining\":"));
    end = append_u32(end, reply->remaining);
    end = append_text(end, TEXT(",\"message\":\""));
    end = append_text(end, reply->message);
    end = append_text(end, TEXT("\"}"));
    http_reply_json(call->wait.exchange,
                    (struct text){.base = call->body, .len = (size_t)(end - call->body)});
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
