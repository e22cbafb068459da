/* Finds idempotency keys that were sold twice within one event while they had to be remembered.
 *
 * Memory is bounded: a keyed sale costs 8 bytes, the later half of its key, which a hash made
 * random.  Sorted, equal halves stand side by side; only these few entries are looked at once more,
 * whole.  Sales beyond AUDIT_KEYS_A_PASS (64 MiB) are taken in several passes, each over the keys
 * of one slice, so that a pass costs a walk over the event's entries and never more memory.
 *
 * The entries must be there to be walked again; blocks on the disk; one thread. */
#ifndef TICKETD_CTL_AUDIT_KEYS_H
#define TICKETD_CTL_AUDIT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/audit.h"
#include "ledger/key_clock.h"
#include "ticketd/ledger.h"

enum {
    AUDIT_KEYS_A_PASS = 8 * 1024 * 1024,
};

struct audit_keys {
    /* Fixed after audit_keys_begin. */
    size_t limit; /* keys of one pass */
    uint64_t *halves;
    size_t count, room;
    uint64_t keyed; /* keyed sales in all */
    uint64_t slices, slice;
};

/* For the keys of one event; audit_keys_free must follow.  `limit`: AUDIT_KEYS_A_PASS, less in
 * tests. */
void audit_keys_begin(struct audit_keys *keys, size_t limit);
void audit_keys_free(struct audit_keys *keys);

/* Each entry of the event, once, in any order.  0 or -ENOMEM. */
int audit_keys_entry(struct audit_keys *keys, const struct ledger_entry *entry);

/* What the keys are judged by. */
struct audit_keys_judge {
    const struct ledger_event *told; /* its entries before next_sequence are walked again */
    const struct ledger_key_clock *clock;
    int64_t ttl_s; /* IDEMPOTENCY_TTL_SECONDS; transient keys have their own (ticketd/key.h) */
    const struct ledger_ops *ops;
    struct ledger *ledger;
    struct audit_sink *sink;
    /* called for each entry that is walked again; may be NULL */
    void (*on_step)(void *context);
    void *step_context;
};

/* After the last entry.  0, -ENOMEM, or a negated errno of the ledger. */
int audit_keys_end(struct audit_keys *keys, const struct audit_keys_judge *judge);

#endif
