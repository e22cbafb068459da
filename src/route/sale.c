#include "service/sale.h"

#include <assert.h>

#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/append.h"

/* Longest answer of a sale. */
#define SALE_BODY_MAX                                                                              \
    (sizeof("{\"success\":false,\"remaining\":,\"message\":\"\",\"order_id\":\"\"}") +             \
     APPEND_U32_MAX + SALE_MESSAGE_MAX + ORDER_ID_LEN)

typedef void sale_starter(struct vacancy_client *client, struct sale_call *call,
                          const struct sale_request *request, sale_on_reply *on_reply);

struct route_sale {
    struct sale_call sale; /* first */
    struct route_wait wait;
    char body[SALE_BODY_MAX];
};

static void count_sale(struct scoreboard_slot *slot, const struct sale_call *sale,
                       const struct sale_reply *reply)
{
    if (reply->replayed) {
        scoreboard_add(&slot->count.replays, 1);
    } else if (reply->success) {
        scoreboard_add(&slot->count.sales, 1);
        scoreboard_add(&slot->count.tickets_sold, sale->quantity);
    } else {
        scoreboard_add(&slot->count.sold_out, 1);
    }
}

static struct text print_reply(char body[SALE_BODY_MAX], const struct sale_reply *reply)
{
    char *end;

    assert(reply->message.len <= SALE_MESSAGE_MAX);
    end = append_text(body, reply->success ? TEXT("{\"success\":true,\"remaining\":")
                                           : TEXT("{\"success\":false,\"remaining\":"));
    end = append_u32(end, reply->remaining);
    end = append_text(end, TEXT(",\"message\":\""));
    end = append_text(end, reply->message);
    if (reply->success) {
        end = append_text(end, TEXT("\",\"order_id\":\""));
        order_id_format(&reply->order, end);
        end += ORDER_ID_LEN;
    }
    end = append_text(end, TEXT("\"}"));
    return (struct text){.base = body, .len = (size_t)(end - body)};
}

static void on_reply(struct sale_call *sale, const struct sale_reply *reply)
{
    struct route_sale *call = (struct route_sale *)sale;

    route_wait_ended(&call->wait);
    if (reply->status != TICKETD_DONE) {
        route_failed(call->wait.router, call->wait.exchange, reply->status);
        return;
    }
    count_sale(call->wait.router->slot, sale, reply);
    http_reply(call->wait.exchange, &(struct http_reply){
                                        .status = 200,
                                        .reason = "OK",
                                        .content_type = TEXT("application/json"),
                                        .body = print_reply(call->body, reply),
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
                                   .request_id = exchange->request_id};
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
