/* A real server of one worker, its client, and its ledger as SQL shows it.  The test's process
 * only. Faults fail the cmocka test that is running; the server never outlives the test. */
#ifndef TICKETD_TESTS_STEP_SERVER_H
#define TICKETD_TESTS_STEP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "../crash/scratch.h"

#define SERVER_STOCK 1000

struct server {
    struct scratch scratch;
    char address[108]; /* a unix socket in the scratch folder */
    pid_t master;
    FILE *log; /* few lines; nobody reads what comes after the start */
};

/* What a purchase was answered. */
struct purchase {
    bool sold;
    bool replayed;
    char order_id[37];
};

/* Starts the binary that $TICKETD names, with a new ledger, and waits until it serves. */
void server_start(struct server *server);
/* Ends it in good order.  The ledger stays. */
void server_stop(struct server *server);
/* Removes what it left; it is killed if it still runs.  Accepts one that was removed. */
void server_remove(struct server *server);

/* The process of its only worker. */
pid_t server_worker(const struct server *server);

/* Sends a purchase; `key` is NULL for none.  Returns the connection. */
int server_ask(const struct server *server, unsigned quantity, const char *key);
/* Waits for the answer and ends the connection.  false: it was closed without one. */
bool server_answer(int connection, struct purchase *ret_purchase);

/* One number out of the ended server's ledger. */
int64_t server_query(const struct server *server, const char *sql);

#endif
