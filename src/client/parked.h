/* Calls of one worker that wait: for the ledger, for the key index, for the reader.  Bounded; made
 * once, so that parking allocates nothing.  Private to src/client/; one thread.
 *
 * A cell is in the list of deadlines while somebody waits for it, and in its key's chain while it
 * has a key.  A sale whose caller has gone and whose withdrawal came too late keeps its cell until
 * its outcome comes, so that the bound on cells bounds the outcomes under way too. */
#ifndef TICKETD_CLIENT_PARKED_H
#define TICKETD_CLIENT_PARKED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "ticketd/key.h"
#include "ticketd/vacancy_client.h"

enum parked_kind {
    PARKED_FREE = 0,
    PARKED_JUDGED, /* being judged right now */
    PARKED_SALE,   /* sold; waits for its outcome */
    PARKED_INDEX,  /* too little stock, and its key may be in an entry that is not in the ledger */
    PARKED_FOLLOWER, /* another call with the same key waits; to be judged after it */
    PARKED_ORDER,    /* waits for the reader */
    PARKED_RESTOCK,  /* waits for the keeper */
};

struct parked {
    struct vacancy_call *call; /* NULL: nobody waits any more */
    uint64_t deadline_ms;
    uint64_t sequence; /* of the sale or order; PARKED_INDEX: the one that the index must cover */
    uint64_t token;
    struct ledger_key key; /* all zero: none */
    uint32_t event;
    uint32_t quantity;
    enum parked_kind kind;
    bool fresh;    /* no earlier sale can have its key */
    bool extended; /* its deadline has passed once, when the keeper had taken it */
    bool timed;    /* it is in the list of deadlines */
    TAILQ_ENTRY(parked) by_deadline;
    TAILQ_ENTRY(parked) by_index; /* PARKED_INDEX only */
    LIST_ENTRY(parked) by_key;    /* while it has a key, or is free */
};

TAILQ_HEAD(parked_queue, parked);
LIST_HEAD(parked_list, parked);

struct parked_table {
    struct parked *cells;
    uint32_t cell_count;
    uint32_t used;
    uint32_t fresh; /* the first of those that were never used, which cost no memory yet */
    struct parked_list free;
    struct parked_list *chains; /* by key */
    uint32_t chain_bits;
    uint64_t seed;                 /* so that no client can choose keys of one chain */
    struct parked_queue deadlines; /* the earliest first */
    struct parked *timed_last;     /* of these, the one that was put in last; or NULL */
    struct parked_queue indexed;   /* those that wait for the index */
};

/* Room for cell_count calls.  0 or -ENOMEM. */
int parked_init(struct parked_table *table, uint32_t cell_count);
/* Accepts a zeroed or an already ended table. */
void parked_deinit(struct parked_table *table);

/* A free cell, filled in with these and in the list of deadlines; NULL: all are in use. */
struct parked *parked_take(struct parked_table *table, struct vacancy_call *call,
                           uint64_t deadline_ms, const struct ledger_key *key);
void parked_free(struct parked_table *table, struct parked *cell);

/* Its number; and the cell of a number that may be anything: NULL beyond the table. */
uint32_t parked_cookie(const struct parked_table *table, const struct parked *cell);
struct parked *parked_of_cookie(struct parked_table *table, uint32_t cookie);

/* Nobody waits for it any more, but its outcome is still to come. */
void parked_orphan(struct parked_table *table, struct parked *cell);
/* Waits until then instead. */
void parked_put_off(struct parked_table *table, struct parked *cell, uint64_t deadline_ms);
/* Waits for the index to cover `sequence`. */
void parked_wait_for_index(struct parked_table *table, struct parked *cell, uint64_t sequence);
void parked_end_wait(struct parked_table *table, struct parked *cell);

/* Of calls with one key the leader comes first in the chain, then its followers: makes the cell a
 * follower of the leader, or the one that is judged in its place. */
void parked_follow(struct parked *cell, struct parked *leader);
void parked_lead(struct parked_table *table, struct parked *cell);

/* The cell of that key and event which others follow, or NULL; where there is none, the first of
 * those that followed it, or NULL. */
struct parked *parked_leader(const struct parked_table *table, uint32_t event,
                             const struct ledger_key *key);
struct parked *parked_follower(const struct parked_table *table, uint32_t event,
                               const struct ledger_key *key);

#endif
