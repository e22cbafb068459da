/* A whole HTTP server in the test's own process and thread, over a scripted client: what a worker
 * has, without a master and without a stock.  One a process, as libh2o keeps state of its own. */
#ifndef TICKETD_TESTS_ROUTE_SERVING_H
#define TICKETD_TESTS_ROUTE_SERVING_H

#include <stdbool.h>
#include <stddef.h>

#include "http/server.h"
#include "route/route.h"
#include "scripted_client.h"

struct serving {
    struct settings settings;
    struct scoreboard scoreboard;
    struct http_server server;
    struct metrics metrics;
    struct metrics_recorder recorder;
    struct metrics_source source;
    struct router router;
    struct scripted_client client;
};

extern struct serving serving;

/* Both sites, for a monolith; `source` may be NULL. */
void serving_start(const struct control_source *source);

/* What the worker has counted: of sales; of refusals, whatever their code; of answers of that
 * method and status, by that path or, for NULL, by none. */
uint64_t serving_counted(enum metrics_event_cell cell);
uint64_t serving_refused(void);
uint64_t serving_answers(enum metrics_method method, const char *path, unsigned status);

/* A connection of the public's, or of the control site's. */
int serving_connect(bool control);

void serving_send(int fd, const char *bytes, size_t len);

struct answer {
    int status; /* 0: the connection ended before an answer */
    char head[4096];
    char body[262144]; /* terminated */
};

/* Turns the loop until a whole answer came, or the connection's end.  `headless`: to HEAD. */
void serving_receive(int fd, bool headless, struct answer *ret_answer);

/* One request, and its answer, on a connection of its own.  `headers`: whole lines; `body` may be
 * NULL. */
struct answer serving_ask(bool control, const char *method, const char *path, const char *headers,
                          const char *body);

/* Turns the loop until the client has so many calls that wait. */
void serving_await_waiting(size_t count);

/* Turns the loop until no connection of either site is left. */
void serving_await_no_connection(void);

/* One turn of the loop, which waits for nothing. */
void serving_turn(void);

/* The value of a header of an answer, in memory that the next call reuses; NULL: there is none. */
const char *answer_header(const struct answer *answer, const char *name);

/* The answer is a problem document of that status and code. */
void expect_problem(const struct answer *answer, int status, const char *code);

#endif
