/* One keepalive connection of the crowd: at most one request in flight on it, and the answer
 * judged.
 *
 * Never blocks once it is connected, and never connects again: what the server closes stays closed,
 * so that a server that drops its clients is not measured as if it had kept them. */
#ifndef TICKETD_TESTS_BENCH_CROWD_LINK_H
#define TICKETD_TESTS_BENCH_CROWD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CROWD_REQUEST_SIZE 1024
#define CROWD_ANSWER_SIZE  2048 /* the longest answer, head included; a longer one is broken */

/* The bytes of a request; those of its key can be set anew before each time it is sent. */
struct crowd_request {
    char bytes[CROWD_REQUEST_SIZE + 1];
    size_t size;
    char *serial; /* the digits of the key that change; NULL: it has no key */
};

enum crowd_verdict {
    CROWD_WAITING,  /* the answer is not whole yet */
    CROWD_DONE,     /* 200, and what was asked for */
    CROWD_SOLD_OUT, /* 200 with "success":false */
    CROWD_REFUSED,  /* any other status */
    CROWD_BROKEN,   /* closed or reset, or nothing that can be believed; the link is closed */
};

struct crowd_link {
    int fd;            /* -1: closed */
    bool in_flight;    /* sent and not yet answered */
    uint64_t since_ns; /* when the request in flight was due, or sent: as the mode counts */
    uint64_t serial;   /* of the request in flight, if it has a key */
    size_t input_size; /* bytes of the answer that have come */
    char input[CROWD_ANSWER_SIZE];
};

/* Builds the request; `body` may be NULL.  With `keyed` it carries an Idempotency-Key that no other
 * run has.  Ends the process when it does not fit. */
void crowd_request_init(struct crowd_request *request, const char *method, const char *path,
                        const char *body, bool keyed);

/* Connects to 127.0.0.1, watched by the poller, which reports the link itself; blocks meanwhile.
 * Ends the process when it cannot. */
void crowd_link_connect(struct crowd_link *link, uint16_t port, int poller);

/* Sends the request, link->serial as its key.  false: the connection is gone, and the link closed.
 * The caller has set since_ns, and nothing is in flight. */
bool crowd_link_send(struct crowd_link *link, struct crowd_request *request);

/* Reads what has come.  Any verdict but CROWD_WAITING ends what was in flight; the link may be
 * closed after each of them, for the server may have said that it closes. */
enum crowd_verdict crowd_link_receive(struct crowd_link *link);

/* Closes it; may be called twice. */
void crowd_link_close(struct crowd_link *link);

#endif
