/* client/upstream.h for tests: exchanges go nowhere, the test reads what was asked and says how
 * each ends.  To be linked instead of the real one; one upstream at a time, one thread. */
#ifndef TICKETD_TESTS_CLIENT_SCRIPTED_UPSTREAM_H
#define TICKETD_TESTS_CLIENT_SCRIPTED_UPSTREAM_H

#include "client/upstream.h"

/* Most exchanges of one case. */
#define SCRIPTED_EXCHANGES_MAX 256

struct scripted_exchange {
    struct upstream_call *call; /* NULL: it has ended */
    char *method, *path, *headers, *body;
    uint64_t deadline_ms;
};

struct scripted_upstream {
    struct upstream_options options;
    /* in the order in which they were begun */
    struct scripted_exchange exchanges[SCRIPTED_EXCHANGES_MAX];
    size_t count;
    uint32_t under_way;
    int refusal; /* what the next ones are answered instead of being begun; 0: nothing */
};

extern struct scripted_upstream scripted;

/* Forgets all exchanges. */
void scripted_clear(void);

/* Ends the exchange of that number with a reply, or without. */
void scripted_reply(size_t number, int status, const char *body);
void scripted_end(size_t number, enum upstream_end how);

#endif
