/* The ledger in memory as bytes.  Only src/ledger/memory_store.c and its tests include this.
 *
 *   offset                          what                      who writes it, when
 *   0                               struct memory_header      master: lock; keeper: event_count
 *   4096 + event * stride           struct memory_event       master or keeper, the one writer
 *   4096 + event * stride + 4096    its ring of records       likewise
 *
 * stride is sizeof(struct memory_event), 4 KiB + 32 MiB; the file is sparse, and grows by one
 * stride when an event is added.  It never shrinks (it is sealed): what is mapped stays there.
 *
 * An event's records go round in its ring.  Its totals are kept twice; `generation` says which of
 * them holds: totals[generation % 2].  An append
 *
 *   1. raises `claimed` to one past its last sequence; release fence
 *   2. writes its records
 *   3. writes the totals that do not hold
 *   4. adds 1 to `generation`, release: this is the append
 *
 * What a crash leaves: before 4 nothing was appended, whatever is in the ring past the totals;
 * after it everything was.  The records that were overwritten are gone either way, and `claimed`
 * says so: it never goes back.
 *
 * A reader copies and then, after an acquire fence, looks whether what it copied could have been
 * overwritten meanwhile: the totals if `generation` has moved, a record if `claimed` is more than
 * MEMORY_ENTRIES_MAX past its sequence.  If it saw any byte of the writer's, it sees what the
 * writer stored before its fence: for the totals that fence is the one of the next append's 1.
 * All of it is read and written by relaxed atomics of 8 bytes, so nothing is torn below that. */
#ifndef TICKETD_LEDGER_MEMORY_LAYOUT_H
#define TICKETD_LEDGER_MEMORY_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/ledger.h"

enum {
    MEMORY_PAGE = 4096,
    /* The newest entries of an event that are kept; the orders before them are no longer found. */
    MEMORY_ENTRIES_MAX = 1 << 20,
};

#define MEMORY_MAGIC UINT64_C(0x316d656d6b746b74)

struct memory_header {
    uint64_t magic;               /* fixed by lock */
    _Atomic uint32_t event_count; /* raised, release, when the event's place is complete */
};

struct memory_record {
    _Atomic uint64_t amounts; /* quantity above, available below */
    _Atomic int64_t time_us;
    _Atomic uint64_t reference; /* of a sale: the token; of a duplicate: the origin */
    _Atomic uint64_t kind;
};

struct memory_totals {
    _Atomic uint64_t entries;
    _Atomic int64_t capacity, available, sold, owed, time_us;
};

struct memory_event {
    char id[STOCK_EVENT_ID_MAX + 1]; /* fixed when it is added */
    alignas(64) _Atomic uint64_t generation;
    _Atomic uint64_t claimed;
    struct memory_totals totals[2];
    alignas(MEMORY_PAGE) struct memory_record ring[MEMORY_ENTRIES_MAX];
};

static_assert(sizeof(struct memory_record) == 32, "two records a cache line");
static_assert(offsetof(struct memory_event, ring) == MEMORY_PAGE, "the ring begins a page");
static_assert((MEMORY_ENTRIES_MAX & (MEMORY_ENTRIES_MAX - 1)) == 0, "a mask finds the record");

#endif
