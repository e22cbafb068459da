#include "http/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "http/access.h"
#include "http/connection.h"
#include "http/event_stream.h"
#include "http/framing.h"
#include "http/path.h"
#include "util/clock.h"
#include "util/log.h"

/* libh2o's own limit of a request, out of the way: it follows the wall clock and is one budget for
 * idling, head and body.  The sweep ends what is slow. */
#define NEVER_MS (365ULL * 24 * 60 * 60 * 1000)
/* Answers of at least so many bytes are compressed where a path allows it. */
#define COMPRESS_MIN_BYTES    1024
#define COMPRESS_GZIP_QUALITY 1

struct http_path {
    h2o_handler_t super;
    struct http_site *site;
    struct path_pattern pattern;
    size_t body_max;
    uint16_t number; /* see http_server_number_path */
    http_on_request *on_request;
    void *context;
};

struct early_filter {
    h2o_filter_t super;
    struct http_server *server;
};

struct early_stream {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

/* What is answered to a body that is too long, by whoever finds it. */
#define TOO_LARGE "the request body is longer than this server accepts"

/* The raw head, as far as it is in the connection's buffer; libh2o has put names in lower case. */
static const char *judge_framing(h2o_req_t *req, struct framing_head *ret_head)
{
    const h2o_buffer_t *input = req->conn->callbacks->get_socket(req->conn)->input;

    return framing_check(input->bytes, input->size, ret_head);
}

static struct http_path *find_path(const struct http_site *site, struct text wanted,
                                   struct text *ret_parameter)
{
    for (uint32_t i = 0; i < site->path_count; ++i)
        if (path_matches(&site->paths[i]->pattern, wanted, ret_parameter))
            return site->paths[i];
    return NULL;
}

/* The path and query of an http or https URL, whose scheme framing has checked. */
static h2o_iovec_t path_of_url(h2o_iovec_t url)
{
    const char *end = url.base + url.len,
               *authority = (const char *)memchr(url.base, ':', url.len) + 3;
    const char *path = memchr(authority, '/', (size_t)(end - authority));

    return path == NULL ? h2o_iovec_init(H2O_STRLIT("/"))
                        : h2o_iovec_init(path, (size_t)(end - path));
}

/* The path that the request's target names, or NULL.  libh2o has found `handler` by prefix and only
 * for a target in origin form; the absolute form (RFC 9112 section 3.2.2) and the asterisk, which
 * framing lets pass with OPTIONS alone, end at "/". */
static struct http_path *resolve(struct http_path *handler, h2o_req_t *req,
                                 struct text *ret_parameter)
{
    h2o_iovec_t target = req->input.path;
    size_t query_at, *indexes;

    if (target.base[0] == '*')
        return find_path(handler->site, TEXT("/"), ret_parameter);
    if (target.base[0] == '/')
        return path_matches(&handler->pattern, text_of(req->path_normalized), ret_parameter)
                   ? handler
                   : NULL;
    target = path_of_url(target);
    target = h2o_url_normalize_path(&req->pool, target.base, target.len, &query_at, &indexes);
    return find_path(handler->site, text_of(target), ret_parameter);
}

static size_t body_max_of(const struct http_server *server, const struct http_path *path)
{
    return path == NULL ? (size_t)server->settings->max_body_bytes : path->body_max;
}

static int on_req(h2o_handler_t *super, h2o_req_t *req)
{
    struct http_path *handler = (struct http_path *)super;
    struct http_server *server = handler->site->server;
    struct http_exchange *exchange = http_exchange_begin(server, req);
    struct framing_head head = {0};
    const char *fault = judge_framing(req, &head);

    if (fault == NULL) /* which is where a target is judged, too */
        handler = resolve(handler, req, &exchange->parameter);
    if (fault == NULL && handler != NULL)
        exchange->number = handler->number;

    if (http_connection_of(req)->ended)
        http_problem_close(exchange, PROBLEM_malformed_request,
                           "it came after the connection's end");
    else if (fault != NULL)
        http_problem_close(exchange, PROBLEM_malformed_request, fault);
    else if (head.head_len > (size_t)server->settings->max_header_bytes)
        http_problem_close(exchange, PROBLEM_header_too_large,
                           "the request head is longer than this server accepts");
    else if (req->entity.len > body_max_of(server, handler))
        http_problem_close(exchange, PROBLEM_body_too_large, TOO_LARGE);
    else if (exchange->control && exchange->origin.base != NULL)
        http_problem(exchange, PROBLEM_origin_not_allowed, "no page may call this service");
    else if (handler == NULL)
        http_problem(exchange, PROBLEM_not_found, "there is nothing at this path");
    else
        handler->on_request(exchange, handler->context);
    return 0;
}

/* Replaces the body of an answer that libh2o makes itself; the first and last chunk. */
static void send_early_body(h2o_ostream_t *super, h2o_req_t *req, h2o_iovec_t *bufs, size_t bufcnt,
                            h2o_send_state_t state)
{
    struct early_stream *stream = (struct early_stream *)super;

    (void)bufs;
    h2o_ostream_send_next(&stream->super, req, &stream->body, bufcnt == 0 ? 0 : 1, state);
}

static enum problem_code early_code(int status, const char **ret_detail)
{
    switch (status) {
    case 413:
        *ret_detail = TOO_LARGE;
        return PROBLEM_body_too_large;
    case 417:
        *ret_detail = "the only expectation that is met here is 100-continue";
        return PROBLEM_expectation_failed;
    default:
        *ret_detail = "the body's length or transfer coding is not acceptable";
        return PROBLEM_malformed_request;
    }
}

/* libh2o answers some faults before a handler sees the request (body too long, unknown Expect,
 * broken framing of the body); those answers pass the filters of the fallback path, and become
 * problem documents here. */
static void on_early_answer(h2o_filter_t *super, h2o_req_t *req, h2o_ostream_t **slot)
{
    struct http_server *server = ((struct early_filter *)super)->server;
    struct http_exchange *exchange = http_exchange_begin(server, req);
    struct early_stream *stream;
    const char *detail;
    enum problem_code code = early_code(req->res.status, &detail);

    stream = (void *)h2o_add_ostream(req, sizeof(*stream), slot);
    stream->super.do_send = send_early_body;
    stream->body.base = h2o_mem_alloc_pool(&req->pool, PROBLEM_BODY_MAX);
    stream->body.len = problem_print(stream->body.base, code, detail, NULL);
    req->res.reason = problem_kind(code)->title;
    req->res.content_length = stream->body.len;
    req->res.headers.size = 0;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/problem+json"));
    http_count_answer(exchange, req->res.status);
    http_add_common_headers(exchange);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                   H2O_STRLIT("no-store"));
    h2o_setup_next_ostream(req, &stream->super.next);
}

static void init_site(struct http_server *server, struct http_site *site, const char *name)
{
    h2o_hostconf_t *host =
        h2o_config_register_host(&server->config, h2o_iovec_init(name, strlen(name)), 65535);
    struct early_filter *filter = (void *)h2o_create_filter(&host->fallback_path, sizeof(*filter));

    filter->super.on_setup_ostream = on_early_answer;
    filter->server = server;
    if (server->settings->access_log)
        http_access_register(&host->fallback_path);
    site->server = server;
    site->hosts[0] = host;
    site->accept = (h2o_accept_ctx_t){.ctx = &server->context, .hosts = site->hosts};
}

static void configure(struct http_server *server)
{
    h2o_globalconf_t *config = &server->config;

    h2o_config_init(config);
    config->server_name = h2o_iovec_init(NULL, 0);
    config->http1.req_timeout = NEVER_MS;
    /* HTTP/2 in this version has known denial-of-service faults: neither h2c nor the preface. */
    config->http1.upgrade_to_http2 = 0;
    config->max_request_entity_size = (size_t)server->settings->max_body_bytes;
    init_site(server, &server->site, "default");
    init_site(server, &server->control, "control");
    server->control.control = true;
}

int http_server_init(struct http_server *server, const struct http_server_options *options)
{
    int result;

    *server = (struct http_server){
        .settings = options->settings,
        .scoreboard = options->scoreboard,
        .slot = &options->scoreboard->slots[options->slot],
        .metrics = metrics_recorder_or_none(options->metrics),
        .pool = options->pool,
        .bells = options->bells,
        .on_bell = options->on_bell,
        .bell_context = options->context,
    };
    cors_init(&server->cors, server->settings->cors_allow_origins);
    configure(server);
    result = request_id_source_init(&server->request_ids);
    memcpy(&server->draw, server->request_ids.prefix, sizeof(server->draw));
    return result;
}

/* libh2o's own copy of what a path begins with. */
static h2o_pathconf_t *register_prefix(struct http_site *site, struct text prefix)
{
    h2o_iovec_t terminated = h2o_strdup(NULL, prefix.base, prefix.len);
    h2o_pathconf_t *pathconf = h2o_config_register_path(site->hosts[0], terminated.base, 0);

    free(terminated.base);
    return pathconf;
}

static h2o_pathconf_t *add_path(struct http_site *site, const char *path, size_t body_max,
                                http_on_request *on_request, void *context)
{
    struct path_pattern pattern = path_pattern_of(path);
    h2o_pathconf_t *pathconf = register_prefix(site, pattern.fixed);
    struct http_path *handler = (void *)h2o_create_handler(pathconf, sizeof(*handler));

    handler->super.on_req = on_req;
    handler->site = site;
    handler->pattern = pattern;
    handler->body_max = body_max;
    handler->on_request = on_request;
    handler->context = context;
    assert(site->path_count < HTTP_PATHS_MAX);
    site->paths[site->path_count++] = handler;
    if (site->server->settings->access_log)
        http_access_register(pathconf);
    return pathconf;
}

void http_server_add_path(struct http_site *site, const char *path, bool compress,
                          http_on_request *on_request, void *context)
{
    h2o_pathconf_t *pathconf =
        add_path(site, path, (size_t)site->server->settings->max_body_bytes, on_request, context);

    if (compress) {
        h2o_compress_args_t gzip = {.min_size = COMPRESS_MIN_BYTES};
        gzip.gzip.quality = COMPRESS_GZIP_QUALITY;
        gzip.brotli.quality = -1;
        h2o_compress_register(pathconf, &gzip);
    }
}

/* libh2o knows one limit of a body for all paths, which it looks at when it has the head: that must
 * be the greatest one.  The others are judged when the body is there (on_req), or while it is still
 * coming (http_connection_sweep). */
void http_server_add_large_path(struct http_site *site, const char *path, size_t body_max,
                                http_on_request *on_request, void *context)
{
    h2o_globalconf_t *config = &site->server->config;

    assert(site->large_path.base == NULL);
    (void)add_path(site, path, body_max, on_request, context);
    site->large_path = (struct text){.base = path, .len = strlen(path)};
    if (config->max_request_entity_size < body_max)
        config->max_request_entity_size = body_max;
}

void http_server_number_path(struct http_site *site, uint32_t number)
{
    assert(number <= UINT16_MAX);
    site->paths[site->path_count - 1]->number = (uint16_t)number;
}

static void on_sweep(void *server)
{
    http_connection_sweep(server);
}

static void on_resume(void *server)
{
    http_connection_resume(server);
}

static void on_bell(h2o_socket_t *bell, const char *error)
{
    struct http_server *server = bell->data;
    eventfd_t rung;

    if (error != NULL || eventfd_read(h2o_socket_get_fd(bell), &rung) != 0)
        return;
    http_connection_on_bell(server);
    if (server->on_bell != NULL)
        server->on_bell(server->bell_context);
}

static h2o_socket_t *listen_on(struct http_server *server, int fd, h2o_socket_cb on_accept)
{
    h2o_socket_t *listener =
        h2o_evloop_socket_create(server->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);

    listener->data = server;
    h2o_socket_read_start(listener, on_accept);
    return listener;
}

int http_server_start(struct http_server *server, const struct http_server_options *options)
{
    h2o_loop_t *loop = h2o_evloop_create();
    int result;

    assert(options->listener_count <= HTTP_LISTENERS_MAX);
    h2o_context_init(&server->context, loop, &server->config);
    if ((result = http_timer_init(&server->sweep_timer, loop, on_sweep, server)) < 0 ||
        (result = http_timer_init(&server->resume_timer, loop, on_resume, server)) < 0 ||
        (result = event_sources_start(server)) < 0)
        return result;
    server->bell =
        h2o_evloop_socket_create(loop, options->bells[options->slot], H2O_SOCKET_FLAG_DONT_READ);
    server->bell->data = server;
    h2o_socket_read_start(server->bell, on_bell);
    server->now_ms = clock_monotonic_ms();
    http_timer_set(&server->sweep_timer, HTTP_SWEEP_MS, HTTP_SWEEP_MS);
    for (uint32_t i = 0; i < options->listener_count; ++i)
        server->listeners[server->listener_count++] =
            listen_on(server, options->listeners[i], http_connection_on_accept);
    if (options->control_listener != -1)
        server->control_listener =
            listen_on(server, options->control_listener, http_connection_on_control_accept);
    return 0;
}

void http_server_drain(struct http_server *server, bool accept_waiting, uint64_t idle_ms,
                       uint64_t deadline_ms)
{
    server->now_ms = clock_monotonic_ms();
    if (!server->draining)
        server->drain_idle_at_ms = server->drain_deadline_ms = UINT64_MAX;
    server->draining = true;
    server->drain_idle_at_ms = clock_earlier(server->drain_idle_at_ms, server->now_ms + idle_ms);
    server->drain_deadline_ms =
        clock_earlier(server->drain_deadline_ms, server->now_ms + deadline_ms);
    http_timer_set(&server->resume_timer, 0, 0);
    for (uint32_t i = 0; i < server->listener_count; ++i) {
        if (accept_waiting) /* the kernel lets one more wait than the backlog says */
            http_connection_accept_waiting(server, server->listeners[i],
                                           (uint32_t)server->settings->listen_backlog + 1);
        h2o_socket_close(server->listeners[i]);
    }
    server->listener_count = 0;
    if (server->control_listener != NULL) {
        if (accept_waiting)
            http_connection_on_control_accept(server->control_listener, NULL);
        h2o_socket_close(server->control_listener);
    }
    server->control_listener = NULL;
    h2o_context_request_shutdown(&server->context);
    event_sources_drain(server);
}

bool http_server_drained(const struct http_server *server)
{
    return server->draining && server->connections == 0 && server->control_connections == 0;
}
