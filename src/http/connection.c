#include "http/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "http/framing.h"
#include "util/clock.h"
#include "util/log.h"

/* Connections taken at one wake-up: few, so that the neighbours get theirs. */
#define ACCEPT_BATCH 8
/* How long accepting pauses before it looks again at its share or at the limit; doubled each time
 * that nothing has changed, up to HTTP_SWEEP_MS. */
#define ACCEPT_PAUSE_FIRST_MS 20

struct http_connection *http_connection_of(h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

static void count_connections(struct http_server *server, int change)
{
    server->connections += (uint32_t)change;
    /* relaxed: the neighbours want a recent number, nothing else hangs on it */
    atomic_store_explicit(&server->slot->connections, server->connections, memory_order_relaxed);
}

static void set_paused(struct http_server *server, bool paused)
{
    server->accept_paused = paused;
    atomic_store_explicit(&server->slot->accept_paused, paused, memory_order_relaxed);
    /* Full fence, as in ring_neighbours: either the neighbour sees the flag, or this worker, which
     * judges its share once more now, sees the neighbour's count. */
    atomic_thread_fence(memory_order_seq_cst);
}

static void pause_accept(struct http_server *server)
{
    if (server->accept_paused || server->draining)
        return;
    set_paused(server, true);
    for (uint32_t i = 0; i < server->listener_count; ++i)
        h2o_socket_read_stop(server->listeners[i]);
    server->accept_pause_ms = ACCEPT_PAUSE_FIRST_MS;
    http_timer_set(&server->resume_timer, server->accept_pause_ms, 0);
}

static void resume_accept(struct http_server *server)
{
    http_timer_set(&server->resume_timer, 0, 0);
    set_paused(server, false);
    for (uint32_t i = 0; i < server->listener_count; ++i)
        h2o_socket_read_start(server->listeners[i], http_connection_on_accept);
}

enum share {
    SHARE_FREE, /* accept */
    SHARE_OVER, /* above the fair share of the pool: the neighbours should take the next one */
    SHARE_FULL, /* at MAX_CONNECTIONS: nobody may */
};

/* Whether this worker may take one more connection.  Somebody in a pool is always at or below the
 * average, so somebody takes what comes; and if that one hangs, see http_connection_resume. */
static enum share judge_share(const struct http_server *server)
{
    struct scoreboard_load load = scoreboard_pool_load(server->scoreboard, server->pool);

    if (load.connections >= server->settings->max_connections)
        return SHARE_FULL;
    if (load.serving > 1 && server->connections > load.serving_connections / load.serving)
        return SHARE_OVER;
    return SHARE_FREE;
}

/* Wakes the neighbours whose turn it is, now that a count has changed. */
static void ring_neighbours(struct http_server *server)
{
    struct scoreboard_load load;

    atomic_thread_fence(memory_order_seq_cst); /* see set_paused */
    load = scoreboard_pool_load(server->scoreboard, server->pool);
    if (load.serving < 2 || load.connections >= server->settings->max_connections)
        return;
    for (uint32_t i = 0; i < server->scoreboard->slot_count; ++i) {
        const struct scoreboard_slot *slot = &server->scoreboard->slots[i];
        /* relaxed: the fence above orders what matters, the rest is a hint */
        if (slot != server->slot &&
            atomic_load_explicit(&slot->accept_paused, memory_order_relaxed) != 0 &&
            atomic_load_explicit(&slot->pool, memory_order_relaxed) == server->pool &&
            atomic_load_explicit(&slot->connections, memory_order_relaxed) <=
                load.serving_connections / load.serving)
            (void)eventfd_write(server->bells[i], 1);
    }
}

void http_connection_on_bell(struct http_server *server)
{
    if (server->accept_paused && !server->draining && judge_share(server) == SHARE_FREE)
        resume_accept(server);
}

static void pause_control(struct http_server *server)
{
    h2o_socket_read_stop(server->control_listener);
}

/* Does nothing when accepting was not paused. */
static void resume_control(struct http_server *server)
{
    if (server->control_listener != NULL &&
        server->control_connections < HTTP_CONTROL_CONNECTIONS_MAX)
        h2o_socket_read_start(server->control_listener, http_connection_on_control_accept);
}

static void on_close(void *data)
{
    struct http_connection *connection = data;
    struct http_site *site = connection->site;
    struct http_server *server = site->server;

    free(connection);
    if (site->control) {
        --server->control_connections;
        resume_control(server);
        return;
    }
    count_connections(server, -1);
    http_connection_on_bell(server);
    ring_neighbours(server); /* they may wait at the limit of all */
}

/* NULL when nothing waits or nothing can be taken now; `pause` is called where the next attempt
 * would fail like this one. */
static h2o_socket_t *accept_socket(struct http_server *server, h2o_socket_t *listener,
                                   void (*pause)(struct http_server *server))
{
    h2o_socket_t *sock = h2o_evloop_socket_accept(listener);

    if (sock == NULL &&
        (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        if (server->now_ms != server->accept_failed_ms) /* one line a sweep is enough */
            log_warning("cannot accept a connection: %m; trying again shortly");
        server->accept_failed_ms = server->now_ms;
        pause(server);
    }
    return sock;
}

/* Hands a connection, which is counted already, to libh2o. */
static void serve(struct http_site *site, h2o_socket_t *sock)
{
    struct http_connection *connection = h2o_mem_alloc(sizeof(*connection));

    *connection =
        (struct http_connection){.site = site, .since_ms = site->server->now_ms, .reading = true};
    sock->on_close.cb = on_close;
    sock->on_close.data = connection;
    if (site->server->settings->access_log) {
        struct sockaddr_storage peer; /* asked now, while it is there, and kept by libh2o */
        (void)h2o_socket_getpeername(sock, (struct sockaddr *)&peer);
    }
    h2o_accept(&site->accept, sock);
}

/* false when nothing waits or nothing can be taken now. */
static bool accept_one(struct http_server *server, h2o_socket_t *listener)
{
    h2o_socket_t *sock = accept_socket(server, listener, pause_accept);

    if (sock == NULL)
        return false;
    count_connections(server, 1);
    metrics_add(server->metrics, METRICS_accepted, 1);
    ring_neighbours(server);
    serve(&server->site, sock);
    return true;
}

void http_connection_on_accept(h2o_socket_t *listener, const char *error)
{
    struct http_server *server = listener->data;

    if (error != NULL)
        return;
    for (int i = 0; i < ACCEPT_BATCH; ++i) {
        if (judge_share(server) != SHARE_FREE) {
            pause_accept(server);
            http_connection_on_bell(server);
            return;
        }
        if (!accept_one(server, listener))
            return;
    }
}

void http_connection_on_control_accept(h2o_socket_t *listener, const char *error)
{
    struct http_server *server = listener->data;
    h2o_socket_t *sock;

    if (error != NULL)
        return;
    while (server->control_connections < HTTP_CONTROL_CONNECTIONS_MAX) {
        sock = accept_socket(server, listener, pause_control);
        if (sock == NULL)
            return;
        ++server->control_connections;
        serve(&server->control, sock);
    }
    pause_control(server);
}

void http_connection_accept_waiting(struct http_server *server, h2o_socket_t *listener,
                                    uint32_t most)
{
    while (most-- > 0 && accept_one(server, listener))
        continue;
}

void http_connection_resume(struct http_server *server)
{
    enum share share = judge_share(server);
    bool taken = false;

    if (!server->accept_paused)
        return;
    if (share == SHARE_FREE) {
        resume_accept(server);
        return;
    }
    /* What still waits was left by a neighbour whose turn it was, and who is busy or hangs: one of
     * it is taken whatever the shares. */
    for (uint32_t i = 0; share == SHARE_OVER && i < server->listener_count; ++i)
        taken |= accept_one(server, server->listeners[i]);
    if (taken)
        server->accept_pause_ms = ACCEPT_PAUSE_FIRST_MS;
    else if (2 * server->accept_pause_ms <= HTTP_SWEEP_MS)
        server->accept_pause_ms *= 2;
    http_timer_set(&server->resume_timer, server->accept_pause_ms, 0);
}

/* libh2o's HTTP/1 connection cannot be closed from outside: it closes itself when it finds the
 * socket shut.  What the client sent meanwhile may still be read, and must not be acted upon. */
static void end_connection(struct http_connection *connection, h2o_socket_t *sock)
{
    connection->ended = true;
    (void)shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
}

/* The one path whose long bodies are not judged here, in its plain spelling. */
static bool is_large_path(const struct http_site *site, struct text path)
{
    struct text large = site->large_path;

    return large.base != NULL && path.len >= large.len &&
           memcmp(path.base, large.base, large.len) == 0 &&
           (path.len == large.len || path.base[large.len] == '?');
}

/* Whether a body that is still coming is longer than its path takes, as its head announces; or, of
 * a head that will be refused when the body is there, whether it gets longer than any may. */
static bool is_too_large(const struct http_site *site, const h2o_req_t *req,
                         const h2o_socket_t *sock)
{
    const struct settings *settings = site->server->settings;
    struct framing_head head;

    if (req->version == 0 || is_large_path(site, text_of(req->input.path)))
        return false;
    if (framing_check(sock->input->bytes, sock->input->size, &head) == NULL)
        return head.body_len > (uint64_t)settings->max_body_bytes;
    return sock->input->size > (size_t)(settings->max_header_bytes + settings->max_body_bytes);
}

/* What libh2o does itself where a head announces too long a body for any path: it answers, and
 * closes.  The answer becomes a problem document on its way (http/server.c). */
static void refuse_too_large(h2o_req_t *req, h2o_socket_t *sock)
{
    if (h2o_socket_is_writing(sock))
        return; /* "100 Continue" is on its way: the next sweep finds the rest here still */
    h2o_socket_read_stop(sock);
    h2o_send_error_generic(req, 413, "Content Too Large", "",
                           H2O_SEND_ERROR_HTTP1_CLOSE_CONNECTION);
}

/* A connection's phases, as the sweep tells them apart:
 *   answering  a handler or its answer is under way: no limit here (the handler has its deadline,
 *              the kernel ends unacknowledged bytes after WRITE_TIMEOUT)
 *   reading    some bytes of a request are here, or none ever came: REQUEST_TIMEOUT
 *   idle       between two requests: KEEPALIVE_TIMEOUT
 * A phase's beginning is known as of the sweep before it, so that a sweep is added: a limit may act
 * half a second late, and never early. */
static int sweep_one(h2o_req_t *req, void *data)
{
    struct http_server *server = data;
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct http_connection *connection = sock->on_close.data;
    const struct settings *settings = server->settings;
    bool answering = req->processed_at.at.tv_sec != 0;
    bool reading = !answering && sock->input->size > 0;
    uint64_t spent_ms;

    if (answering || (reading && !connection->reading)) {
        connection->since_ms = server->now_ms;
        connection->reading = reading;
    }
    spent_ms = server->now_ms - connection->since_ms;

    if (server->draining && server->now_ms >= server->drain_deadline_ms)
        end_connection(connection, sock);
    else if (answering)
        return 0;
    else if (is_too_large(connection->site, req, sock))
        refuse_too_large(req, sock);
    else if (spent_ms >= HTTP_SWEEP_MS + (uint64_t)(connection->reading
                                                        ? settings->request_timeout_ms
                                                        : settings->keepalive_timeout_ms))
        end_connection(connection, sock);
    else if (req->version == 0 && sock->input->size > (size_t)settings->max_header_bytes)
        end_connection(connection, sock);
    else if (server->draining && !reading && server->now_ms >= server->drain_idle_at_ms)
        end_connection(connection, sock);
    return 0;
}

void http_connection_sweep(struct http_server *server)
{
    server->now_ms = clock_monotonic_ms();
    resume_control(server); /* which a lack of something may have paused */
    H2O_HTTP1_CALLBACKS.foreach_request(&server->context, sweep_one, server);
}
