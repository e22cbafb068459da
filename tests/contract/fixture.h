/* One implementation of vacancy_client, as the contract suite handles it. */
#ifndef TICKETD_TESTS_CONTRACT_FIXTURE_H
#define TICKETD_TESTS_CONTRACT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "ticketd/stock.h"
#include "ticketd/vacancy_client.h"

/* Calls that may wait in an implementation that parks them. */
#define PARKED_MAX 1024

/* What becomes of the tickets of a reserve that was cancelled while it was pending. */
enum cancelled_fate {
    CANCELLED_TAKES_NOTHING, /* it was not judged yet */
    CANCELLED_STAYS_SOLD,    /* it was judged when it was started */
    CANCELLED_TAKES_EITHER,  /* nobody here can know */
};

struct fixture;

struct fixture_ops {
    const char *name;
    enum cancelled_fate cancelled;
    /* Reaches what goes over HTTP only: the event "default", and no restock. */
    bool narrow;
    /* So many calls may be pending at once and are all served. */
    size_t pending_max;

    /* Fills in fixture->client; fixture->stock is ready, and outlives the client. */
    void (*make)(struct fixture *fixture);

    /* Lets pending calls go on, waiting for an event if need be.  false when none is pending. */
    bool (*pump)(struct fixture *fixture);

    void (*destroy)(struct fixture *fixture);
};

struct fixture {
    const struct fixture_ops *ops;
    struct stock stock; /* what the client sells from, in memory that forked processes share */
    struct vacancy_client *client;
    void *own; /* the implementation's */
};

/* The implementation of that name, or NULL. */
const struct fixture_ops *fixture_find(const char *name);

#endif
