/* Connections of one worker: accepting them in fair shares, counting them, and ending those that
 * are too slow.  For src/http only. */
#ifndef TICKETD_HTTP_CONNECTION_H
#define TICKETD_HTTP_CONNECTION_H

#include "http/server.h"

struct http_connection {
    struct http_site *site;
    struct http_exchange *exchange; /* the request being answered, for the access log */
    /* When its present phase (see the sweep) began, on clock_monotonic_ms()'s scale as of a sweep.
     * A fresh connection is in the phase "reading". */
    uint64_t since_ms;
    bool reading;
    bool ended; /* shut down from here: nobody would hear the answer to what still arrives */
};

/* The connection of a request. */
struct http_connection *http_connection_of(h2o_req_t *req);

/* Read callback of a listening socket of the public's, and of the control site's. */
void http_connection_on_accept(h2o_socket_t *listener, const char *error);
void http_connection_on_control_accept(h2o_socket_t *listener, const char *error);

/* Accepts up to `most` connections that wait on a listener, whatever the shares. */
void http_connection_accept_waiting(struct http_server *server, h2o_socket_t *listener,
                                    uint32_t most);

/* Ends the connection of a request from outside: libh2o hears of it in one of the next turns of the
 * loop, and what its client still sends is not acted upon. */
void http_connection_end(h2o_req_t *req);

/* Ends what has been reading, idle or draining for too long; called every HTTP_SWEEP_MS. */
void http_connection_sweep(struct http_server *server);

/* Accepts again after a pause if this worker's share allows it now; called when a neighbour rings.
 */
void http_connection_on_bell(struct http_server *server);

/* Tries to accept again after a pause; called by the resume timer. */
void http_connection_resume(struct http_server *server);

#endif
