#include "http/exchange.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>

#include "http/connection.h"
#include "http/entity_tag.h"
#include "http/server.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/traceparent.h"

/* Headers of ours on one answer, at most, without those of its route. */
#define REPLY_HEADERS_MAX 13
/* At most one line so often about requests that are refused with 5xx. */
#define WARN_EVERY_MS 1000
/* The name of a header that libh2o has no token for. */
#define HEADER(literal)                                                                            \
    {                                                                                              \
        .base = (char *)(literal), .len = sizeof(literal) - 1                                      \
    }

void *http_alloc(struct http_exchange *exchange, size_t size)
{
    return h2o_mem_alloc_pool(&exchange->req->pool, size);
}

struct gone_guard {
    void (*cancel)(void *context);
    void *context;
};

static void on_gone(void *data)
{
    struct gone_guard *guard = data;

    guard->cancel(guard->context);
}

void http_on_gone(struct http_exchange *exchange, void (*cancel)(void *context), void *context)
{
    /* a shared entry is disposed of before the rest of the pool */
    struct gone_guard *guard = h2o_mem_alloc_shared(&exchange->req->pool, sizeof(*guard), on_gone);

    *guard = (struct gone_guard){.cancel = cancel, .context = context};
}

/* A socket that waits for an answer has something to read: the next request, or the connection's
 * end.  Both are libh2o's to judge when the answer is out, as if the socket had not been watched.
 */
static void on_parked_read(h2o_socket_t *sock, const char *error)
{
    struct http_connection *connection = sock->on_close.data;
    struct http_exchange *exchange = connection->exchange;

    (void)error;
    h2o_socket_read_stop(sock);
    if (exchange->on_left != NULL && http_peer_has_left(exchange))
        exchange->on_left(exchange->left_context);
}

static h2o_socket_t *socket_of(const struct http_exchange *exchange)
{
    return exchange->req->conn->callbacks->get_socket(exchange->req->conn);
}

/* The request's own bytes may be in the socket's buffer, which reading on could move: so nothing is
 * read, and the callback only learns that there is something. */
void http_exchange_park(struct http_exchange *exchange)
{
    h2o_socket_t *sock = socket_of(exchange);

    assert(!h2o_socket_is_reading(sock));
    h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, on_parked_read);
    exchange->parked = true;
}

void http_on_left(struct http_exchange *exchange, void (*on_left)(void *context), void *context)
{
    exchange->on_left = on_left;
    exchange->left_context = context;
}

/* Leaves the socket as libh2o knows it while it writes an answer: stopped.  Its start comes in the
 * same turn of the loop if the answer leaves at once, so that the poller hears of neither. */
static void unpark(struct http_exchange *exchange)
{
    h2o_socket_t *sock = socket_of(exchange);

    h2o_socket_dont_read(sock, 0);
    h2o_socket_read_stop(sock);
    exchange->parked = false;
}

bool http_peer_has_left(const struct http_exchange *exchange)
{
    struct pollfd peer = {.fd = h2o_socket_get_fd(socket_of(exchange)), .events = POLLRDHUP};

    return poll(&peer, 1, 0) == 1 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

struct text http_path_parameter(const struct http_exchange *exchange)
{
    return exchange->parameter;
}

struct text http_header(const struct http_exchange *exchange, struct text name)
{
    const h2o_headers_t *headers = &exchange->req->headers;

    for (size_t i = 0; i < headers->size; ++i)
        if (text_equal(text_of(*headers->entries[i].name), name))
            return text_of(headers->entries[i].value);
    return (struct text){.base = NULL};
}

/* Where a header's value is kept, or NULL for one that no route asks for in every request. */
static struct text *place_of(struct http_exchange *exchange, struct text name)
{
    switch (name.len) {
    case sizeof("origin") - 1:
        return text_equal(name, TEXT("origin")) ? &exchange->origin : NULL;
    case sizeof("traceparent") - 1:
        return text_equal(name, TEXT("traceparent")) ? &exchange->traceparent : NULL;
    case sizeof("content-type") - 1:
        return text_equal(name, TEXT("content-type"))   ? &exchange->content_type
               : text_equal(name, TEXT("x-request-id")) ? &exchange->request_id
                                                        : NULL;
    case sizeof("idempotency-key") - 1:
        return text_equal(name, TEXT("idempotency-key")) ? &exchange->idempotency_key : NULL;
    default:
        return NULL;
    }
}

/* The blanks that may stand behind a value are not its own, and libh2o leaves them there. */
static struct text sane_trace(struct text value)
{
    while (value.len > 0 && (value.base[value.len - 1] == ' ' || value.base[value.len - 1] == '\t'))
        --value.len;
    return traceparent_is_sane(value) ? value : (struct text){.base = NULL};
}

static void find_headers(struct http_exchange *exchange)
{
    const h2o_headers_t *headers = &exchange->req->headers;

    exchange->origin = exchange->content_type = exchange->request_id = exchange->idempotency_key =
        exchange->traceparent = (struct text){.base = NULL};
    exchange->idempotency_key_repeated = false;
    for (size_t i = 0; i < headers->size; ++i) {
        struct text *place = place_of(exchange, text_of(*headers->entries[i].name));
        if (place == NULL)
            continue;
        if (place->base == NULL)
            *place = text_of(headers->entries[i].value);
        else if (place == &exchange->idempotency_key)
            exchange->idempotency_key_repeated = true;
    }
    exchange->traceparent = sane_trace(exchange->traceparent);
}

struct http_exchange *http_exchange_begin(struct http_server *server, h2o_req_t *req)
{
    struct http_exchange *exchange = h2o_mem_alloc_pool(&req->pool, sizeof(*exchange));
    struct http_connection *connection = http_connection_of(req);

    exchange->req = req;
    exchange->server = server;
    exchange->control = connection->site->control;
    exchange->same_origin = false;
    exchange->parked = false;
    exchange->on_left = NULL;
    exchange->began_ns = clock_monotonic_ns();
    exchange->number = 0;
    find_headers(exchange);
    if (!request_id_is_sane(exchange->request_id)) {
        request_id_make(&server->request_ids, exchange->made_id);
        exchange->request_id =
            (struct text){.base = exchange->made_id, .len = sizeof(exchange->made_id)};
    }
    connection->exchange = exchange;
    connection->since_ms = server->now_ms;
    connection->reading = false;
    return exchange;
}

/* Whether a page that this very host served is calling: browsers send its Origin too. */
static bool is_same_origin(const struct http_exchange *exchange)
{
    struct text origin = exchange->origin, host = text_of(exchange->req->input.authority);
    size_t prefix_len = origin.len - host.len;

    return host.len > 0 && origin.len > host.len &&
           text_equal((struct text){.base = origin.base + prefix_len, .len = host.len}, host) &&
           (text_equal((struct text){.base = origin.base, .len = prefix_len}, TEXT("http://")) ||
            text_equal((struct text){.base = origin.base, .len = prefix_len}, TEXT("https://")));
}

bool http_origin_allowed(const struct http_exchange *exchange)
{
    return exchange->origin.base == NULL ||
           cors_allows(&exchange->server->cors, exchange->origin) || is_same_origin(exchange);
}

static void add(h2o_req_t *req, const h2o_iovec_t *name, struct text value)
{
    h2o_header_t *slot = &req->res.headers.entries[req->res.headers.size++];

    assert(req->res.headers.size <= req->res.headers.capacity);
    slot->name = (h2o_iovec_t *)name;
    slot->orig_name = NULL;
    slot->value = iovec_of(value);
}

static void add_common(struct http_exchange *exchange)
{
    static const h2o_iovec_t request_id = HEADER("X-Request-ID");
    static const h2o_iovec_t expose = HEADER("Access-Control-Expose-Headers");
    const struct cors *cors = &exchange->server->cors;
    h2o_req_t *req = exchange->req;

    add(req, &request_id, exchange->request_id);
    if (exchange->control || exchange->same_origin)
        return;
    if (cors->any) {
        /* on every answer, asked from another origin or not: a shared cache may keep it for both */
        add(req, &H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN->buf, TEXT("*"));
        add(req, &expose, TEXT(CORS_EXPOSED_HEADERS));
        return;
    }
    add(req, &H2O_TOKEN_VARY->buf, TEXT("Origin"));
    if (exchange->origin.base != NULL && cors_allows(cors, exchange->origin)) {
        add(req, &H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN->buf, exchange->origin);
        add(req, &expose, TEXT(CORS_EXPOSED_HEADERS));
    }
}

void http_add_common_headers(struct http_exchange *exchange)
{
    h2o_req_t *req = exchange->req;

    h2o_vector_reserve(&req->pool, &req->res.headers, req->res.headers.size + REPLY_HEADERS_MAX);
    add_common(exchange);
}

static void add_preflight(h2o_req_t *req)
{
    static const h2o_iovec_t methods = HEADER("Access-Control-Allow-Methods");
    static const h2o_iovec_t headers = HEADER("Access-Control-Allow-Headers");
    static const h2o_iovec_t max_age = HEADER("Access-Control-Max-Age");

    add(req, &methods, TEXT(CORS_ALLOWED_METHODS));
    add(req, &headers, TEXT(CORS_ALLOWED_HEADERS));
    add(req, &max_age, TEXT(CORS_MAX_AGE_SECONDS));
}

/* A name of a route's own is not among libh2o's tokens, and the request's memory holds it. */
static void add_fields(struct http_exchange *exchange, const struct http_reply *reply)
{
    assert(reply->field_count <= HTTP_FIELDS_MAX);
    for (uint32_t i = 0; i < reply->field_count; ++i) {
        h2o_iovec_t *name = http_alloc(exchange, sizeof(*name));
        *name = iovec_of(reply->fields[i].name);
        add(exchange->req, name, reply->fields[i].value);
    }
}

static void add_headers(struct http_exchange *exchange, const struct http_reply *reply)
{
    static const h2o_iovec_t replayed = HEADER("Idempotent-Replayed");
    static const h2o_iovec_t key = HEADER("Idempotency-Key");
    h2o_req_t *req = exchange->req;

    /* as few as may be: more would not fit into the request's first chunk of memory */
    h2o_vector_reserve(&req->pool, &req->res.headers, REPLY_HEADERS_MAX + reply->field_count);
    if (reply->content_type.len != 0)
        add(req, &H2O_TOKEN_CONTENT_TYPE->buf, reply->content_type);
    add_common(exchange);
    if (reply->cache_control.len != 0)
        add(req, &H2O_TOKEN_CACHE_CONTROL->buf, reply->cache_control);
    if (reply->allow.len != 0)
        add(req, &H2O_TOKEN_ALLOW->buf, reply->allow);
    if (reply->retry_after.len != 0)
        add(req, &H2O_TOKEN_RETRY_AFTER->buf, reply->retry_after);
    if (reply->idempotency_key.len != 0)
        add(req, &key, reply->idempotency_key);
    if (reply->etag.len != 0)
        add(req, &H2O_TOKEN_ETAG->buf, reply->etag);
    if (reply->replayed)
        add(req, &replayed, TEXT("true"));
    if (reply->preflight)
        add_preflight(req);
    add_fields(exchange, reply);
}

bool http_has_entity(const struct http_exchange *exchange, struct text etag)
{
    return entity_tag_matches(http_header(exchange, TEXT("if-none-match")), etag);
}

static enum metrics_method method_of(struct text method)
{
    return text_equal(method, TEXT("POST"))      ? METRICS_METHOD_POST
           : text_equal(method, TEXT("GET"))     ? METRICS_METHOD_GET
           : text_equal(method, TEXT("HEAD"))    ? METRICS_METHOD_HEAD
           : text_equal(method, TEXT("OPTIONS")) ? METRICS_METHOD_OPTIONS
                                                 : METRICS_METHOD_OTHER;
}

void http_count_answer(const struct http_exchange *exchange, int status)
{
    metrics_request(exchange->server->metrics,
                    (struct metrics_request_key){
                        .route = exchange->number,
                        .status = (uint16_t)status,
                        .method = (uint8_t)method_of(text_of(exchange->req->input.method)),
                    },
                    clock_monotonic_ns() - exchange->began_ns);
}

/* Up to the body. */
static void begin(struct http_exchange *exchange, const struct http_reply *reply,
                  size_t content_length, h2o_generator_t *generator)
{
    h2o_req_t *req = exchange->req;

    if (exchange->parked)
        unpark(exchange);
    req->res.status = reply->status;
    req->res.reason = reply->reason;
    req->res.content_length = content_length;
    if (reply->close || exchange->server->draining)
        req->http1_is_persistent = 0;
    add_headers(exchange, reply);
    http_count_answer(exchange, reply->status);
    h2o_start_response(req, generator);
}

void http_reply(struct http_exchange *exchange, const struct http_reply *reply)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_req_t *req = exchange->req;
    h2o_iovec_t body = iovec_of(reply->body);

    /* 204 has no content, and so no length of it (RFC 9110 section 8.6); that of 304 would be the
     * length of what the client has */
    begin(exchange, reply,
          reply->status == 204 || reply->status == 304 ? SIZE_MAX : reply->body.len, &generator);
    if (body.len == 0 ||
        h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD")))
        h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
    else
        h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
}

void http_reply_open(struct http_exchange *exchange, const struct http_reply *reply,
                     h2o_generator_t *generator)
{
    exchange->req->http1_is_persistent = 0;
    begin(exchange, reply, SIZE_MAX, generator);
}

struct problem_extra {
    const char *pointer;
    struct text allow;
    struct text idempotency_key;
    bool close;
};

void http_log_problem(struct http_exchange *exchange, struct text request_id,
                      enum problem_code code, const char *detail)
{
    const struct problem_kind *kind = problem_kind(code);
    struct http_server *server = exchange->server;
    bool warn = kind->status >= 500 &&
                (server->warned_ms == 0 || server->now_ms >= server->warned_ms + WARN_EVERY_MS);

    log_request(warn ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, request_id.base, request_id.len,
                "answered %d %s: %s", kind->status, kind->code, detail);
    if (warn) {
        if (server->unwarned > 0)
            log_warning("%" PRIu32 " more were refused since the last such line", server->unwarned);
        server->warned_ms = server->now_ms;
        server->unwarned = 0;
    } else if (kind->status >= 500) {
        ++server->unwarned;
    }
}

static struct text draw_retry_after(struct http_server *server)
{
    static const char seconds[HTTP_RETRY_AFTER_MAX_S][1] = {"1", "2", "3"};

    return (struct text){.base = seconds[http_draw(server) % HTTP_RETRY_AFTER_MAX_S],
                         .len = sizeof(seconds[0])};
}

static void send_problem(struct http_exchange *exchange, enum problem_code code, const char *detail,
                         const struct problem_extra *extra)
{
    const struct problem_kind *kind = problem_kind(code);
    char *body = http_alloc(exchange, PROBLEM_BODY_MAX);
    size_t len = problem_print(body, code, detail, extra->pointer);

    http_log_problem(exchange, exchange->request_id, code, detail);
    http_reply(exchange, &(struct http_reply){
                             .status = kind->status,
                             .reason = kind->title,
                             .content_type = TEXT("application/problem+json"),
                             .body = {.base = body, .len = len},
                             .cache_control = TEXT("no-store"),
                             .allow = extra->allow,
                             .retry_after = kind->status == 503 ? draw_retry_after(exchange->server)
                                                                : (struct text){0},
                             .idempotency_key = extra->idempotency_key,
                             .close = extra->close,
                         });
}

void http_problem(struct http_exchange *exchange, enum problem_code code, const char *detail)
{
    send_problem(exchange, code, detail, &(struct problem_extra){.pointer = NULL});
}

void http_problem_at(struct http_exchange *exchange, enum problem_code code, const char *detail,
                     const char *pointer)
{
    send_problem(exchange, code, detail, &(struct problem_extra){.pointer = pointer});
}

void http_problem_allow(struct http_exchange *exchange, enum problem_code code, const char *detail,
                        struct text allow)
{
    send_problem(exchange, code, detail, &(struct problem_extra){.allow = allow});
}

/* A string of RFC 9651 section 3.3.3. */
static struct text quote(struct http_exchange *exchange, struct text key)
{
    char *quoted = http_alloc(exchange, 2 * key.len + 2), *end = quoted;

    *end++ = '"';
    for (size_t i = 0; i < key.len; ++i) {
        if (key.base[i] == '"' || key.base[i] == '\\')
            *end++ = '\\';
        *end++ = key.base[i];
    }
    *end++ = '"';
    return (struct text){.base = quoted, .len = (size_t)(end - quoted)};
}

void http_problem_key(struct http_exchange *exchange, enum problem_code code, const char *detail,
                      struct text key)
{
    send_problem(exchange, code, detail,
                 &(struct problem_extra){.idempotency_key = quote(exchange, key)});
}

void http_problem_close(struct http_exchange *exchange, enum problem_code code, const char *detail)
{
    send_problem(exchange, code, detail, &(struct problem_extra){.close = true});
}
