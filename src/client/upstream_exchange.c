#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "client/upstream_internal.h"
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
    if (was_closed)
        log_warning("%s fails again and again (%s); it is tried every %u ms", address->text, why,
                    address->breaker.open_ms);
    else
        log_debug("%s still fails (%s)", address->text, why);
}

/* ---- the end ---- */

static void on_tell(h2o_timeout_entry_t *entry)
{
    struct upstream_exchange *exchange =
        H2O_STRUCT_FROM_MEMBER(struct upstream_exchange, tell, entry);
    struct upstream_call *call = exchange->call;

    TAILQ_REMOVE(&exchange->upstream->exchanges, exchange, link);
    upstream_address_release(exchange);
    call->exchange = NULL;
    call->on_reply(call, &exchange->reply); /* may free the upstream */
    if (exchange->input != NULL)
        h2o_buffer_dispose(&exchange->input);
    free(exchange);
}

/* It wants no connection from now on. */
static void leave(struct upstream_exchange *exchange)
{
    --exchange->upstream->busy;
    if (exchange->keep)
        --exchange->upstream->keeping;
    exchange->keep = false;
    exchange->client = NULL;
}

static void end(struct upstream_exchange *exchange, enum upstream_end how, const char *why)
{
    assert(exchange->phase != UPSTREAM_ENDED);
    leave(exchange);
    exchange->phase = UPSTREAM_ENDED;
    exchange->reply.end = how;
    exchange->reply.why = why;
    exchange->tell.cb = on_tell;
    h2o_timeout_link(exchange->upstream->http.loop,
                     &exchange->upstream->options.context->zero_timeout, &exchange->tell);
}

static void break_off(struct upstream_exchange *exchange, const char *why)
{
    report_failure(exchange, why);
    end(exchange, UPSTREAM_BROKEN, why);
}

void upstream_exchange_drop(struct upstream_exchange *exchange)
{
    if (exchange->phase == UPSTREAM_ENDED) {
        h2o_timeout_unlink(&exchange->tell);
    } else {
        if (exchange->client != NULL)
            h2o_http1client_cancel(exchange->client);
        if (exchange->address != NULL)
            (void)breaker_abandoned(&exchange->address->breaker);
        leave(exchange);
    }
    if (exchange->input != NULL)
        h2o_buffer_dispose(&exchange->input);
    TAILQ_REMOVE(&exchange->upstream->exchanges, exchange, link);
    upstream_address_release(exchange);
    exchange->call->exchange = NULL;
    free(exchange);
}

/* ---- the reply ---- */

/* libh2o would keep the connection, and forgets it instead. */
static void close_connection(h2o_http1client_t *client)
{
    h2o_socket_close(h2o_http1client_steal_socket(client));
}

static bool is_json(h2o_iovec_t type)
{
    static const struct text types[] = {
        {H2O_STRLIT("application/json")},
        {H2O_STRLIT("application/problem+json")},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i)
        if (type.len >= types[i].len && strncasecmp(type.base, types[i].base, types[i].len) == 0 &&
            (type.len == types[i].len || memchr("; \t", type.base[types[i].len], 3) != NULL))
            return true;
    return false;
}

/* Why a head is not believed, or NULL.  Only a length that is given in advance, once, shows whether
 * all of the body has come. */
static const char *judge_head(int status, const h2o_header_t *headers, size_t count,
                              size_t body_max, size_t *ret_len)
{
    size_t lengths = 0, types = 0, len = 0;

    if (status < 200 || status > 599)
        return "a reply of unknown status";
    for (size_t i = 0; i < count; ++i) {
        if (headers[i].name->len == 0)
            return "a reply with a folded header line";
        if (headers[i].name == &H2O_TOKEN_TRANSFER_ENCODING->buf)
            return "a reply with a transfer coding";
        if (headers[i].name == &H2O_TOKEN_CONTENT_LENGTH->buf) {
            len = h2o_strtosize(headers[i].value.base, headers[i].value.len);
            ++lengths;
        } else if (headers[i].name == &H2O_TOKEN_CONTENT_TYPE->buf) {
            if (!is_json(headers[i].value))
                return "a reply that is not JSON";
            ++types;
        }
    }
    if (lengths != 1)
        return lengths == 0 ? "a reply without a length" : "a reply with two lengths";
    if (types != 1)
        return types == 0 ? "a reply without a type" : "a reply with two types";
    if (len > body_max)
        return "a reply that is too long";
    *ret_len = len;
    return NULL;
}

static void complete(struct upstream_exchange *exchange, h2o_http1client_t *client)
{
    exchange->input = client->sock->input;
    h2o_buffer_init(&client->sock->input, &h2o_socket_buffer_prototype);
    exchange->reply.body =
        (struct text){.base = exchange->input->bytes, .len = exchange->input->size};
    if (!exchange->keep || !exchange->address->listed)
        close_connection(client);
    if (exchange->reply.status >= 500 && exchange->reply.status != 503)
        report_failure(exchange, "server errors");
    else
        report_success(exchange);
    end(exchange, UPSTREAM_REPLIED, NULL);
}

static int on_body(h2o_http1client_t *client, const char *error)
{
    struct upstream_exchange *exchange = client->data;
    size_t came = client->sock->bytes_read;

    if (error != NULL && error != h2o_http1client_error_is_eos) {
        break_off(exchange, "the connection ended within the reply's body");
        return -1;
    }
    if (came > exchange->body_left) {
        break_off(exchange, "a reply that is longer than its length");
        return -1;
    }
    exchange->body_left -= came;
    if (error == h2o_http1client_error_is_eos)
        complete(exchange, client);
    return 0;
}

static h2o_http1client_body_cb on_head(h2o_http1client_t *client, const char *error,
                                       int minor_version, int status, h2o_iovec_t message,
                                       h2o_header_t *headers, size_t header_count, int head_len)
{
    struct upstream_exchange *exchange = client->data;
    const char *why;

    (void)minor_version, (void)message, (void)head_len;
    if (error == h2o_http1client_error_is_eos) {
        close_connection(client);
        break_off(exchange, "a reply that cannot have a body");
        return NULL;
    }
    why = error != NULL ? error
                        : judge_head(status, headers, header_count,
                                     exchange->upstream->options.body_max, &exchange->body_left);
    if (why != NULL) {
        break_off(exchange, why);
        return NULL;
    }
    exchange->reply.status = status;
    return on_body;
}

/* Nothing that is asked here is answered in two steps.  Not 0: libh2o closes the connection. */
static int on_interim(h2o_http1client_t *client, int minor_version, int status, h2o_iovec_t message,
                      h2o_header_t *headers, size_t header_count)
{
    (void)minor_version, (void)status, (void)message, (void)headers, (void)header_count;
    break_off(client->data, "an interim reply");
    return -1;
}

/* ---- the request ---- */

static bool try_next(struct upstream_exchange *exchange, uint64_t now_ms);

static void not_connected(struct upstream_exchange *exchange, const char *why)
{
    struct upstream *upstream = exchange->upstream;
    uint64_t now_ms = clock_monotonic_ms();

    report_failure(exchange, why);
    upstream_address_release(exchange);
    upstream_doubt_addresses(upstream, now_ms);
    if (now_ms >= exchange->deadline_ms || !try_next(exchange, now_ms))
        end(exchange, UPSTREAM_NOT_SENT, why);
}

/* So many connections that idle, or will when their exchange has ended. */
static bool may_keep(const struct upstream *upstream)
{
    return upstream_idle_count(upstream) + upstream->keeping < upstream->options.keepalive_max;
}

/* Runs inside try_next when a connection idled, or none can be made at all. */
static h2o_http1client_head_cb on_connect(h2o_http1client_t *client, const char *error,
                                          h2o_iovec_t **ret_pieces, size_t *ret_piece_count,
                                          int *ret_method_is_head)
{
    struct upstream_exchange *exchange = client->data;
    struct upstream *upstream = exchange->upstream;

    if (error != NULL) {
        exchange->client = NULL;
        not_connected(exchange, error);
        return NULL;
    }
    exchange->phase = UPSTREAM_SENT;
    exchange->due_ms = exchange->deadline_ms;
    exchange->keep = may_keep(upstream);
    upstream->keeping += exchange->keep;
    exchange->request[1] = exchange->keep ? h2o_iovec_init(H2O_STRLIT("\r\n"))
                                          : h2o_iovec_init(H2O_STRLIT("Connection: close\r\n\r\n"));
    client->informational_cb = on_interim;
    *ret_pieces = exchange->request;
    *ret_piece_count = exchange->request[2].len > 0 ? 3 : 2;
    *ret_method_is_head = 0;
    return on_head;
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

/* False, and nothing has changed: there is no address to try.  now_ms is before the deadline. */
static bool try_next(struct upstream_exchange *exchange, uint64_t now_ms)
{
    struct upstream *upstream = exchange->upstream;
    struct upstream_address *address = upstream_address_take(upstream, exchange, now_ms);

    if (address == NULL)
        return false;
    exchange->phase = UPSTREAM_CONNECTING;
    exchange->due_ms = connect_due(exchange, now_ms);
    upstream_make_room(upstream, address);
    h2o_http1client_connect_with_pool(&exchange->client, exchange, &upstream->http, &address->pool,
                                      on_connect);
    if (exchange->phase != UPSTREAM_ENDED)
        upstream_watch(upstream, exchange->due_ms, now_ms);
    return true;
}

void upstream_exchange_begin(struct upstream_exchange *exchange, uint64_t now_ms)
{
    struct upstream *upstream = exchange->upstream;

    if (exchange->deadline_ms <= now_ms)
        end(exchange, UPSTREAM_NOT_SENT, "its time was over");
    else if (upstream->address_count == 0 && upstream->resolving != NULL)
        upstream_watch(upstream, exchange->due_ms, now_ms);
    else if (!try_next(exchange, now_ms))
        end(exchange, UPSTREAM_NOT_SENT,
            upstream->address_count == 0 ? "the name does not resolve"
                                         : "every address is left alone");
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
    if (exchange->client != NULL)
        h2o_http1client_cancel(exchange->client);
    exchange->client = NULL;
    switch (exchange->phase) {
    case UPSTREAM_WAITING:
        end(exchange, UPSTREAM_NOT_SENT, "the name was not resolved in time");
        break;
    case UPSTREAM_CONNECTING:
        not_connected(exchange, "no connection in time");
        break;
    case UPSTREAM_SENT:
        break_off(exchange, "no reply in time");
        break;
    case UPSTREAM_ENDED:
        break;
    }
}
