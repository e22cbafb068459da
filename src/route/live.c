/* The dashboard, and what it and ticketctl top are told once a second.  The looks at what happens
 * are one a worker, however many watch, and none while nobody does. */
#include <string.h>

#include "http/event_stream.h"
#include "metrics/live.h"
#include "route/route.h"

#define LIVE_INTERVAL_MS 1000
/* A look so old tells no rate of now: nobody has watched since; one so young none at all, for next
 * to nothing has happened since: somebody has come as another one left. */
#define LIVE_STALE_MS (3 * LIVE_INTERVAL_MS)
#define LIVE_FRESH_MS (LIVE_INTERVAL_MS / 2)
#define NS_PER_MS     UINT64_C(1000000)
/* Most that watch one worker: pages and terminals of operators. */
#define LIVE_STREAMS_MAX 64
/* All that the page may do: fetch from this server, and run no script but its files. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

struct live_feed {
    /* fixed after start */
    struct live_source source;
    const char *service_name;

    struct live_look looks[2]; /* the newest, and the one before it */
    uint32_t newest;
    bool looked;
    char text[LIVE_TEXT_MAX];
};

static bool sells(const char *path)
{
    return strcmp(path, "/api/v1/purchase") == 0 || strcmp(path, "/api/v1/reserve") == 0 ||
           strcmp(path, "/api/v1/reserve/batch") == 0;
}

static bool is_comparable(uint64_t age_ns)
{
    return age_ns >= LIVE_FRESH_MS * NS_PER_MS && age_ns <= LIVE_STALE_MS * NS_PER_MS;
}

static bool look(void *context, uint64_t *ret_version, struct text *ret_data)
{
    struct live_feed *feed = context;
    const struct live_look *before = feed->looked ? &feed->looks[feed->newest] : NULL;
    struct live_look *now = &feed->looks[1 - feed->newest];
    int len;

    live_look(now, &feed->source);
    if (before != NULL && !is_comparable(now->at_ns - before->at_ns))
        before = NULL;
    len = live_print(feed->text, now, before, feed->service_name);
    if (len < 0)
        return false; /* no memory: the next look may have some */
    feed->newest = 1 - feed->newest;
    feed->looked = true;
    *ret_version = (uint64_t)now->time_ms;
    *ret_data = (struct text){.base = feed->text, .len = (size_t)len};
    return true;
}

void route_live_open(struct router *router, struct http_server *server)
{
    struct live_feed *feed = h2o_mem_alloc(sizeof(*feed));

    feed->source = (struct live_source){
        .metrics = router->metrics_source, .role = router->role, .sells = sells};
    feed->service_name = router->settings->service_name;
    feed->newest = 0;
    feed->looked = false;
    router->live = event_source_new(
        server, &(struct event_source_options){
                    .interval_ms = LIVE_INTERVAL_MS,
                    .heartbeat_ms = (uint32_t)router->settings->stream_heartbeat_ms,
                    .streams_max = LIVE_STREAMS_MAX,
                    .state = look,
                    .context = feed,
                });
}

void route_live(struct router *router, struct http_exchange *exchange)
{
    if (router->live == NULL)
        http_problem(exchange, PROBLEM_not_found, "what happens cannot be read here");
    else
        event_source_join(router->live, exchange);
}

void route_dashboard(struct router *router, struct http_exchange *exchange)
{
    (void)router;
    route_send_page(exchange, TEXT("dashboard"), TEXT(POLICY));
}

bool route_dashboard_offered(const struct settings *settings)
{
    return settings->dashboard == DASHBOARD_ON ||
           (settings->dashboard == DASHBOARD_AUTO && settings_in_development(settings));
}
