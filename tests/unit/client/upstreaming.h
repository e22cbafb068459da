/* Both ends of an upstream in one thread: the real client on a real loop, and sockets on which a
 * test plays the other service line by line.  Nothing waits but in turns of the loop, and the
 * resolver and the monotonic clock obey the test. */
#ifndef TICKETD_TESTS_UPSTREAMING_H
#define TICKETD_TESTS_UPSTREAMING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/upstream_internal.h"
#include "ticketd/error.h"
#include "util/clock.h"
#include "util/log.h"

/* The name that `resolver` answers for; any other goes to the C library. */
#define UPSTREAMING_NAME "several.test"
/* For what must happen: long enough that only a fault reaches it. */
#define UPSTREAMING_LONG_MS 20000

#define OK_HEAD(length)                                                                            \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n\r\n"
#define OK_REPLY OK_HEAD("2") "{}"

/* A call and what became of it; static where the upstream may outlive it. */
struct outcome {
    struct upstream_call call;
    int times; /* that on_reply ran */
    enum upstream_end end;
    const char *why;
    int status;
    size_t body_len;
    char body[512]; /* its first bytes, terminated */
};

extern struct upstream *upstream;       /* made by upstreaming_start */
extern struct upstream_options options; /* what it is made of; set anew for each test */

/* For cmocka.  The second checks that no descriptor is left open. */
int upstreaming_set_up(void **state);
int upstreaming_tear_down(void **state);

/* Makes the upstream of `url` and the options. */
void upstreaming_start(const char *url);
/* The same of the port at 127.0.0.1. */
void upstreaming_start_at(uint16_t port);

/* What is written to descriptor 2 in between, as text that lives until the next time. */
void log_capture_begin(int level);
const char *log_capture_end(void);

/* ---- calls ---- */

/* One turn of the loop. */
void turn(void);
/* POSTs or, without a body, GETs /p; what upstream_send says. */
int try_send_within(struct outcome *outcome, const char *body, uint64_t time_ms);
/* The same with a time that must suffice; it must begin. */
void start_call(struct outcome *outcome, const char *body);
/* Turns until it has ended. */
void await(const struct outcome *outcome);
void expect_replied(const struct outcome *outcome, int status, const char *body);
void expect_ended(const struct outcome *outcome, enum upstream_end end, const char *why);

/* ---- the other service ---- */

/* A socket that listens at the IPv4 address and *port; 0 there: any, and which. */
int listen_at(const char *address, uint16_t *port);
/* One that listens and takes no connection: what is sent to it gets no answer. */
int swallow_at(const char *address, uint16_t *port);
/* The next connection. */
int accept_one(int listener);
/* Whether a connection waits there. */
bool is_called(int listener);
/* One whole request; lives until the next. */
const char *read_request(int peer);
void write_bytes(int peer, const char *bytes, size_t len);
void write_text(int peer, const char *text);
/* Reads a request and answers it with OK_REPLY. */
void serve(int peer);
/* Turns until the other side has closed it, with a reset or without. */
void await_closed(int peer);
/* Whether the other side keeps it open and has sent nothing. */
bool is_quiet(int peer);
/* Ends it now, with a reset. */
void reset(int peer);
void close_peer(int peer);
/* Waits until the other side's kernel has all that was sent. */
void await_delivered(int peer);
/* Closes it when the other side's kernel knows of the end. */
void say_goodbye(int peer);

/* ---- time and names ---- */

/* Puts the monotonic clock forward. */
void pass_ms(uint64_t ms);

/* What the resolver says to UPSTREAMING_NAME from now on: addresses apart by blanks; NULL: that
 * there is no such name. */
void resolver_say(const char *addresses);
/* Whether it keeps questions waiting. */
void resolver_hold(bool hold);
/* How often it was asked. */
unsigned resolver_asked(void);
/* Turns until it was so often asked and the upstream has its answer. */
void await_resolved(unsigned asked);

#endif
