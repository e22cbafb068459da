/* The vacancy_client that calls the stock of this very process.  For workers of a pool that owns
 * the stock; never for a ticket worker.
 *
 * With a durable ledger a sale is parked until its outcome comes from the keeper; with `memory:`
 * only a sale with an idempotency key is, and all others complete before the call returns.  The
 * worker's loop calls, in turn:
 *
 *     vacancy_local_deliver    completes what has come
 *     vacancy_local_expire     completes what is late
 *     vacancy_local_gathers    whether to go on without waiting, before the keeper is rung
 *     vacancy_local_sleep      rings who must know, and says that this worker is about to sleep
 *     … the loop's own wait …
 *     vacancy_local_awake
 *
 * A deadline of 0 in a request means SALE_TIMEOUT from now.  A sale whose deadline comes before its
 * outcome is withdrawn: TICKETD_TIMED_OUT, nothing sold.  If the keeper has taken it already, it
 * gets VACANCY_LOCAL_GRACE_MS more; after that, or at once while the ledger is at fault, the answer
 * is TICKETD_OUTCOME_UNKNOWN. */
#ifndef TICKETD_CLIENT_VACANCY_LOCAL_H
#define TICKETD_CLIENT_VACANCY_LOCAL_H

#include <stdbool.h>

#include "client/parked.h"
#include "ticketd/stock.h"
#include "ticketd/vacancy_client.h"
#include "util/key_hash.h"
#include "util/token.h"

/* How much longer a sale may wait that can no longer be withdrawn. */
#define VACANCY_LOCAL_GRACE_MS 10000
/* With `memory:`, how many entries may gather before the keeper is woken for them alone. */
#define VACANCY_LOCAL_LAZY 512
/* So many sales, or so many turns of the loop, or so long, and the keeper is rung although more are
 * coming. */
#define VACANCY_LOCAL_GATHER_MAX   256
#define VACANCY_LOCAL_GATHER_TURNS 16
#define VACANCY_LOCAL_GATHER_MS    3
/* Deadlines judged at one call, and slots of journals that these may look at. */
#define VACANCY_LOCAL_EXPIRE_MAX 256
#define VACANCY_LOCAL_LOOKS_MAX  262144

struct vacancy_local_options {
    struct stock *stock; /* borrowed, outlives the client */
    uint32_t place;      /* this process's */
    bool durable;        /* sales wait for the ledger */
    int keeper_bell;     /* eventfds */
    int reader_bell;
    uint64_t sale_timeout_ms;
    uint32_t parked_max;
};

struct vacancy_local {
    struct vacancy_client client; /* first: this is what callers hold */

    /* fixed after start */
    struct vacancy_local_options options;
    struct key_hasher *hasher;

    struct parked_table parked;
    struct token_source tokens;
    bool owes_bell;     /* to the keeper */
    uint32_t gathered;  /* sales, and deliveries that promise some, since it was last rung for */
    uint32_t looked_at; /* of these, when vacancy_local_gathers was last asked */
    uint32_t turns;     /* how often it has said yes since */
    uint64_t since_ms;  /* when it first did */
};

/* 0 or -errno. */
int vacancy_local_init(struct vacancy_local *local, const struct vacancy_local_options *options);

/* Frees what it holds; pending calls never complete.  Accepts a zeroed one. */
void vacancy_local_deinit(struct vacancy_local *local);

/* Completes every call whose outcome has come.  true when there was any. */
bool vacancy_local_deliver(struct vacancy_local *local);

/* Completes calls whose deadline has come, at most VACANCY_LOCAL_EXPIRE_MAX.  Returns the next one,
 * which may have come too; UINT64_MAX: none. */
uint64_t vacancy_local_expire(struct vacancy_local *local, uint64_t now_ms);

/* The earliest deadline of a call that waits; UINT64_MAX: none does. */
uint64_t vacancy_local_deadline(const struct vacancy_local *local);

/* Whether the last turn of the loop brought sales, or answers that the keeper expects to bring
 * some, so that the next may bring more, for the same batch: a sync costs much the same for ten as
 * for hundreds.  Then the loop takes a turn that does not wait, before vacancy_local_sleep; one
 * that brings nothing costs one look at the poller. */
bool vacancy_local_gathers(struct vacancy_local *local, uint64_t now_ms);

/* Rings the keeper if there is work for it, and announces the sleep.  false: something has come
 * meanwhile, do not sleep. */
bool vacancy_local_sleep(struct vacancy_local *local);
void vacancy_local_awake(struct vacancy_local *local);

#endif
