/* The rules that an event's entries keep, checked one entry after the other and then against what
 * the ledger's totals and the running server say:
 *
 *   - sequences are continuous from 0, and times never go back;
 *   - what is available after an entry follows from the entry before, and is from 0 to the bound;
 *   - capacity is what restocks put in, sold what sales took, owed what voids and duplicates took
 *     and returns did not give back yet: none is ever below 0, and at the end
 *     capacity = available + sold + owed;
 *   - a duplicate repeats an earlier sale of its event that has its key;
 *   - the table of events says the same, and so does the server as of what it has published.
 *
 * Keys that are sold twice are audit_keys.h's business.  Pure but for the look-ups of duplicates'
 * origins; one thread; allocates nothing.  After a difference it goes on with what the ledger says,
 * so that one fault is not told again for every entry after it. */
#ifndef TICKETD_CTL_AUDIT_H
#define TICKETD_CTL_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/control.h"
#include "ticketd/ledger.h"

enum {
    AUDIT_TEXT_MAX = 96,
};

struct audit_difference {
    const char *event; /* its id */
    const char *what;  /* static */
    uint64_t sequence; /* the entry, or UINT64_MAX: the event as a whole */
    char is[AUDIT_TEXT_MAX];
    char should_be[AUDIT_TEXT_MAX];
};

/* Where differences go. */
struct audit_sink {
    void (*on_difference)(void *context, const struct audit_difference *difference);
    void *context;
    uint64_t count; /* of what was told */
};

/* What the entries so far add up to. */
struct audit_balance {
    uint64_t entries;
    int64_t capacity, available, sold, owed;
};

struct audit {
    /* Fixed after audit_begin; all borrowed. */
    const struct ledger_event *told;       /* what the table of events says */
    const struct control_event *published; /* what the server says; NULL: no server */
    const struct ledger_ops *ops;
    struct ledger *ledger;
    struct audit_sink *sink;

    struct audit_balance balance;
    struct audit_balance at_published; /* after the entry before the published sequence */
    int64_t time_us;
    bool begun; /* an entry has been seen */
};

void audit_begin(struct audit *audit, const struct ledger_event *told,
                 const struct control_event *published, const struct ledger_ops *ops,
                 struct ledger *ledger, struct audit_sink *sink);
/* The event's next entry.  0, or a negated errno of the ledger. */
int audit_entry(struct audit *audit, const struct ledger_entry *entry);
/* After the last one. */
void audit_end(struct audit *audit);

/* Tells one difference; `is` and `should_be` are cut where they are too long. */
void audit_tell(struct audit_sink *sink, const char *event, uint64_t sequence, const char *what,
                const char *is, const char *should_be);

#endif
