#include "ticketd/stock.h"
#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "util/append.h"

struct available_call {
    struct vacancy_call vacancy; /* first */
    struct route_wait wait;
    char body[sizeof("{\"qty\":4294967295}")];
};

static void on_available(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct available_call *call = (struct available_call *)vacancy;
    struct router *router = call->wait.router;
    char *end;

    route_wait_ended(&call->wait);
    if (result->status != TICKETD_DONE) {
        route_failed(router, call->wait.exchange, result->status);
        return;
    }
    end = append_text(call->body, TEXT("{\"qty\":"));
    end = append_u32(end, result->remaining);
    end = append_text(end, TEXT("}"));
    http_reply(
        call->wait.exchange,
        &(struct http_reply){
            .status = 200,
            .reason = "OK",
            .content_type = TEXT("application/json"),
            .body = {.base = call->body, .len = (size_t)(end - call->body)},
            .cache_control = {.base = router->cache_control, .len = strlen(router->cache_control)},
        });
}

static void cancel(void *call)
{
    vacancy_cancel(&((struct available_call *)call)->vacancy);
}

void route_available(struct router *router, struct http_exchange *exchange)
{
    struct available_call *call = http_alloc(exchange, sizeof(*call));
    bool ended;

    call->vacancy.pending = NULL;
    route_wait_begin(&call->wait, &ended, router, exchange);
    vacancy_available(router->vacancy, &call->vacancy,
                      &(struct vacancy_request){.event = TEXT(STOCK_DEFAULT_EVENT),
                                                .request_id = exchange->request_id},
                      on_available);
    route_wait_returned(&ended, &call->wait, cancel, call);
}
