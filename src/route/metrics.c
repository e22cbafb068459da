/* GET /metrics, and what answers are counted by. */
#include "metrics/exposition.h"

#include "route/route.h"

#define UNKNOWN "the metrics cannot be read here"

static const struct route *const tables[] = {route_table, route_control_table};

/* Rows of one path have one number, in whichever tables they are. */
uint32_t route_number_of(const char *path)
{
    uint32_t number = 0;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); ++i)
        for (const struct route *route = tables[i]; route->path != NULL; ++route) {
            ++number;
            if (strcmp(route->path, path) == 0)
                return number;
        }
    return 0;
}

const char *route_of_number(uint32_t number)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); ++i)
        for (const struct route *route = tables[i]; route->path != NULL; ++route)
            if (number-- == 1)
                return route->path;
    return "";
}

bool route_metrics_offered(const struct settings *settings)
{
    return settings->metrics;
}

static void *alloc(void *exchange, size_t size)
{
    return http_alloc(exchange, size);
}

void route_metrics(struct router *router, struct http_exchange *exchange)
{
    if (router->metrics_source == NULL) {
        http_problem(exchange, PROBLEM_not_found, UNKNOWN);
        return;
    }
    http_reply(exchange, &(struct http_reply){
                             .status = 200,
                             .reason = "OK",
                             .content_type = TEXT(METRICS_CONTENT_TYPE),
                             .body = metrics_exposition(router->metrics_source, alloc, exchange),
                             .cache_control = TEXT("no-store"),
                         });
}
