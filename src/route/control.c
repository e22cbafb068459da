#include "route/control.h"

#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"

#define STATUS_BODY_MAX 1024
#define ROOT_BODY_MAX   2048
/* Longest row of the listing of events, and what is around the rows. */
#define EVENT_ROW_MAX  384
#define EVENTS_AROUND  64
#define RESTOCK_ROOM   (128 + STOCK_EVENT_ID_MAX)
#define RELOAD_ROOM    64
#define UNKNOWN_EVENT  "there is no event of this id"
#define ADD_DETAIL     "add must be a whole number from 1 to 2147483647"
#define TOO_MANY       "an event may have at most 2147483647 tickets available; none were added"
#define RESTOCK_FAILED "no tickets were added; send the same request again"
#define RESTOCK_UNKNOWN                                                                            \
    "it is not known yet whether the tickets were added; look at the stock before asking again"

/* false after saying that this worker has nothing to tell. */
static bool has_source(struct router *router, struct http_exchange *exchange)
{
    if (router->control == NULL)
        route_failed(router, exchange, TICKETD_UNAVAILABLE);
    return router->control != NULL;
}

void route_control_root(struct router *router, struct http_exchange *exchange)
{
    struct json_value *document = json_object_new();

    route_add_endpoints(router, document, route_control_table);
    route_send_document(exchange, document, ROOT_BODY_MAX, 200);
}

void route_control_status(struct router *router, struct http_exchange *exchange)
{
    struct json_value *document, *part;
    struct control_status status;

    if (!has_source(router, exchange))
        return;
    router->control->status(router->control->context, &status);
    document = json_object_new();
    json_add_string(document, "version", TICKETD_VERSION);
    json_add_string(document, "role", role_name(router->role));
    json_add_string(document, "service", router->settings->service_name);
    json_add_integer(document, "master_pid", status.master_pid);
    part = json_add_object(document, "reload");
    json_add_integer(part, "asked", (int64_t)status.reloads_asked);
    json_add_integer(part, "done", (int64_t)status.reloads_done);
    json_add_integer(part, "refused", (int64_t)status.reloads_refused);
    part = json_add_object(document, "keeper");
    json_add_string(part, "state", metrics_keeper_word(status.keeper));
    json_add_integer(part, "lag", (int64_t)status.keeper_lag);
    route_send_document(exchange, document, STATUS_BODY_MAX, 200);
}

static void add_event(struct json_value *events, const struct control_event *event)
{
    struct json_value *row = json_append_object(events), *published;

    json_add_string(row, "event", event->id);
    json_add_integer(row, "capacity", (int64_t)event->capacity);
    json_add_integer(row, "available", (int64_t)event->available);
    json_add_integer(row, "sequence", (int64_t)event->sequence);
    published = json_add_object(row, "published");
    json_add_integer(published, "sequence", (int64_t)event->published_sequence);
    json_add_integer(published, "available", (int64_t)event->published_available);
}

void route_control_stock(struct router *router, struct http_exchange *exchange)
{
    const struct control_source *source = router->control;
    struct json_value *document, *events;
    struct control_event event;
    uint32_t count = 0;

    if (!has_source(router, exchange))
        return;
    document = json_object_new();
    events = json_add_array(document, "events");
    while (count < CONTROL_EVENTS_MAX &&
           source->event(source->context, count, &event) == TICKETD_DONE) {
        add_event(events, &event);
        ++count;
    }
    if (count == CONTROL_EVENTS_MAX && source->event(source->context, count, &event) == 0)
        json_add_bool(document, "cut", true);
    route_send_document(exchange, document, EVENTS_AROUND + (size_t)count * EVENT_ROW_MAX, 200);
}

struct restock_call {
    struct vacancy_call vacancy; /* first */
    struct route_wait wait;
    char event[STOCK_EVENT_ID_MAX + 1];
};

static void on_restock(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct restock_call *call = (struct restock_call *)vacancy;
    struct http_exchange *exchange = call->wait.exchange;
    struct json_value *document;

    route_wait_ended(&call->wait);
    switch (result->status) {
    case TICKETD_DONE:
        document = json_object_new();
        json_add_string(document, "event", call->event);
        json_add_integer(document, "available", result->remaining);
        route_send_document(exchange, document, RESTOCK_ROOM, 200);
        break;
    case TICKETD_EVENT_UNKNOWN:
        http_problem(exchange, PROBLEM_event_unknown, UNKNOWN_EVENT);
        break;
    case TICKETD_INVALID:
        http_problem_at(exchange, PROBLEM_invalid_quantity, TOO_MANY, "#/add");
        break;
    default:
        http_problem(exchange, route_failure_of(result->status)->code,
                     result->status == TICKETD_OUTCOME_UNKNOWN ? RESTOCK_UNKNOWN : RESTOCK_FAILED);
        break;
    }
}

static void cancel(void *call)
{
    vacancy_cancel(&((struct restock_call *)call)->vacancy);
}

/* Reads {"event", "add"}; false after sending the problem.  The event's id lives as long as the
 * document. */
static bool read_restock(struct http_exchange *exchange, const struct json_document *document,
                         struct vacancy_request *ret_request)
{
    const char *event;
    int64_t add;

    if (json_get_string(document, "event", &event) != JSON_DONE) {
        http_problem_at(exchange, PROBLEM_invalid_event, "event must be the id of an event",
                        "#/event");
        return false;
    }
    if (strlen(event) > STOCK_EVENT_ID_MAX) {
        http_problem(exchange, PROBLEM_event_unknown, UNKNOWN_EVENT);
        return false;
    }
    if (json_get_integer(document, "add", 1, STOCK_QUANTITY_MAX, &add) != JSON_DONE) {
        http_problem_at(exchange, PROBLEM_invalid_quantity, ADD_DETAIL, "#/add");
        return false;
    }
    ret_request->event = (struct text){.base = event, .len = strlen(event)};
    ret_request->quantity = (uint32_t)add;
    return true;
}

static void restock(struct router *router, struct http_exchange *exchange,
                    const struct vacancy_request *request)
{
    struct restock_call *call = http_alloc(exchange, sizeof(*call));
    bool ended;

    call->vacancy.pending = NULL;
    memcpy(call->event, request->event.base, request->event.len);
    call->event[request->event.len] = '\0';
    route_wait_begin(&call->wait, &ended, router, exchange);
    vacancy_restock(router->vacancy, &call->vacancy, request, on_restock);
    route_wait_returned(&ended, &call->wait, cancel, call);
}

void route_control_restock(struct router *router, struct http_exchange *exchange)
{
    struct vacancy_request request = {.request_id = exchange->request_id};
    struct json_document document;

    if (!http_read_json(exchange, &document))
        return;
    if (read_restock(exchange, &document, &request))
        restock(router, exchange, &request);
    json_release(&document);
}

void route_control_reload(struct router *router, struct http_exchange *exchange)
{
    struct json_value *document;

    if (!has_source(router, exchange))
        return;
    document = json_object_new();
    json_add_integer(document, "reload",
                     (int64_t)router->control->reload(router->control->context));
    route_send_document(exchange, document, RELOAD_ROOM, 202);
}
