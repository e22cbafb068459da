/* The shared segment as bytes.  Whoever changes a field's place, size or writer changes
 * SEGMENT_LAYOUT and this page.  Only src/stock includes this.
 *
 *   offset   what                              who writes it, when
 *   0        struct segment_header             master, before the first fork; then read-only
 *   4096     struct segment_event [events_max] see below
 *
 * An event is two cache lines:
 *
 *   line 0   word                              every seller, by compare-and-swap only
 *   line 1   id, capacity                      master, before the first fork; then read-only
 *
 * The word:
 *
 *    63            32 31             0
 *   ┌────────────────┬────────────────┐
 *   │ sequence       │ available      │
 *   └────────────────┴────────────────┘
 *
 * Winning a swap takes the tickets and the sequence number in one step, so that the entries of an
 * event have one total order and none is without a number.  Sequences wrap at 2^32; available never
 * exceeds STOCK_QUANTITY_MAX, so that adding to it cannot carry into the sequence.
 *
 * What a crash leaves: the word is one naturally aligned 64-bit cell.  A process that dies before
 * its swap has changed nothing, one that dies after it has sold.  Nothing else here is written
 * after start-up, so nothing else can be torn. */
#ifndef TICKETD_STOCK_SEGMENT_H
#define TICKETD_STOCK_SEGMENT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/stock.h"

#define SEGMENT_MAGIC         "ticketd"
#define SEGMENT_LAYOUT        1
#define SEGMENT_CACHE_LINE    64
#define SEGMENT_EVENTS_OFFSET 4096

struct segment_event {
    /* shared: see the drawing above */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint64_t word;

    /* fixed after start */
    alignas(SEGMENT_CACHE_LINE) char id[STOCK_EVENT_ID_MAX + 1];
    uint32_t id_len;
    uint32_t capacity;
};

struct segment_header {
    /* fixed after start */
    char magic[8];
    uint32_t layout;
    uint32_t events_max;
    uint64_t size_bytes;
    uint32_t event_count;
};

static_assert(sizeof(struct segment_event) == 2 * SEGMENT_CACHE_LINE, "an event is two lines");
static_assert(offsetof(struct segment_event, word) == 0, "the word begins its line");
static_assert(offsetof(struct segment_event, id) == SEGMENT_CACHE_LINE,
              "fixed fields on their own");
static_assert(sizeof(struct segment_header) <= SEGMENT_EVENTS_OFFSET, "the header has one page");
static_assert(SEGMENT_EVENTS_OFFSET % SEGMENT_CACHE_LINE == 0, "events are aligned");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a 64-bit swap must not hide a lock");
static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "an atomic word is a plain cell");

#endif
