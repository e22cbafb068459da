#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "route/route.h"
#include "ticketd/stock.h"

static bool method_is(const struct http_exchange *exchange, struct text method)
{
    return text_equal(text_of(exchange->req->input.method), method);
}

/* OPTIONS: what the path offers, or the answer to a browser's preflight. */
static void answer_options(const struct router_path *path, struct http_exchange *exchange)
{
    bool preflight = exchange->origin.base != NULL &&
                     http_header(exchange, TEXT("access-control-request-method")).base != NULL;

    if (preflight && (exchange->same_origin || !http_origin_allowed(exchange))) {
        http_problem(exchange, PROBLEM_origin_not_allowed,
                     "pages of this origin may not call this service");
        return;
    }
    http_reply(exchange, &(struct http_reply){.status = 204,
                                              .reason = "No Content",
                                              .allow = path->allow,
                                              .preflight = preflight});
}

static void on_request(struct http_exchange *exchange, void *context)
{
    const struct router_path *path = context;

    exchange->same_origin = (path->get != NULL ? path->get : path->post)->same_origin;
    if (path->post != NULL && method_is(exchange, TEXT("POST"))) {
        if (http_origin_allowed(exchange))
            path->post->handle(path->router, exchange);
        else
            http_problem(exchange, PROBLEM_origin_not_allowed,
                         "pages of this origin may not call this service");
    } else if (path->get != NULL &&
               (method_is(exchange, TEXT("GET")) || method_is(exchange, TEXT("HEAD")))) {
        path->get->handle(path->router, exchange);
    } else if (method_is(exchange, TEXT("OPTIONS"))) {
        answer_options(path, exchange);
    } else {
        http_problem_allow(exchange, PROBLEM_method_not_allowed,
                           "this path does not offer that method; see Allow", path->allow);
    }
}

/* The place of a path among those from `first` on, which are one site's. */
static struct router_path *path_of(struct router *router, uint32_t first, const char *path)
{
    for (uint32_t i = first; i < router->path_count; ++i) {
        const struct route *any =
            router->paths[i].get != NULL ? router->paths[i].get : router->paths[i].post;
        if (strcmp(any->path, path) == 0)
            return &router->paths[i];
    }
    assert(router->path_count < ROUTE_PATHS_MAX);
    return &router->paths[router->path_count++];
}

static void add_route(struct router *router, uint32_t first, const struct route *route)
{
    struct router_path *path = path_of(router, first, route->path);
    const struct route **slot = strcmp(route->method, "POST") == 0 ? &path->post : &path->get;

    assert(*slot == NULL && "one handler a method and path");
    *slot = route;
    path->router = router;
    path->allow = path->post == NULL  ? TEXT("GET, HEAD, OPTIONS")
                  : path->get == NULL ? TEXT("POST, OPTIONS")
                                      : TEXT("GET, HEAD, POST, OPTIONS");
}

bool route_is_offered(const struct router *router, const struct route *route)
{
    return (route->roles & ROLE_BIT(router->role)) != 0 &&
           (route->offered == NULL || route->offered(router->settings));
}

/* Registers what this process serves of a table. */
static void add_table(struct router *router, struct http_site *site, const struct route *table)
{
    uint32_t first = router->path_count;

    for (const struct route *route = table; route->path != NULL; ++route)
        if (route_is_offered(router, route))
            add_route(router, first, route);
    for (uint32_t i = first; i < router->path_count; ++i) {
        struct router_path *path = &router->paths[i];
        const struct route *any = path->get != NULL ? path->get : path->post;
        if (any->body_max != NULL)
            http_server_add_large_path(site, any->path, any->body_max(router->settings), on_request,
                                       path);
        else
            http_server_add_path(site, any->path, any->compress, on_request, path);
        http_server_number_path(site, route_number_of(any->path));
    }
}

void router_init(struct router *router, struct http_server *server, enum role role,
                 struct vacancy_client *vacancy, const struct control_source *control,
                 const struct metrics_source *metrics)
{
    int64_t ttl = server->settings->cache_ttl_s;

    *router = (struct router){.settings = server->settings,
                              .role = role,
                              .vacancy = vacancy,
                              .control = control,
                              .metrics_source = metrics,
                              .metrics = server->metrics};
    router->event =
        metrics == NULL ? 0 : metrics_event_of(metrics->metrics, TEXT(STOCK_DEFAULT_EVENT));
    if (ttl > 0)
        (void)snprintf(router->cache_control, sizeof(router->cache_control),
                       "public, max-age=%" PRId64, ttl);
    else
        (void)snprintf(router->cache_control, sizeof(router->cache_control), "no-store");
    router->cache_control_len = strlen(router->cache_control);
    if (role_owns_stock(role))
        route_available_open(router, server);
    if (metrics != NULL)
        route_live_open(router, server);
    add_table(router, &server->site, route_table);
    add_table(router, &server->control, route_control_table);
}
