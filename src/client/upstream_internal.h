/* What the files of the upstream share: src/client/upstream*.c, and nobody else.
 *
 *   upstream.c           the interface, time, the bounds on connections
 *   upstream_address.c   the addresses of the URL: resolver, pools, breakers, which one is next
 *   upstream_exchange.c  one exchange: connect, send, judge the reply, tell the caller
 *
 *   upstream_reply.c     judges the head of a reply
 *
 * Two steps of an exchange are left to a timer of length zero, which runs in the same turn of the
 * loop, or in the next when there is none.  It begins there: outside of a turn, libh2o cannot bear
 * that a socket is written to and closed.  And its caller hears there of its end: never inside
 * upstream_send, and never while a socket's callback runs, so that the caller may send the next
 * one, on this connection, or free the upstream. */
#ifndef TICKETD_CLIENT_UPSTREAM_INTERNAL_H
#define TICKETD_CLIENT_UPSTREAM_INTERNAL_H

#include <netdb.h>
#include <sys/queue.h>

#include "client/breaker.h"
#include "client/upstream.h"
#include "http/h2o.h"
#include "http/timer.h"

/* Between two questions to the resolver, at least. */
#define UPSTREAM_RESOLVE_PAUSE_MS 1000
/* How long a connection idles before it is closed: well below the time that a vacancy pool gives it
 * (KEEPALIVE_TIMEOUT), so that its end seldom crosses a request. */
#define UPSTREAM_IDLE_MS 20000
/* The least time that a connect gets when there is another address to try. */
#define UPSTREAM_CONNECT_MIN_MS 50
/* "[", an IPv6 address with its scope, "]:65535"; or unix: and a path */
#define UPSTREAM_ADDRESS_TEXT_SIZE 128

struct upstream_address {
    uint32_t id; /* of one upstream, never used again */
    bool listed; /* the resolver still names it; else it goes with its last exchange */
    uint32_t exchanges;
    h2o_socketpool_t pool; /* its idle connections */
    struct breaker breaker;
    char text[UPSTREAM_ADDRESS_TEXT_SIZE]; /* for logs */
};

enum upstream_phase {
    UPSTREAM_WAITING, /* for the resolver */
    UPSTREAM_CHOSEN,  /* it has an address, and connects in this or the next turn of the loop */
    UPSTREAM_CONNECTING,
    UPSTREAM_SENT,  /* wholly or in part */
    UPSTREAM_ENDED, /* the caller does not know yet */
};

struct upstream_exchange {
    TAILQ_ENTRY(upstream_exchange) link;
    struct upstream *upstream;
    struct upstream_call *call;
    uint64_t deadline_ms;

    enum upstream_phase phase;
    uint64_t due_ms;                  /* when on_time looks at it; not later than deadline_ms */
    struct upstream_address *address; /* NULL while it has none */
    h2o_socketpool_connect_request_t *connecting; /* CONNECTING, or NULL */
    h2o_socket_t *sock;                           /* SENT, or ENDED and not told yet; or NULL */
    bool written;                                 /* all of the request is with the kernel */
    bool peer_keeps;                              /* ENDED: the peer leaves the connection open */
    bool keep;                                    /* its connection is to stay open afterwards */
    uint32_t tried[UPSTREAM_ADDRESSES_MAX];       /* ids of addresses, the current one included */
    size_t tried_count;

    h2o_buffer_t *input; /* ENDED: what reply.body points into; or NULL */
    struct upstream_reply reply;
    h2o_timeout_entry_t later; /* CHOSEN, ENDED: linked to the context's zero_timeout */

    h2o_iovec_t request[3]; /* head, its end, body */
    char bytes[];           /* of head and body */
};

TAILQ_HEAD(upstream_exchanges, upstream_exchange);

struct upstream {
    /* fixed after start */
    struct upstream_options options;
    h2o_loop_t *loop;
    char host[ENDPOINT_HOST_MAX + 9]; /* the Host of each request */

    struct upstream_exchanges exchanges;
    uint32_t busy;    /* how many these are: each has a connection or will want one */
    uint32_t keeping; /* of these: whose connection will stay open */
    struct http_timer timer;
    uint64_t timer_due_ms; /* UINT64_MAX: not set */

    struct upstream_address *addresses[UPSTREAM_ADDRESSES_MAX]; /* in the resolver's order */
    size_t address_count;
    struct upstream_address *served; /* the last; NULL, or one of these */
    uint32_t next_id;
    h2o_hostinfo_getaddr_req_t *resolving;
    uint64_t resolve_stale_ms;    /* from then on the addresses are asked for anew */
    uint64_t resolve_earliest_ms; /* but not before this */
    bool resolve_failed;          /* and it was said */
};

/* ---- addresses ---- */

/* Asks for the addresses if it is time.  A name is answered later, through
 * upstream_exchange_resolved; what needs no resolver at once. */
void upstream_resolve(struct upstream *upstream, uint64_t now_ms);

/* An address could not be connected: it may have moved. */
void upstream_doubt_addresses(struct upstream *upstream, uint64_t now_ms);

/* Gives the exchange the address that it is to try next, admitted by its breaker; false: none is
 * left. */
bool upstream_address_take(struct upstream *upstream, struct upstream_exchange *exchange,
                           uint64_t now_ms);

/* Whether upstream_address_take would find one.  With exchange NULL: for a new one. */
bool upstream_address_left(const struct upstream *upstream,
                           const struct upstream_exchange *exchange, uint64_t now_ms);

/* The exchange has done with its address.  Not inside libh2o's callbacks for a connection of it: an
 * address that is listed no more may go. */
void upstream_address_release(struct upstream_exchange *exchange);

/* Connections that idle, on all addresses. */
size_t upstream_idle_count(const struct upstream *upstream);

void upstream_close_idle(struct upstream *upstream, struct upstream_address *address);

/* Closes idle connections of other addresses if a connection to this one would be one too many. */
void upstream_make_room(struct upstream *upstream, const struct upstream_address *wanted);

void upstream_free_addresses(struct upstream *upstream);

/* ---- exchanges ---- */

/* Goes on with one that is WAITING: to an address, to its end, or it waits on for the resolver. */
void upstream_exchange_begin(struct upstream_exchange *exchange, uint64_t now_ms);

/* Its due_ms has passed. */
void upstream_exchange_expire(struct upstream_exchange *exchange);

/* The resolver has answered: those that wait go on. */
void upstream_exchange_resolved(struct upstream *upstream, uint64_t now_ms);

/* Ends it, whatever its phase, without a word to its caller, and frees it. */
void upstream_exchange_drop(struct upstream_exchange *exchange);

/* Sees to it that on_time runs at due_ms or earlier. */
void upstream_watch(struct upstream *upstream, uint64_t due_ms, uint64_t now_ms);

#endif
