#include "ticketd/order_id.h"

#include <stdio.h>

#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/time_text.h"

#define ORDER_BODY_MAX (256 + STOCK_EVENT_ID_MAX)

struct order_call {
    struct vacancy_call vacancy; /* first */
    struct route_wait wait;
};

static struct json_value *describe(const struct vacancy_result *result)
{
    struct json_value *document = json_object_new();
    char id[ORDER_ID_LEN + 1], event[STOCK_EVENT_ID_MAX + 1], created_at[TIME_TEXT_SIZE];

    order_id_format(&result->order, id);
    (void)snprintf(event, sizeof(event), "%.*s", (int)result->event.len, result->event.base);
    time_text_format(result->time_us, created_at);
    json_add_string(document, "order_id", id);
    json_add_string(document, "event", event);
    json_add_integer(document, "qty", result->quantity);
    json_add_string(document, "status", "confirmed");
    json_add_string(document, "created_at", created_at);
    return document;
}

static void on_order(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct order_call *call = (struct order_call *)vacancy;

    route_wait_ended(&call->wait);
    if (result->status != TICKETD_DONE)
        route_failed(call->wait.router, call->wait.exchange, result->status);
    else
        route_send_document(call->wait.exchange, describe(result), ORDER_BODY_MAX, 200);
}

static void cancel(void *call)
{
    vacancy_cancel(&((struct order_call *)call)->vacancy);
}

void route_order(struct router *router, struct http_exchange *exchange)
{
    struct vacancy_request request = {.request_id = exchange->request_id};
    struct text id = http_path_parameter(exchange);
    struct order_call *call;
    bool ended;

    if (order_id_parse(id.base, id.len, &request.order) != TICKETD_DONE) {
        route_failed(router, exchange, TICKETD_NOT_FOUND);
        return;
    }
    call = http_alloc(exchange, sizeof(*call));
    call->vacancy.pending = NULL;
    route_wait_begin(&call->wait, &ended, router, exchange);
    vacancy_order(router->vacancy, &call->vacancy, &request, on_order);
    route_wait_returned(&ended, &call->wait, cancel, call);
}
