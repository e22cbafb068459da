#include "ticketd/stock.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/event_stream.h"
#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"
#include "util/append.h"

#define QTY      "{\"qty\":"
#define QTY_ROOM sizeof(QTY "}") + APPEND_U32_MAX
#define ETAG_MAX (ROUTE_INSTANCE_LEN + APPEND_U64_MAX + 1)
/* How long after a change those who listen hear of it, at most (and what one turn of the loop or a
 * crowd of others adds). */
#define STREAM_INTERVAL_MS 250

struct available_call {
    struct vacancy_call vacancy; /* first */
    struct route_wait wait;
    char body[QTY_ROOM];
    char etag[ETAG_MAX];
};

static size_t print_qty(char *at, uint32_t available)
{
    char *end = append_text(at, TEXT(QTY));

    end = append_u32(end, available);
    end = append_text(end, TEXT("}"));
    return (size_t)(end - at);
}

/* The strong validator of the state: its sequence, in its instance of the stock, as a restart may
 * begin sequences anew.  Empty: the client of the stock knows of neither. */
static struct text print_etag(struct router *router, const struct vacancy_result *result, char *at)
{
    char *end;

    if (result->instance == 0)
        return (struct text){.base = NULL};
    if (router->instance != result->instance) {
        router->instance = result->instance;
        (void)snprintf(router->instance_text, sizeof(router->instance_text), "\"%016" PRIx64 "-",
                       result->instance);
    }
    end = append_text(at, (struct text){.base = router->instance_text, .len = ROUTE_INSTANCE_LEN});
    end = append_u64(end, result->sequence);
    end = append_text(end, TEXT("\""));
    return (struct text){.base = at, .len = (size_t)(end - at)};
}

static void on_available(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct available_call *call = (struct available_call *)vacancy;
    struct router *router = call->wait.router;
    struct http_reply reply = {
        .status = 200,
        .reason = "OK",
        .content_type = TEXT("application/json"),
        .cache_control = {.base = router->cache_control, .len = router->cache_control_len},
    };

    route_wait_ended(&call->wait);
    if (result->status != TICKETD_DONE) {
        route_failed(router, call->wait.exchange, result->status);
        return;
    }
    reply.etag = print_etag(router, result, call->etag);
    if (reply.etag.len > 0 && http_has_entity(call->wait.exchange, reply.etag)) {
        reply.status = 304;
        reply.reason = "Not Modified";
        reply.content_type.len = 0;
    } else {
        reply.body.base = call->body;
        reply.body.len = print_qty(call->body, result->remaining);
    }
    http_reply(call->wait.exchange, &reply);
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

/* ---- the stream ---- */

/* The state that the streams of a worker are told. */
struct available_state {
    struct vacancy_call vacancy; /* first */
    struct router *router;
    bool known;
    uint64_t sequence;
    size_t data_len;
    char data[QTY_ROOM];
};

static void on_looked(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct available_state *state = (struct available_state *)vacancy;

    if (result->status != TICKETD_DONE || (state->known && state->sequence == result->sequence))
        return;
    state->known = true;
    state->sequence = result->sequence;
    state->data_len = print_qty(state->data, result->remaining);
}

/* Of a client of the stock that answers later it is what the last look has found. */
static bool look(void *context, uint64_t *ret_version, struct text *ret_data)
{
    struct available_state *state = context;

    if (state->vacancy.pending == NULL)
        vacancy_available(state->router->vacancy, &state->vacancy,
                          &(struct vacancy_request){.event = TEXT(STOCK_DEFAULT_EVENT)}, on_looked);
    if (!state->known)
        return false;
    *ret_version = state->sequence;
    *ret_data = (struct text){.base = state->data, .len = state->data_len};
    return true;
}

void route_available_open(struct router *router, struct http_server *server)
{
    const struct settings *settings = router->settings;
    struct available_state *state = h2o_mem_alloc(sizeof(*state));

    *state = (struct available_state){.router = router};
    router->available_stream = event_source_new(
        server, &(struct event_source_options){
                    .interval_ms = STREAM_INTERVAL_MS,
                    .heartbeat_ms = (uint32_t)settings->stream_heartbeat_ms,
                    .streams_max = (uint32_t)settings->streams_max,
                    .asks_on_join = true,
                    /* with memory: each start begins its sequences anew */
                    .versions_last = strncmp(settings->ledger_url, "memory:", 7) != 0,
                    .state = look,
                    .context = state,
                });
}

void route_available_stream(struct router *router, struct http_exchange *exchange)
{
    event_source_join(router->available_stream, exchange);
}
