/* How the service layer reaches the stock: an asynchronous interface with one implementation that
 * calls the stock in this process (client/vacancy_local.h) and one that asks a vacancy pool over
 * HTTP (client/vacancy_remote.h).  Callers cannot tell them apart; one contract suite
 * (tests/contract) holds for all.
 *
 * A call goes through these states, all in one process and one thread:
 *
 *            reserve/available/health/…           on_complete runs
 *    idle ──────────────────────────► pending ──────────────────────► idle
 *                                        └────── vacancy_cancel ──────► idle
 *
 * - The caller owns struct vacancy_call, sets its `pending` to NULL before its first use, and keeps
 *   it in place while it is pending.
 * - on_complete runs exactly once for each call that is not cancelled; it may run before the
 *   function that started the call returns.  The call is idle again when it runs, so that the
 *   callback may free it or start it anew.
 * - After vacancy_cancel returns, on_complete never runs.  A cancelled reserve that has not been
 *   judged yet, or can still be withdrawn, takes nothing; else it stays sold and is found by its
 *   key.
 *   Cancelling an idle call does nothing.
 * - The request and all it points at must live until the starting function returns: an
 *   implementation that needs it longer copies it.
 * - No function here blocks. */
#ifndef TICKETD_VACANCY_CLIENT_H
#define TICKETD_VACANCY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/order_id.h"
#include "ticketd/text.h"

struct vacancy_call;
struct vacancy_client;

struct vacancy_request {
    struct text event; /* slug */
    uint32_t quantity; /* tickets, 1 … STOCK_QUANTITY_MAX; reserve and restock only */
    struct text key;   /* idempotency key as the client sent it, empty for none; reserve only */
    /* reserve only: the key is of the kind KEY_TRANSIENT_PREFIX, and this is the first attempt ever
     * made with it, whose answer nobody believes who makes a second one.  So it need not be looked
     * for among keys that have sold; should a second attempt overtake it all the same, the keeper
     * finds the later of the two. */
    bool fresh;
    struct order_id order;   /* which one; order only */
    struct text request_id;  /* for the log of whoever answers */
    struct text traceparent; /* W3C Trace Context, as the client sent it; empty for none */
    uint64_t deadline_ms;    /* on clock_monotonic_ms()'s scale; 0 means none */
};

struct vacancy_result {
    /* 0 done; TICKETD_SOLD_OUT, _EVENT_UNKNOWN, _BUSY, _UNAVAILABLE, _TIMED_OUT, _LEDGER_FAULT,
     * _KEY_REUSED, _KEY_IN_FLIGHT, _OUTCOME_UNKNOWN, _NOT_FOUND, _INVALID (ticketd/error.h);
     * negative: a fault, nothing was taken */
    int status;
    uint32_t remaining; /* tickets left after this call; set for 0 and TICKETD_SOLD_OUT */
    /* available, with status 0: two results with the same instance and sequence have the same
     * `remaining`.  instance 0: the implementation does not know. */
    uint64_t instance;
    uint64_t sequence;
    bool replayed; /* reserve: the answer of an earlier request with the same key */
    /* reserve, with TICKETD_OUTCOME_UNKNOWN: the key to ask again with when the client sent none
     * but the implementation made one; else empty.  Lives while the callback runs. */
    struct text key;
    /* reserve and order, with status 0 */
    struct order_id order;
    /* order, with status 0 */
    uint32_t quantity;
    int64_t time_us;   /* when it was sold: microseconds since 1970, UTC */
    struct text event; /* its id; lives while the callback runs */
};

typedef void vacancy_on_complete(struct vacancy_call *call, const struct vacancy_result *result);

struct vacancy_call {
    /* the implementation's, while the call is pending */
    struct vacancy_client *client;
    vacancy_on_complete *on_complete;
    void *pending; /* NULL when idle */
};

struct vacancy_client_ops {
    const char *name; /* for logs */
    void (*reserve)(struct vacancy_client *client, struct vacancy_call *call,
                    const struct vacancy_request *request);
    void (*available)(struct vacancy_client *client, struct vacancy_call *call,
                      const struct vacancy_request *request);
    void (*health)(struct vacancy_client *client, struct vacancy_call *call,
                   const struct vacancy_request *request);
    void (*order)(struct vacancy_client *client, struct vacancy_call *call,
                  const struct vacancy_request *request);
    void (*restock)(struct vacancy_client *client, struct vacancy_call *call,
                    const struct vacancy_request *request);
    void (*cancel)(struct vacancy_client *client, struct vacancy_call *call);
};

/* What every implementation begins with. */
struct vacancy_client {
    const struct vacancy_client_ops *ops;
};

/* Sets the table of functions; every slot must be filled. */
void vacancy_client_init(struct vacancy_client *client, const struct vacancy_client_ops *ops);

/* Takes request->quantity tickets of request->event; a quantity out of bounds is the caller's bug.
 */
void vacancy_reserve(struct vacancy_client *client, struct vacancy_call *call,
                     const struct vacancy_request *request, vacancy_on_complete *on_complete);

/* Asks how many tickets of request->event are left. */
void vacancy_available(struct vacancy_client *client, struct vacancy_call *call,
                       const struct vacancy_request *request, vacancy_on_complete *on_complete);

/* Asks whether the stock can sell at all: 0 or TICKETD_UNAVAILABLE.  Uses only request_id and
 * deadline_ms. */
void vacancy_health(struct vacancy_client *client, struct vacancy_call *call,
                    const struct vacancy_request *request, vacancy_on_complete *on_complete);

/* Asks for the order request->order: 0 or TICKETD_NOT_FOUND. */
void vacancy_order(struct vacancy_client *client, struct vacancy_call *call,
                   const struct vacancy_request *request, vacancy_on_complete *on_complete);

/* Adds request->quantity tickets to request->event, for operators.  0 when that is durable;
 * TICKETD_INVALID: more than STOCK_QUANTITY_MAX would be available. */
void vacancy_restock(struct vacancy_client *client, struct vacancy_call *call,
                     const struct vacancy_request *request, vacancy_on_complete *on_complete);

/* See above; accepts an idle or a zeroed call. */
void vacancy_cancel(struct vacancy_call *call);

/* For implementations: ends a pending call and runs its callback. */
void vacancy_complete(struct vacancy_call *call, const struct vacancy_result *result);

#endif
