#include "ticketd/order_id.h"

#include <stdio.h>
#include <time.h>

#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"

#define ORDER_BODY_MAX (256 + STOCK_EVENT_ID_MAX)
/* "1970-01-01T00:00:00.000000Z", with room for years of more digits */
#define TIME_TEXT_MAX 64
#define US_PER_S      1000000

struct order_call {
    struct vacancy_call vacancy; /* first */
    struct route_wait wait;
};

/* RFC 3339, in UTC. */
static void print_time(int64_t time_us, char ret_text[TIME_TEXT_MAX])
{
    time_t seconds = (time_t)(time_us / US_PER_S);
    struct tm utc = {.tm_mday = 1};
    size_t len;

    (void)gmtime_r(&seconds, &utc); /* can fail only for years beyond what an int holds */
    len = strftime(ret_text, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(ret_text + len, TIME_TEXT_MAX - len, ".%06dZ", (int)(time_us % US_PER_S));
}

static struct json_value *describe(const struct vacancy_result *result)
{
    struct json_value *document = json_object_new();
    char id[ORDER_ID_LEN + 1], event[STOCK_EVENT_ID_MAX + 1], time_text[TIME_TEXT_MAX];

    order_id_format(&result->order, id);
    (void)snprintf(event, sizeof(event), "%.*s", (int)result->event.len, result->event.base);
    print_time(result->time_us, time_text);
    json_add_string(document, "order_id", id);
    json_add_string(document, "event", event);
    json_add_integer(document, "qty", result->quantity);
    json_add_string(document, "status", "confirmed");
    json_add_string(document, "created_at", time_text);
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
