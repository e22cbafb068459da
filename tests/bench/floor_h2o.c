/* The bench's second floor: libh2o with a handler per path and fixed answers.
 *
 * What libh2o itself costs: its event loop, its HTTP/1 parser, its reply.  One worker, no log, no
 * filter, no request body looked at.  ticketd cannot be cheaper than this; tools/bench prints how
 * much dearer it is. */
#include "floor.h"

#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include <h2o.h>
#include <h2o/http1.h>

enum {
    ACCEPTS_PER_EVENT = 16,
    /* Also how long libh2o lets a connection idle: the bench opens many and looks at them. */
    REQUEST_TIMEOUT_MS = 60 * 1000,
    COMMON_FIELDS = 4,
    AVAILABLE_FIELDS = 6,
};

#define TEXT(literal) h2o_iovec_init(H2O_STRLIT(literal))

static h2o_globalconf_t config;
static h2o_context_t context;
static h2o_accept_ctx_t accept_context;

static h2o_iovec_t request_id_name, expose_headers_name;
static h2o_header_t fields[AVAILABLE_FIELDS];

static void make_fields(void)
{
    const h2o_header_t made[AVAILABLE_FIELDS] = {
        {&H2O_TOKEN_CONTENT_TYPE->buf, NULL, TEXT(FLOOR_CONTENT_TYPE)},
        {&request_id_name, NULL, TEXT(FLOOR_REQUEST_ID)},
        {&H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN->buf, NULL, TEXT(FLOOR_ALLOW_ORIGIN)},
        {&expose_headers_name, NULL, TEXT(FLOOR_EXPOSE_HEADERS)},
        /* of the stock alone */
        {&H2O_TOKEN_CACHE_CONTROL->buf, NULL, TEXT(FLOOR_CACHE_CONTROL)},
        {&H2O_TOKEN_ETAG->buf, NULL, TEXT(FLOOR_ETAG)},
    };

    request_id_name = TEXT("X-Request-ID");
    expose_headers_name = TEXT("Access-Control-Expose-Headers");
    memcpy(fields, made, sizeof(fields));
}

static int answer(h2o_req_t *req, h2o_iovec_t body, size_t field_count)
{
    static h2o_generator_t generator;
    h2o_headers_t *headers = &req->res.headers;

    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = body.len;
    h2o_vector_reserve(&req->pool, headers, field_count);
    memcpy(headers->entries, fields, field_count * sizeof(*fields));
    headers->size = field_count;
    h2o_start_response(req, &generator);
    h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

static int on_available(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")))
        return -1;
    return answer(req, TEXT(FLOOR_AVAILABLE_BODY), AVAILABLE_FIELDS);
}

static int on_purchase(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("POST")))
        return -1;
    return answer(req, TEXT(FLOOR_PURCHASE_BODY), COMMON_FIELDS);
}

static void on_accept(h2o_socket_t *listener, const char *error)
{
    h2o_socket_t *sock;

    if (error != NULL)
        return;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        if ((sock = h2o_evloop_socket_accept(listener)) == NULL)
            return;
        h2o_accept(&accept_context, sock);
    }
}

static void add_route(h2o_hostconf_t *host, const char *path,
                      int (*on_request)(h2o_handler_t *, h2o_req_t *))
{
    h2o_pathconf_t *pathconf = h2o_config_register_path(host, path, 0);

    h2o_create_handler(pathconf, sizeof(h2o_handler_t))->on_req = on_request;
}

static void configure(void)
{
    h2o_hostconf_t *host;

    make_fields();
    h2o_config_init(&config);
    config.server_name = h2o_iovec_init(NULL, 0); /* as ticketd */
    config.http1.upgrade_to_http2 = 0;
    config.http1.req_timeout = REQUEST_TIMEOUT_MS;
    host = h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), UINT16_MAX);
    add_route(host, FLOOR_AVAILABLE_PATH, on_available);
    add_route(host, FLOOR_PURCHASE_PATH, on_purchase);
}

int main(int argc, char **argv)
{
    int fd = floor_listen(floor_port_argument(argc, argv));
    h2o_socket_t *listener;

    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        err(1, "signal");
    configure();
    h2o_context_init(&context, h2o_evloop_create(), &config);
    accept_context.ctx = &context;
    accept_context.hosts = config.hosts;
    listener = h2o_evloop_socket_create(context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(listener, on_accept);
    /* A signal makes one turn fail; SIGTERM ends the process by its default action. */
    for (;;)
        h2o_evloop_run(context.loop, INT32_MAX);
}
