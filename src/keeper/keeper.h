/* The keeper: the one process that moves entries from the journal into the ledger, and so decides
 * what is sold.  Its process only.
 *
 * A turn takes stamped entries in the order of their sequences, finds those whose key has sold
 * already, appends all to the ledger in one transaction with one sync, puts new keys into the
 * index, sends the outcomes, publishes, and wakes who sleeps and waits for it.  What was taken by
 * voids and duplicates it returns by entries of its own.
 *
 * keeper_turn is one such step without any waiting but for the disk, so that tests can take it
 * themselves; keeper_run (keeper_process.h) is the process around it. */
#ifndef TICKETD_KEEPER_KEEPER_H
#define TICKETD_KEEPER_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "keeper/batch_keys.h"
#include "keeper/keeper_clock.h"
#include "metrics/metrics.h"
#include "stock/journal.h"
#include "ticketd/ledger.h"
#include "ticketd/stock.h"

/* Entries of one batch: beyond it a row gets no cheaper, and the first one's client waits. */
#define KEEPER_BATCH_MAX 1024
/* Keys forgotten in one turn. */
#define KEEPER_FORGET_MAX 4096

struct keeper_options {
    struct stock *stock;           /* borrowed */
    const struct ledger_ops *ops;  /* the store */
    const char *location;          /* of the ledger; borrowed */
    int hold_fd;                   /* what ops->lock returned */
    int64_t ttl_s;                 /* IDEMPOTENCY_TTL_SECONDS */
    const int *bells;              /* eventfds by slot of a worker; NULL in tests that poll */
    int reader_bell;               /* eventfd; -1 in tests */
    const struct metrics *metrics; /* borrowed; NULL in tests: nothing is counted */
};

/* What the keeper knows of an event. */
struct keeper_event {
    uint64_t next;      /* sequence of the entry that it takes next */
    uint64_t hold;      /* it returns nothing before it has taken everything up to here */
    uint64_t recovered; /* what a predecessor may have left ends here */
    uint64_t capacity;
    uint64_t owed;
    uint32_t available; /* after the entries before `next` */
    /* as they will be when the batch is durable */
    uint64_t draft_next;
    uint64_t draft_capacity;
    uint64_t draft_owed;
    uint32_t draft_available;
    struct metrics_orders orders; /* what is counted of it */
};

struct keeper_pending {
    struct journal_waiter waiter;
    uint32_t outcome; /* enum keeper_outcome; 0: nobody is told */
    uint64_t origin;
    uint64_t token;
    uint32_t available;
};

struct keeper {
    struct keeper_options options;
    struct ledger *ledger;
    struct keeper_event *events;
    uint32_t event_count;
    uint32_t first_event; /* where the next turn begins, so that none waits for ever */
    bool *completed;      /* by place: has been sent an outcome since it was last looked after */
    bool looks_for_restocks;

    /* The batch. */
    struct ledger_entry entries[KEEPER_BATCH_MAX];
    struct keeper_pending pending[KEEPER_BATCH_MAX];
    struct batch_keys keys;
    uint32_t count;
    bool failed; /* the batch could not be written yet */

    struct keeper_clock clock;
    struct metrics_recorder recorder;
};

/* Opens the ledger and takes over from whoever was keeper before: finishes what is in the ledger
 * and was not published.  0, or as ledger_ops.open, with one line in `error`. */
int keeper_open(struct keeper *keeper, const struct keeper_options *options, char *error,
                size_t error_size);
/* Accepts a zeroed one. */
void keeper_close(struct keeper *keeper);

enum keeper_turn {
    KEEPER_TURN_DONE = 0, /* something was done: call again */
    KEEPER_TURN_IDLE,     /* there is nothing to do */
    KEEPER_TURN_STALLED,  /* nothing can be done before a slot that is taken is stamped */
    KEEPER_TURN_FAULT,    /* the ledger cannot be written; the same batch is kept, call again */
};

/* An entry whose slot is taken and not stamped yet; event UINT32_MAX: none. */
struct keeper_stall {
    uint32_t event;
    uint64_t sequence;
};

/* One step; *ret_stall is set whatever it returns, since other events may go on.  Also a negated
 * errno: the ledger contradicts the journal, nothing can be done. */
int keeper_turn(struct keeper *keeper, struct keeper_stall *ret_stall);

/* For keeper_open: publishes where draft_next is ahead of next, and wakes who waits for that. */
void keeper_publish(struct keeper *keeper);

/* For keeper_open: what comes after an entry is in the ledger and before it is published: its key
 * into the index, its restock ended, its outcome sent. */
void keeper_settle(struct keeper *keeper, const struct ledger_entry *entry,
                   const struct keeper_pending *pending);

/* Whether a turn would do something: a look that takes nothing. */
bool keeper_has_work(const struct keeper *keeper);

/* One line about the last fault. */
const char *keeper_error(const struct keeper *keeper);

#endif
