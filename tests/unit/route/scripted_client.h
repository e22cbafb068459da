/* A vacancy_client for tests of the routes: it answers what it is told, at once or when it is told
 * to, and remembers what it was asked. */
#ifndef TICKETD_TESTS_ROUTE_SCRIPTED_CLIENT_H
#define TICKETD_TESTS_ROUTE_SCRIPTED_CLIENT_H

#include <stddef.h>

#include "ticketd/vacancy_client.h"

#define SCRIPTED_WAITING_MAX 8

struct scripted_client {
    struct vacancy_client client; /* first */
    struct vacancy_result answer; /* to each call */
    bool late;                    /* answers when scripted_answer_next is called */
    unsigned asked;
    unsigned cancelled;
    struct vacancy_request request; /* the last; its texts are kept below */
    char key[256];
    char event[64];
    char request_id[129];
    char traceparent[64];
    struct vacancy_call *waiting[SCRIPTED_WAITING_MAX]; /* oldest first */
    size_t waiting_count;
};

/* Idle, and answering TICKETD_DONE with nothing. */
void scripted_init(struct scripted_client *scripted);

/* Answers the oldest call that waits; there must be one. */
void scripted_answer_next(struct scripted_client *scripted);

#endif
