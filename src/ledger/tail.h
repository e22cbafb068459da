/* What a writer knows of each event's end, and what may be appended to it: the same in every store.
 *
 * A batch is drafted first, entry by entry; only if all of it follows from what is there does the
 * store write it, and only when it is written does the draft become what is there.  Private to
 * src/ledger/; belongs to a writer's handle. */
#ifndef TICKETD_LEDGER_TAIL_H
#define TICKETD_LEDGER_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/ledger.h"

enum {
    TAIL_WHY_MAX = 128,
};

/* What the entries of an event add up to. */
struct ledger_totals {
    uint64_t entries; /* the next one's sequence */
    int64_t capacity;
    int64_t available;
    int64_t sold;
    int64_t owed;
    int64_t time_us; /* of the last one */
};

struct ledger_tail {
    struct ledger_totals durable; /* as of the last batch that was written */
    struct ledger_totals draft;   /* with the batch that is being written */
    bool touched;                 /* draft is ahead of durable */
};

/* Zeroed: no event. */
struct ledger_tails {
    struct ledger_tail *of; /* one an event */
    uint32_t *touched;      /* the events of the batch; has room for as many */
    uint32_t count, room, touched_count;
};

/* Adds the tail of one more event, without entries.  0 or -ENOMEM. */
int tails_grow(struct ledger_tails *tails);
void tails_free(struct ledger_tails *tails);

/* Drafts a batch.  0, or -EINVAL: `why` continues a sentence that begins with the ledger.
 * Either way tails_end must follow. */
int tails_draft(struct ledger_tails *tails, const struct ledger_entry *entries, size_t count,
                char why[TAIL_WHY_MAX]);
/* Adds an event's tail and drafts its first entry, its first stock.  0, -EINVAL as above, -ENOMEM;
 * tails_end_event must follow 0 and nothing else. */
int tails_draft_event(struct ledger_tails *tails, const char *id, uint32_t available,
                      int64_t time_us, struct ledger_entry *ret_first, char why[TAIL_WHY_MAX]);

/* The batch is written, or it is not and nothing has changed. */
void tails_end(struct ledger_tails *tails, bool written);
void tails_end_event(struct ledger_tails *tails, bool written);

#endif
