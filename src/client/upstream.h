/* One worker's way to an HTTP/1.1 service behind a URL: its addresses, the connections to them, and
 * one exchange at a time on each of these.  On libh2o's sockets and its pool of idle connections,
 * but not on its http1client: that knows neither a limit on connections, nor a second address, nor
 * a clock that nobody sets, and a reply with a broken Content-Length makes it abort the process.
 *
 * - The name of a URL is resolved off the loop (libh2o's resolver thread), and again every
 *   UPSTREAM_RESOLVE_MS and after a failure to connect, at most once a second; the addresses that
 *   were known serve until new ones are.  An address that stays keeps its connections and breaker.
 * - Each address has a circuit breaker (client/breaker.h).  A call goes to the first address, in
 * the resolver's order beginning at the one that served last, whose breaker admits it; if it cannot
 * be connected, to the next, within the same call.
 * - At most connections_max connections are open, idle ones included, and at most keepalive_max
 * stay open without a call: beyond these a request asks for its connection to be closed.
 * - An exchange that gets no reply in time closes the idle connections to its address too: a
 * process that has stopped may hold them as well, and a new one is taken by another.
 * - A reply is believed only when it is complete: status line and headers, one Content-Length, a
 *   body of just that length within body_max, and Content-Type application/json or
 *   application/problem+json.
 *
 * For a ticket worker's loop, made after fork; one thread; no function blocks. */
#ifndef TICKETD_CLIENT_UPSTREAM_H
#define TICKETD_CLIENT_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/endpoint.h"
#include "ticketd/text.h"

/* How long an answer of the resolver is used. */
#define UPSTREAM_RESOLVE_MS 30000
/* Most addresses of one name; more are left out. */
#define UPSTREAM_ADDRESSES_MAX 16

struct metrics_recorder;
struct scoreboard_slot;
struct st_h2o_context_t; /* libh2o's, kept out of this header */
struct upstream;         /* opaque */

struct upstream_options {
    struct st_h2o_context_t *context; /* the worker's, with its loop; borrowed */
    struct endpoint endpoint;         /* where; copied */
    uint32_t connections_max;         /* ≥ 1 */
    uint32_t keepalive_max;           /* ≤ connections_max */
    uint32_t breaker_failures;
    uint32_t breaker_open_ms;
    uint32_t body_max;                /* of a reply, bytes */
    struct metrics_recorder *metrics; /* borrowed */
};

enum upstream_end {
    UPSTREAM_REPLIED = 0, /* complete and well-formed, whatever its status */
    /* No byte of the request has reached a peer: it may be sent again without a second thought. */
    UPSTREAM_NOT_SENT,
    /* It was sent, wholly or in part, and no reply can be believed: it may have been carried out.
     */
    UPSTREAM_BROKEN,
};

struct upstream_reply {
    enum upstream_end end;
    /* why not, for a log: static text; NULL with UPSTREAM_REPLIED */
    const char *why;
    /* UPSTREAM_REPLIED only */
    int status;
    struct text body; /* lives while the callback runs */
};

struct upstream_request {
    const char *method; /* static: "GET", "POST" */
    struct text path;   /* "/api/v1/…"; the base path of the URL is put before it */
    /* More header lines, each ended by CRLF, or empty.  Host, Content-Length, Content-Type (of a
     * body: application/json) and Connection are ours. */
    struct text headers;
    struct text body;     /* base NULL: none */
    uint64_t deadline_ms; /* on clock_monotonic_ms()'s scale; then it ends as not sent or broken */
};

struct upstream_call;
typedef void upstream_on_reply(struct upstream_call *call, const struct upstream_reply *reply);

/* Owned and placed by the caller, zeroed before its first use.  Idle again when on_reply runs. */
struct upstream_call {
    upstream_on_reply *on_reply;
    void *exchange; /* ours; NULL when idle */
};

/* NULL when there is no memory or no descriptor.  The first resolution begins at once; a call made
 * before it has ended waits for it. */
struct upstream *upstream_new(const struct upstream_options *options);

/* Cancels all calls; their callbacks never run.  Accepts NULL. */
void upstream_free(struct upstream *upstream);

/* Begins an exchange.  The request's bytes are copied.  0: on_reply runs once, later and never
 * before this returns.  TICKETD_BUSY: all connections are in use, nothing was begun.
 * TICKETD_UNAVAILABLE: every address's breaker is open, nothing was begun. */
int upstream_send(struct upstream *upstream, struct upstream_call *call,
                  const struct upstream_request *request, upstream_on_reply *on_reply);

/* Ends an exchange without a callback, closing its connection; says nothing about the peer.
 * Accepts an idle call. */
void upstream_cancel(struct upstream_call *call);

/* Whether another exchange could begin now: 0, or what upstream_send would answer. */
int upstream_judge(struct upstream *upstream);

/* Shows its connections, and its addresses by the state of their breakers.  Looks at every idle
 * connection: not for each turn of the loop. */
void upstream_show(const struct upstream *upstream, struct scoreboard_slot *slot);

#endif
