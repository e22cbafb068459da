#include "route/route.h"
#include "route/wait.h"
#include "ticketd/error.h"

/* Room for the answer at "/": the whole tables of routes and problems. */
#define ROOT_BODY_MAX   8192
#define STATUS_BODY_MAX 512

void route_add_endpoints(const struct router *router, struct json_value *document,
                         const struct route *table)
{
    struct json_value *endpoints = json_add_array(document, "endpoints");

    for (const struct route *route = table; route->path != NULL; ++route) {
        struct json_value *endpoint;
        if (!route_is_offered(router, route))
            continue;
        endpoint = json_append_object(endpoints);
        json_add_string(endpoint, "method", route->method);
        json_add_string(endpoint, "path", route->path);
        json_add_string(endpoint, "summary", route->summary);
    }
}

static void add_problems(struct json_value *document)
{
    struct json_value *problems = json_add_array(document, "problems");

    for (int code = 0; code < PROBLEM_COUNT; ++code) {
        const struct problem_kind *kind = problem_kind((enum problem_code)code);
        struct json_value *problem = json_append_object(problems);
        json_add_string(problem, "code", kind->code);
        json_add_integer(problem, "status", kind->status);
        json_add_string(problem, "title", kind->title);
    }
}

void route_root(struct router *router, struct http_exchange *exchange)
{
    const struct settings *settings = router->settings;
    struct json_value *document = json_object_new();

    json_add_string(document, "service", settings->service_name);
    json_add_string(document, "version", TICKETD_VERSION);
    json_add_string(document, "mode",
                    settings->deployment_mode == DEPLOYMENT_MODE_MONOLITH ? "monolith"
                                                                          : "microservices");
    json_add_string(document, "role", role_name(router->role));
    json_add_string(document, "environment", settings->environment);
    route_add_endpoints(router, document, route_table);
    add_problems(document);
    route_send_document(exchange, document, ROOT_BODY_MAX, 200);
}

void route_health(struct router *router, struct http_exchange *exchange)
{
    struct json_value *document = json_object_new();

    json_add_string(document, "status", "healthy");
    json_add_string(document, "service", role_name(router->role));
    json_add_string(document, "version", TICKETD_VERSION);
    route_send_document(exchange, document, STATUS_BODY_MAX, 200);
}

struct ready_call {
    struct vacancy_call vacancy; /* first */
    struct route_wait wait;
};

static void on_health(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct ready_call *call = (struct ready_call *)vacancy;
    struct json_value *document = json_object_new();
    bool good = result->status == TICKETD_DONE;

    route_wait_ended(&call->wait);
    json_add_string(document, "status", good ? "ready" : "unready");
    json_add_string(document, "service", role_name(call->wait.router->role));
    json_add_string(json_add_object(document, "dependencies"), "vacancy",
                    good ? "healthy" : "unhealthy");
    route_send_document(call->wait.exchange, document, STATUS_BODY_MAX, good ? 200 : 503);
}

static void cancel(void *call)
{
    vacancy_cancel(&((struct ready_call *)call)->vacancy);
}

void route_ready(struct router *router, struct http_exchange *exchange)
{
    struct ready_call *call = http_alloc(exchange, sizeof(*call));
    bool ended;

    call->vacancy.pending = NULL;
    route_wait_begin(&call->wait, &ended, router, exchange);
    vacancy_health(router->vacancy, &call->vacancy,
                   &(struct vacancy_request){.request_id = exchange->request_id}, on_health);
    route_wait_returned(&ended, &call->wait, cancel, call);
}
