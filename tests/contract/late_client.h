/* A vacancy_client for tests that wraps another one and completes its calls only when it is pumped:
 * what the remote client does when an answer takes its time, without a network.  One thread. */
#ifndef TICKETD_TESTS_CONTRACT_LATE_CLIENT_H
#define TICKETD_TESTS_CONTRACT_LATE_CLIENT_H

#include <stddef.h>

#include "ticketd/vacancy_client.h"

/* When the wrapped client is asked, and so what cancelling a call still prevents. */
enum late_judgement {
    LATE_JUDGED_WHEN_PUMPED, /* a cancelled reserve takes nothing */
    LATE_JUDGED_AT_START,    /* a cancelled reserve stays sold */
};

struct late_call;

struct late_client {
    struct vacancy_client client; /* first: this is what callers hold */
    struct vacancy_client *inner; /* borrowed, outlives this one */
    enum late_judgement judgement;
    struct late_call *first; /* pending calls in the order in which they were started */
    struct late_call **end;
    size_t pending;
    uint64_t started; /* calls ever */
};

void late_client_init(struct late_client *late, struct vacancy_client *inner,
                      enum late_judgement judgement);

/* Completes up to `most` calls, oldest first, of those that are pending now: what their callbacks
 * start waits for the next time.  Stops at one that the wrapped client has not answered.  How many
 * it completed. */
size_t late_client_pump(struct late_client *late, size_t most);

/* Cancels what is still pending; accepts a zeroed one, and may run twice. */
void late_client_deinit(struct late_client *late);

#endif
