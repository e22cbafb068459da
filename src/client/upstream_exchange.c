#include <assert.h>
#include <stdlib.h>

#include "client/upstream_internal.h"
#include "client/upstream_reply.h"
#include "metrics/metrics.h"
#include "util/clock.h"
#include "util/log.h"

/* ---- what an address is worth ---- */

static void report_success(struct upstream_exchange *exchange)
{
    struct upstream_address *address = exchange->address;

    if (breaker_succeeded(&address->breaker))
        log_info("%s answers again", address->text);
    if (address->listed)
        exchange->upstream->served = address;
}

static void report_failure(struct upstream_exchange *exchange, const char *why)
{
    struct upstream_address *address = exchange->address;
    bool was_closed = address->breaker.state == BREAKER_CLOSED;

    if (!breaker_failed(&address->breaker, clock_monotonic_ms()))
        return;
    metrics_add(exchange->upstream->options.metrics, METRICS_breaker_openings, 1);
    if (was_closed)
        log_warning("%s fails again and again (%s); it is tried every %u ms", address->text, why,
                    address->breaker.open_ms);
    else
        log_debug("%s still fails (%s)", address->text, why);
}

/* ---- the end ---- */

/* Closes its connection, or what shall be one. */
static void disconnect(struct upstream_exchange *exchange)
{
    if (exchange->connecting != NULL)
        h2o_socketpool_cancel_connect(exchange->connecting);
    if (exchange->sock != NULL)
        h2o_socket_close(exchange->sock);
    exchange->connecting = NULL;
    exchange->sock = NULL;
}

/* Gives back all that it has of the upstream. */
static void leave(struct upstream_exchange *exchange)
{
    struct upstream *upstream = exchange->upstream;

    h2o_timeout_unlink(&exchange->later);
    disconnect(exchange);
    upstream_address_release(exchange);
    TAILQ_REMOVE(&upstream->exchanges, exchange, link);
    --upstream->busy;
    upstream->keeping -= exchange->keep;
    exchange->call->exchange = NULL;
}

static void free_exchange(struct upstream_exchange *exchange)
{
    if (exchange->input != NULL)
        h2o_buffer_dispose(&exchange->input);
    free(exchange);
}

static void run_later(struct upstream_exchange *exchange, h2o_timeout_cb step)
{
    exchange->later.cb = step;
    h2o_timeout_link(exchange->upstream->loop, &exchange->upstream->options.context->zero_timeout,
                     &exchange->later);
}

/* The connection goes back into its pool, if both sides want to keep it and it is in a state for
 * that: a request that was answered before it was sent will never end. */
static void put_back(struct upstream_exchange *exchange)
{
    if (exchange->sock == NULL || !exchange->keep || !exchange->peer_keeps || !exchange->written ||
        !exchange->address->listed)
        return;
    (void)h2o_socketpool_return(&exchange->address->pool, exchange->sock);
    exchange->sock = NULL;
}

static void on_tell(h2o_timeout_entry_t *entry)
{
    struct upstream_exchange *exchange =
        H2O_STRUCT_FROM_MEMBER(struct upstream_exchange, later, entry);

    put_back(exchange);
    leave(exchange);
    exchange->call->on_reply(exchange->call, &exchange->reply); /* may free the upstream */
    free_exchange(exchange);
}

static void end(struct upstream_exchange *exchange, enum upstream_end how, const char *why)
{
    assert(exchange->phase != UPSTREAM_ENDED);
    exchange->phase = UPSTREAM_ENDED;
    exchange->reply.end = how;
    metrics_add(exchange->upstream->options.metrics,
                how == UPSTREAM_REPLIED    ? METRICS_client_replied
                : how == UPSTREAM_NOT_SENT ? METRICS_client_not_sent
                                           : METRICS_client_broken,
                1);
    exchange->reply.why = why;
    run_later(exchange, on_tell);
}

static void break_off(struct upstream_exchange *exchange, const char *why)
{
    disconnect(exchange);
    report_failure(exchange, why);
    end(exchange, UPSTREAM_BROKEN, why);
}

void upstream_exchange_drop(struct upstream_exchange *exchange)
{
    if (exchange->phase != UPSTREAM_ENDED && exchange->address != NULL)
        (void)breaker_abandoned(&exchange->address->breaker);
    leave(exchange);
    free_exchange(exchange);
}

/* ---- the reply ---- */

static void complete(struct upstream_exchange *exchange, const struct upstream_head *head)
{
    struct upstream_reply *reply = &exchange->reply;

    h2o_socket_read_stop(exchange->sock);
    exchange->input = exchange->sock->input;
    h2o_buffer_init(&exchange->sock->input, &h2o_socket_buffer_prototype);
    reply->status = head->status;
    reply->body =
        (struct text){.base = exchange->input->bytes + head->head_len, .len = head->body_len};
    exchange->peer_keeps = head->keep;
    if (reply->status >= 500 && reply->status != 503)
        report_failure(exchange, "server errors");
    else
        report_success(exchange);
    end(exchange, UPSTREAM_REPLIED, NULL);
}

static void on_read(h2o_socket_t *sock, const char *error)
{
    struct upstream_exchange *exchange = sock->data;
    struct upstream_head head = {.head_len = 0};
    size_t came = sock->input->size;
    const char *why = upstream_head_parse(sock->input->bytes, came, &head);

    if (error != NULL)
        break_off(exchange, came == 0 ? "the connection ended without a reply"
                                      : "the connection ended within the reply");
    else if (why != NULL)
        break_off(exchange, why);
    else if (head.head_len == 0)
        return;
    else if (head.body_len > exchange->upstream->options.body_max)
        break_off(exchange, "a reply that is too long");
    else if (came - head.head_len > head.body_len)
        break_off(exchange, "a reply that is longer than its length");
    else if (came - head.head_len == head.body_len)
        complete(exchange, &head);
}

/* ---- the request ---- */

static void connect_address(struct upstream_exchange *exchange, uint64_t now_ms);

static void not_connected(struct upstream_exchange *exchange, const char *why)
{
    struct upstream *upstream = exchange->upstream;
    uint64_t now_ms = clock_monotonic_ms();

    report_failure(exchange, why);
    upstream_address_release(exchange);
    upstream_doubt_addresses(upstream, now_ms);
    if (now_ms < exchange->deadline_ms && upstream_address_take(upstream, exchange, now_ms))
        connect_address(exchange, now_ms);
    else
        end(exchange, UPSTREAM_NOT_SENT, why);
}

/* So many connections that idle, or will when their exchange has ended. */
static bool may_keep(const struct upstream *upstream)
{
    return upstream_idle_count(upstream) + upstream->keeping < upstream->options.keepalive_max;
}

static void on_written(h2o_socket_t *sock, const char *error)
{
    struct upstream_exchange *exchange = sock->data;

    if (error == NULL)
        exchange->written = true;
    else if (exchange->phase != UPSTREAM_ENDED)
        break_off(exchange, "the connection ended within the request");
}

/* Runs inside connect_address when a connection idled, or none can be made at all. */
static void on_connect(h2o_socket_t *sock, const char *error, void *data)
{
    struct upstream_exchange *exchange = data;
    struct upstream *upstream = exchange->upstream;

    exchange->connecting = NULL;
    if (sock == NULL) {
        not_connected(exchange, error);
        return;
    }
    exchange->phase = UPSTREAM_SENT;
    exchange->due_ms = exchange->deadline_ms;
    exchange->sock = sock;
    exchange->keep = may_keep(upstream);
    upstream->keeping += exchange->keep;
    exchange->request[1] = exchange->keep ? h2o_iovec_init(H2O_STRLIT("\r\n"))
                                          : h2o_iovec_init(H2O_STRLIT("Connection: close\r\n\r\n"));
    sock->data = exchange;
    h2o_socket_write(sock, exchange->request, exchange->request[2].len > 0 ? 3 : 2, on_written);
    h2o_socket_read_start(sock, on_read);
}

/* An address that swallows what is sent to it must not use up the time of those after it. */
static uint64_t connect_due(const struct upstream_exchange *exchange, uint64_t now_ms)
{
    uint64_t half_ms = (exchange->deadline_ms - now_ms) / 2;

    if (!upstream_address_left(exchange->upstream, exchange, now_ms))
        return exchange->deadline_ms;
    if (half_ms < UPSTREAM_CONNECT_MIN_MS)
        half_ms = UPSTREAM_CONNECT_MIN_MS;
    return clock_earlier(exchange->deadline_ms, now_ms + half_ms);
}

/* now_ms is before the deadline. */
static void connect_address(struct upstream_exchange *exchange, uint64_t now_ms)
{
    struct upstream *upstream = exchange->upstream;

    exchange->phase = UPSTREAM_CONNECTING;
    exchange->due_ms = connect_due(exchange, now_ms);
    upstream_make_room(upstream, exchange->address);
    h2o_socketpool_connect(&exchange->connecting, &exchange->address->pool, upstream->loop, NULL,
                           on_connect, exchange);
    if (exchange->phase != UPSTREAM_ENDED)
        upstream_watch(upstream, exchange->due_ms, now_ms);
}

/* It has not done anything that would say something about the peer. */
static void end_unused(struct upstream_exchange *exchange)
{
    (void)breaker_abandoned(&exchange->address->breaker);
    end(exchange, UPSTREAM_NOT_SENT, "its time was over");
}

static void on_begin(h2o_timeout_entry_t *entry)
{
    struct upstream_exchange *exchange =
        H2O_STRUCT_FROM_MEMBER(struct upstream_exchange, later, entry);
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms < exchange->deadline_ms)
        connect_address(exchange, now_ms);
    else
        end_unused(exchange);
}

void upstream_exchange_begin(struct upstream_exchange *exchange, uint64_t now_ms)
{
    struct upstream *upstream = exchange->upstream;

    upstream_watch(upstream, exchange->due_ms, now_ms);
    if (upstream->address_count == 0 && upstream->resolving != NULL)
        return;
    if (upstream_address_take(upstream, exchange, now_ms)) {
        exchange->phase = UPSTREAM_CHOSEN;
        run_later(exchange, on_begin);
    } else {
        end(exchange, UPSTREAM_NOT_SENT,
            upstream->address_count == 0 ? "the name does not resolve"
                                         : "every address is left alone");
    }
}

void upstream_exchange_resolved(struct upstream *upstream, uint64_t now_ms)
{
    struct upstream_exchange *exchange;

    TAILQ_FOREACH(exchange, &upstream->exchanges, link)
    {
        if (exchange->phase == UPSTREAM_WAITING)
            upstream_exchange_begin(exchange, now_ms);
    }
}

void upstream_exchange_expire(struct upstream_exchange *exchange)
{
    disconnect(exchange);
    switch (exchange->phase) {
    case UPSTREAM_WAITING:
        end(exchange, UPSTREAM_NOT_SENT, "the name was not resolved in time");
        break;
    case UPSTREAM_CHOSEN:
        h2o_timeout_unlink(&exchange->later);
        end_unused(exchange);
        break;
    case UPSTREAM_CONNECTING:
        not_connected(exchange, "no connection in time");
        break;
    case UPSTREAM_SENT:
        /* whoever holds this connection and has stopped may hold others of them */
        upstream_close_idle(exchange->upstream, exchange->address);
        break_off(exchange, "no reply in time");
        break;
    case UPSTREAM_ENDED:
        break;
    }
}
