/* The stock: how many tickets of each event can still be sold, and the journal of every change.
 *
 * It lives in one shared memory segment (layout: src/stock/segment.h) that the master makes before
 * it forks; the master and the children of a tree that owns the stock may call this.  Each child
 * acts under a place of its own: workers under the numbers of their slots, the keeper under
 * STOCK_PLACE_KEEPER.
 *
 * Selling is one compare-and-swap of one 64-bit word, which takes the tickets and the slot of the
 * journal in one step; then the slot is filled and stamped.  No call here locks, blocks, allocates
 * or makes a system call, except stock_create and stock_destroy.
 *
 * Process-safe and thread-safe: any number of processes and threads may sell at once, each under
 * its own place.  What a process killed between two instructions leaves is mended by place_repair
 * (src/stock/repair.h).  The protocol is that of tests/model/stock.pml. */
#ifndef TICKETD_STOCK_H
#define TICKETD_STOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/key.h"

/* Longest event id in characters; an id is a slug of [a-z0-9-]. */
#define STOCK_EVENT_ID_MAX 47
/* The event that the original endpoints sell. */
#define STOCK_DEFAULT_EVENT "default"
/* Most tickets of one event: what a JSON client's signed 32-bit integer can hold. */
#define STOCK_QUANTITY_MAX INT32_MAX
/* A swap that loses this often in a row answers TICKETD_BUSY: no loop without a limit. */
#define STOCK_SWAP_TRIES_MAX 10000
/* The keeper's place; workers have 1 … places - 1. */
#define STOCK_PLACE_KEEPER 0
/* A worker's place by its slot of the scoreboard. */
#define STOCK_PLACE_OF(slot) ((slot) + 1)
/* Slots of each ring that sales leave to the keeper's returns. */
#define STOCK_RING_RESERVE 8

struct segment_header;

/* A process's handle; plain data, inherited over fork. */
struct stock {
    struct segment_header *segment;
};

/* How large a segment is.  It is sparse: what is not used costs no memory; of an event, its ring is
 * used from the start (64 bytes a slot). */
struct stock_options {
    uint32_t events_max;
    uint32_t ring_slots; /* of each event's journal; rounded up to a power of two */
    uint32_t places;     /* the keeper's and one a worker's slot */
    uint32_t parked_max; /* sales of one worker that wait at a time; rounded up likewise */
    uint64_t keys_max;   /* idempotency keys remembered at a time */
};

/* An event as it is put into the stock at start. */
struct stock_event {
    const char *id;
    uint32_t available;
    uint64_t capacity; /* all that was ever put in */
    uint64_t sequence; /* of its next entry */
};

/* One entry in an event's order of sale, as the swap fixed it. */
struct stock_entry {
    uint64_t sequence;  /* its number in the ledger; the word has its low 32 bits */
    uint32_t available; /* tickets left after it */
};

/* What a seller says of itself. */
struct stock_sale {
    uint32_t quantity;     /* 1 … STOCK_QUANTITY_MAX */
    bool waits;            /* for the outcome; false: it has been told already */
    uint32_t cookie;       /* comes back with the outcome */
    uint64_t token;        /* random part of the order's id */
    struct ledger_key key; /* all zero: none */
};

/* One event at one instant, for people. */
struct stock_view {
    const char *id; /* lives as long as the segment */
    uint64_t capacity;
    uint64_t sequence;  /* of the next entry */
    uint32_t available; /* tickets that can be sold */
    /* what the ledger has: everything before this sequence, and what was left then */
    uint64_t published_sequence;
    uint32_t published_available;
};

/* Makes an empty segment.  Master only, before any fork.  0, or a negated errno. */
int stock_create(struct stock *ret_stock, const struct stock_options *options);

/* Unmaps the segment from this process.  Accepts a zeroed or an already destroyed handle. */
void stock_destroy(struct stock *stock);

/* Adds an event.  Master only, before any fork.
 * 0, TICKETD_INVALID (not a slug, exists already, more than STOCK_QUANTITY_MAX tickets), or
 * TICKETD_BUSY (no room: EVENTS_MAX). */
int stock_event_create(struct stock *stock, const struct stock_event *event, uint32_t *ret_event);

/* Finds an event by its id.  0 or TICKETD_EVENT_UNKNOWN. */
int stock_event_find(const struct stock *stock, const char *id, size_t id_len, uint32_t *ret_event);

uint32_t stock_event_count(const struct stock *stock);

/* Its id; lives as long as the segment. */
const char *stock_event_id(const struct stock *stock, uint32_t event);

/* Takes sale->quantity tickets of an event that stock_event_find found, and writes the entry into
 * the journal under `place`, whose owner the caller is.  The keeper must be told soon:
 * keeper_link_wants_bell (src/stock/keeper_link.h).
 * 0: taken.  TICKETD_SOLD_OUT: fewer are left, nothing taken; ret_entry is the state that was seen:
 * how many, and the sequence up to which that is true.  TICKETD_BUSY: the ledger is too far behind
 * (the journal is full), or see STOCK_SWAP_TRIES_MAX; nothing taken, ret_entry untouched. */
int stock_sell(struct stock *stock, uint32_t place, uint32_t event, const struct stock_sale *sale,
               struct stock_entry *ret_entry);

/* Takes a sale back that nobody has been told of: it becomes void, and the keeper returns its
 * tickets.  Only by who sold it, and while it is not known to be durable.
 * 0; TICKETD_INVALID: too late, the keeper has taken it, and its outcome will come. */
int stock_withdraw(struct stock *stock, uint32_t event, uint64_t sequence);

/* A number that no other segment has: sequences of two of them with the same one are of one ledger,
 * and mean the same. */
uint64_t stock_instance(const struct stock *stock);

/* The sequence of the event's next entry, and how many tickets can be sold: one state, which no
 * other sequence of this instance has. */
struct stock_entry stock_look(const struct stock *stock, uint32_t event);

/* How many tickets can be sold at this instant. */
uint32_t stock_available(const struct stock *stock, uint32_t event);

/* Everything before this sequence is in the ledger, and its keys are in the key index. */
uint64_t stock_durable(const struct stock *stock, uint32_t event);

/* How many entries of the event the ledger is behind. */
uint32_t stock_lag(const struct stock *stock, uint32_t event);

/* Whether an entry before `sequence` that is not in the ledger yet carries that key and has not
 * been withdrawn.  Looks through the journal: not for the sale path. */
bool stock_key_in_flight(const struct stock *stock, uint32_t event, uint64_t sequence,
                         const struct ledger_key *key);

struct stock_view stock_view(const struct stock *stock, uint32_t event);

#endif
