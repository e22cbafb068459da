/* What both floors of the bench share: the fixed answers and the listening socket.
 *
 * A floor is a server that does nothing but answer: what it costs is the least that a server of its
 * kind can cost on this machine, and tools/bench sets ticketd's cost beside it.  Floors are run by
 * the bench alone: one process, 127.0.0.1 only, no limits on time or memory, ended by SIGTERM. */
#ifndef TICKETD_TESTS_BENCH_FLOOR_H
#define TICKETD_TESTS_BENCH_FLOOR_H

#include <stdint.h>

#define FLOOR_AVAILABLE_PATH "/api/v1/available"
#define FLOOR_PURCHASE_PATH  "/api/v1/purchase"

/* As long as ticketd's own answers are with the stock that the bench gives it, and below with the
 * same fields at their head: so a floor moves the same bytes. */
#define FLOOR_AVAILABLE_BODY "{\"qty\":1999999999}"
#define FLOOR_PURCHASE_BODY                                                                        \
    "{\"success\":true,\"remaining\":1999999998,\"message\":\"Purchase successful!\","             \
    "\"order_id\":\"00000000-0000-8006-8f64-2c1d9a7be310\"}"

#define FLOOR_DATE           "Thu, 26 Nov 2026 00:00:00 GMT"
#define FLOOR_CONTENT_TYPE   "application/json"
#define FLOOR_REQUEST_ID     "ead48ab5ebddfb070000000000000000"
#define FLOOR_ALLOW_ORIGIN   "*"
#define FLOOR_EXPOSE_HEADERS "X-Request-ID, Retry-After, Idempotent-Replayed, Idempotency-Key, ETag"
/* Of the stock alone. */
#define FLOOR_CACHE_CONTROL "public, max-age=1"
#define FLOOR_ETAG          "\"815e480d3282e32b-1\""

/* Takes the port from the one command-line argument (0 lets the kernel choose); on any other
 * command line it says how to call the program and ends the process. */
uint16_t floor_port_argument(int argc, char **argv);

/* Listens on 127.0.0.1, prints "listening on 127.0.0.1:PORT" on stdout and returns the non-blocking
 * socket, which the caller owns.  Ends the process with a message when it cannot. */
int floor_listen(uint16_t port);

#endif
