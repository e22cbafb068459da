/* libh2o set up for one worker: its limits, its paths, its listeners, its connections, its drain.
 * Made after fork and never shared. */
#ifndef TICKETD_HTTP_SERVER_H
#define TICKETD_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "http/cors.h"
#include "http/exchange.h"
#include "http/h2o.h"
#include "http/timer.h"
#include "metrics/metrics.h"
#include "scoreboard/scoreboard.h"

/* Most listening sockets of one pool. */
#define HTTP_LISTENERS_MAX 64
/* Most paths of one site. */
#define HTTP_PATHS_MAX 32
/* Most connections of the control site in one worker: they come on top of MAX_CONNECTIONS. */
#define HTTP_CONTROL_CONNECTIONS_MAX 16
/* How often connections are swept; a limit of time acts up to two sweeps late, never early. */
#define HTTP_SWEEP_MS 250

/* What a path does with a request whose framing is sound.  Must answer, now or later. */
typedef void http_on_request(struct http_exchange *exchange, void *context);

struct http_server_options {
    const struct settings *settings; /* borrowed */
    struct scoreboard *scoreboard;   /* borrowed */
    uint32_t slot;                   /* this worker's */
    uint32_t pool;
    struct metrics_recorder *metrics; /* borrowed; NULL: nothing is counted */
    const int *bells; /* eventfds by slot: to wake neighbours, to be woken; borrowed */
    /* runs in the loop whenever this worker's bell was rung; NULL: nothing else comes by it */
    void (*on_bell)(void *context);
    void *context;
    const int *listeners; /* inherited descriptors; this process's copies become the server's */
    uint32_t listener_count;
    int control_listener; /* the same for the control site; -1: none */
};

struct http_path;
struct event_source;

/* A set of paths that only the connections of its own listeners see, whatever Host they name. */
struct http_site {
    struct http_server *server;
    /* The operator's: no page of any origin may call it, and it stays out of shares and limits of
     * the public's connections. */
    bool control;
    h2o_hostconf_t *hosts[2]; /* its own, and the end of the list */
    h2o_accept_ctx_t accept;
    struct http_path *paths[HTTP_PATHS_MAX];
    uint32_t path_count;
    struct text large_path; /* see http_server_add_large_path; base NULL: none */
};

struct http_server {
    /* fixed after start */
    const struct settings *settings;
    struct scoreboard *scoreboard;
    struct scoreboard_slot *slot;
    struct metrics_recorder *metrics;
    uint32_t pool;
    const int *bells;
    void (*on_bell)(void *context);
    void *bell_context;
    struct cors cors;
    h2o_globalconf_t config;
    struct http_site site; /* the public's */
    struct http_site control;
    struct event_source *event_sources; /* of http/event_stream.h, linked */

    /* the loop's */
    h2o_context_t context;
    h2o_socket_t *listeners[HTTP_LISTENERS_MAX];
    uint32_t listener_count;
    struct request_id_source request_ids;
    struct http_timer sweep_timer;
    struct http_timer resume_timer;
    h2o_socket_t *bell;
    uint64_t now_ms;                /* clock_monotonic_ms() at the last sweep */
    uint32_t connections;           /* the public's */
    uint32_t streams;               /* of all sources and both sites */
    uint32_t control_streams;       /* the control site's */
    h2o_socket_t *control_listener; /* NULL: none, or draining */
    uint32_t control_connections;
    uint64_t accept_failed_ms; /* now_ms when accept last failed for want of something */
    uint64_t warned_ms;        /* now_ms when a refusal was last logged as a warning */
    uint32_t unwarned;         /* refusals since then */
    uint32_t draw;             /* http_draw's state */
    bool accept_paused;
    uint32_t accept_pause_ms;
    bool draining;
    uint64_t drain_idle_at_ms;
    uint64_t drain_deadline_ms;
};

/* Prepares limits and configuration.  Call http_server_add_path next, then http_server_start.
 * 0 or -errno. */
int http_server_init(struct http_server *server, const struct http_server_options *options);

/* Serves a path of a site (&server->site or &server->control), exactly, or one with a parameter as
 * its last segment ("/orders/{id}", see http_path_parameter); what no path takes gets 404.  Of
 * two paths of which one begins with the other the longer comes first; a site needs "/".
 * `compress`: gzip for answers above 1 KB.  `path` and `context` are borrowed. */
void http_server_add_path(struct http_site *site, const char *path, bool compress,
                          http_on_request *on_request, void *context);

/* The same for the one path of a site whose bodies have a limit of their own, in place of
 * MAX_BODY_BYTES.  Only in its plain spelling is a long body taken however slowly it comes. */
void http_server_add_large_path(struct http_site *site, const char *path, size_t body_max,
                                http_on_request *on_request, void *context);

/* Counts what the path that was added last answers under that number; without one under 0, as what
 * no path takes. */
void http_server_number_path(struct http_site *site, uint32_t number);

/* Begins to accept.  The loop is the caller's to run: server->context.loop.  0 or -errno. */
int http_server_start(struct http_server *server, const struct http_server_options *options);

/* Stops accepting (after taking what already waits in the kernel, if the listeners are about to
 * close for good) and lets connections end: the next answer on each says close, idle ones are ended
 * after idle_ms, all after deadline_ms.  Of two calls the earlier times hold. */
void http_server_drain(struct http_server *server, bool accept_waiting, uint64_t idle_ms,
                       uint64_t deadline_ms);

/* Not a secret, only spread, so that many clients do not all come back at one time: a step of a
 * linear congruential generator (D. Knuth, TAOCP vol. 2, section 3.3.4), of which the upper half,
 * the good one, is returned. */
static inline uint32_t http_draw(struct http_server *server)
{
    server->draw = server->draw * 1664525 + 1013904223;
    return server->draw >> 16;
}

/* True when a draining server has no connection left. */
bool http_server_drained(const struct http_server *server);

#endif
