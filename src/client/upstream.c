#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/upstream_internal.h"
#include "metrics/metrics.h"
#include "ticketd/error.h"
#include "util/append.h"
#include "util/clock.h"

/* The longest that the timer is set to; then it looks again. */
#define WATCH_MAX_MS 3600000
/* Bytes of a request's head that are not the caller's or the URL's, at most. */
#define HEAD_FIXED_MAX                                                                             \
    (sizeof("  HTTP/1.1\r\nHost: \r\nContent-Type: application/json\r\nContent-Length: \r\n") +    \
     APPEND_U32_MAX)

static void on_time(void *context)
{
    struct upstream *upstream = context;
    struct upstream_exchange *exchange;
    uint64_t now_ms = clock_monotonic_ms(), due_ms = UINT64_MAX;

    upstream->timer_due_ms = UINT64_MAX;
    /* what ends stays in the list until its caller is told */
    TAILQ_FOREACH(exchange, &upstream->exchanges, link)
    {
        if (exchange->phase != UPSTREAM_ENDED && exchange->due_ms <= now_ms)
            upstream_exchange_expire(exchange);
        if (exchange->phase != UPSTREAM_ENDED)
            due_ms = clock_earlier(due_ms, exchange->due_ms);
    }
    upstream_watch(upstream, due_ms, now_ms);
}

void upstream_watch(struct upstream *upstream, uint64_t due_ms, uint64_t now_ms)
{
    uint64_t wait_ms;

    if (due_ms >= upstream->timer_due_ms)
        return;
    wait_ms = due_ms > now_ms ? clock_earlier(due_ms - now_ms, WATCH_MAX_MS) : 1;
    upstream->timer_due_ms = now_ms + wait_ms;
    http_timer_set(&upstream->timer, (uint32_t)wait_ms, 0);
}

/* What follows "Host: ".  A scope means something on this machine only, and a socket's path is no
 * host. */
static void print_host(struct upstream *upstream)
{
    const struct endpoint *endpoint = &upstream->options.endpoint;
    bool bracketed = endpoint->kind == ENDPOINT_IPV6;
    char port[sizeof(":65535")] = "";

    if (endpoint->kind == ENDPOINT_UNIX) {
        (void)snprintf(upstream->host, sizeof(upstream->host), "localhost");
        return;
    }
    if (endpoint->port != 80)
        (void)snprintf(port, sizeof(port), ":%u", endpoint->port);
    (void)snprintf(upstream->host, sizeof(upstream->host), "%s%.*s%s%s", bracketed ? "[" : "",
                   (int)strcspn(endpoint->host, "%"), endpoint->host, bracketed ? "]" : "", port);
}

struct upstream *upstream_new(const struct upstream_options *options)
{
    struct upstream *upstream = calloc(1, sizeof(*upstream));

    assert(options->connections_max >= 1 && options->keepalive_max <= options->connections_max);
    if (upstream == NULL)
        return NULL;
    upstream->options = *options;
    upstream->options.metrics = metrics_recorder_or_none(options->metrics);
    upstream->loop = options->context->loop;
    upstream->timer_due_ms = UINT64_MAX;
    TAILQ_INIT(&upstream->exchanges);
    if (http_timer_init(&upstream->timer, upstream->loop, on_time, upstream) < 0) {
        free(upstream);
        return NULL;
    }
    print_host(upstream);
    upstream_resolve(upstream, clock_monotonic_ms());
    return upstream;
}

void upstream_free(struct upstream *upstream)
{
    struct upstream_exchange *exchange;

    if (upstream == NULL)
        return;
    while ((exchange = TAILQ_FIRST(&upstream->exchanges)) != NULL)
        upstream_exchange_drop(exchange);
    upstream_free_addresses(upstream);
    http_timer_deinit(&upstream->timer);
    free(upstream);
}

static struct text text_of_string(const char *string)
{
    return (struct text){.base = string, .len = strlen(string)};
}

/* The head up to its last line, which is chosen when the connection is known. */
static char *append_head(char *at, const struct upstream *upstream,
                         const struct upstream_request *request)
{
    at = append_text(at, text_of_string(request->method));
    at = append_text(at, TEXT(" "));
    at = append_text(at, text_of_string(upstream->options.endpoint.base));
    at = append_text(at, request->path);
    at = append_text(at, TEXT(" HTTP/1.1\r\nHost: "));
    at = append_text(at, text_of_string(upstream->host));
    at = append_text(at, TEXT("\r\n"));
    if (request->body.base != NULL)
        at = append_text(at, TEXT("Content-Type: application/json\r\n"));
    if (request->body.base != NULL || strcmp(request->method, "POST") == 0) {
        at = append_text(at, TEXT("Content-Length: "));
        at = append_u32(at, (uint32_t)request->body.len);
        at = append_text(at, TEXT("\r\n"));
    }
    return request->headers.len > 0 ? append_text(at, request->headers) : at;
}

/* With a copy of the request. */
static struct upstream_exchange *new_exchange(const struct upstream *upstream,
                                              const struct upstream_request *request)
{
    size_t head_max = strlen(request->method) + strlen(upstream->options.endpoint.base) +
                      request->path.len + strlen(upstream->host) + request->headers.len +
                      HEAD_FIXED_MAX;
    struct upstream_exchange *exchange = malloc(sizeof(*exchange) + head_max + request->body.len);
    char *end;

    if (exchange == NULL)
        return NULL;
    *exchange = (struct upstream_exchange){.phase = UPSTREAM_WAITING};
    end = append_head(exchange->bytes, upstream, request);
    assert(end <= exchange->bytes + head_max);
    exchange->request[0] = h2o_iovec_init(exchange->bytes, (size_t)(end - exchange->bytes));
    exchange->request[2] = h2o_iovec_init(end, request->body.len);
    if (request->body.len > 0)
        (void)append_text(end, request->body);
    return exchange;
}

static int judge(const struct upstream *upstream, uint64_t now_ms)
{
    if (upstream->busy >= upstream->options.connections_max)
        return TICKETD_BUSY;
    if (upstream->address_count == 0)
        return upstream->resolving != NULL || now_ms >= upstream->resolve_earliest_ms
                   ? TICKETD_DONE
                   : TICKETD_UNAVAILABLE;
    return upstream_address_left(upstream, NULL, now_ms) ? TICKETD_DONE : TICKETD_UNAVAILABLE;
}

int upstream_judge(struct upstream *upstream)
{
    return judge(upstream, clock_monotonic_ms());
}

int upstream_send(struct upstream *upstream, struct upstream_call *call,
                  const struct upstream_request *request, upstream_on_reply *on_reply)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct upstream_exchange *exchange;
    int result = judge(upstream, now_ms);

    assert(call->exchange == NULL);
    if (result != TICKETD_DONE)
        return result;
    if ((exchange = new_exchange(upstream, request)) == NULL)
        return TICKETD_BUSY;
    exchange->upstream = upstream;
    exchange->call = call;
    exchange->deadline_ms = exchange->due_ms = request->deadline_ms;
    TAILQ_INSERT_TAIL(&upstream->exchanges, exchange, link);
    ++upstream->busy;
    call->on_reply = on_reply;
    call->exchange = exchange;
    upstream_resolve(upstream, now_ms);
    upstream_exchange_begin(exchange, now_ms);
    return TICKETD_DONE;
}

void upstream_cancel(struct upstream_call *call)
{
    if (call->exchange != NULL)
        upstream_exchange_drop(call->exchange);
}
