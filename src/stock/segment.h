/* The shared segment as bytes.  Whoever changes a field's place, size or writer changes
 * SEGMENT_LAYOUT and this page.  Only src/stock acts on it; keeper, workers and master see it
 * through keeper_link.h, journal.h and repair.h.
 *
 *   what                                   who writes it, when
 *   struct segment_header                  master, before the first fork; then read-only
 *   struct segment_keeper                  keeper, reader, workers: see there
 *   struct segment_event [events_max]      see below
 *   struct segment_place [places]          see below
 *   struct segment_slot  [events_max][ring_slots]
 *   struct segment_outcome [places][outcome_slots]   keeper → the place's worker
 *   struct segment_lookup  [places][SEGMENT_LOOKUPS] worker → reader
 *   struct segment_order   [places][SEGMENT_LOOKUPS] reader → worker
 *   twice, for clients' keys and for transient ones (ticketd/key.h):
 *   _Atomic uint32_t     [buckets]         keeper (master before the first fork): src/stock/keys.c
 *   struct segment_key   [slot_count]
 *
 * The word of an event:
 *
 *    63            32 31             0
 *   ┌────────────────┬────────────────┐
 *   │ sequence       │ available      │
 *   └────────────────┴────────────────┘
 *
 * Winning a swap takes the tickets and the slot of that sequence in one step, so that the entries
 * of an event have one total order and none is without a slot.  Sequences wrap at 2^32 here and
 * have 64 bits elsewhere; available never exceeds STOCK_QUANTITY_MAX, so that adding to it cannot
 * carry into the sequence, and a word of all ones is none that can be: SEGMENT_NO_INTENT.
 *
 * A slot's state:
 *
 *    63            32 31             0
 *   ┌────────────────┬────────────────┐
 *   │ stamp          │ claim          │
 *   └────────────────┴────────────────┘
 *
 * The stamp is the sequence + 1 of the entry that is filled in; it starts one lap behind and is
 * never zeroed, and "not yet" is a signed distance below zero.  The claim says who has decided
 * about the entry: nobody, the keeper (TAKEN: it goes into the ledger as what it is) or its seller
 * (WITHDRAWN: it goes there as void).  Both are one cell, so that a late withdrawal cannot meet the
 * slot's next entry.
 *
 * A sale's stores, in this order: intent_event; intent (the whole word that the swap expects);
 * swap; fields of the slot; state (stamp, OPEN); intent := none.  What a crash leaves:
 *
 *   killed before                  leaves                               mended by
 *   intent                         nothing                              -
 *   swap                           an intent that nobody won            repair clears it
 *   state                          an orphan: taken, not stamped        repair stamps it as void
 *   intent := none                 a whole entry and an intent          repair clears it
 *   anything later                 a whole entry                        its key finds it
 *
 * The keeper's stores for a batch, in this order: claims; the ledger's transaction; key index;
 * outcomes; published, durable.  A keeper killed in between: its successor starts from the ledger,
 * and does again for each entry between durable and the ledger what follows the transaction. */
#ifndef TICKETD_STOCK_SEGMENT_H
#define TICKETD_STOCK_SEGMENT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "stock/spsc.h"
#include "ticketd/stock.h"

#define SEGMENT_MAGIC      "ticketd"
#define SEGMENT_LAYOUT     5
#define SEGMENT_CACHE_LINE 64
#define SEGMENT_PAGE       4096
/* No swap is under way. */
#define SEGMENT_NO_INTENT UINT64_MAX
/* Look-ups of one worker that wait for the reader at a time. */
#define SEGMENT_LOOKUPS 1024

enum segment_claim {
    SEGMENT_OPEN = 0,
    SEGMENT_TAKEN = 1,
    SEGMENT_WITHDRAWN = 2,
};

/* Whose a place is.  Master only. */
enum segment_life {
    SEGMENT_VACANT = 0,
    SEGMENT_ALIVE,  /* given to a child that has not been reaped; it may still run */
    SEGMENT_REAPED, /* dead and waiting for its repair; its intent cannot change any more */
};

struct segment_slot {
    _Atomic uint64_t state;
    /* Written between swap and stamp by the winner, or by the repair after it died; the key is
     * atomic because a worker may look for one in entries that are being replaced. */
    _Atomic uint64_t key[2];
    uint64_t token;
    int32_t quantity; /* taken; negative: given */
    uint32_t before;  /* available before it */
    uint32_t cookie;
    uint32_t generation; /* of the place */
    uint16_t place;      /* who waits for the outcome */
    uint8_t kind;        /* enum ledger_kind */
    uint8_t unused[13];
};

/* How an entry ended, for who waits for it. */
struct segment_outcome {
    uint64_t sequence;
    uint64_t origin; /* the sale that the key has; else the sequence itself */
    uint64_t token;  /* of that sale */
    uint32_t event;
    uint32_t cookie;
    uint32_t available; /* after that sale */
    uint32_t outcome;   /* enum keeper_outcome */
};

struct segment_lookup {
    uint64_t sequence;
    uint64_t token;
    uint32_t event;
    uint32_t cookie;
};

struct segment_order {
    uint64_t sequence;
    uint64_t token; /* that was asked for: a late answer must not go to who has another */
    int64_t time_us;
    uint32_t quantity;
    uint32_t cookie;
    int32_t status; /* 0, TICKETD_NOT_FOUND or TICKETD_UNAVAILABLE */
    uint32_t event;
};

/* A restock that a worker asks the keeper for. */
enum segment_restock_state {
    SEGMENT_RESTOCK_FREE = 0,
    SEGMENT_RESTOCK_READY,
    SEGMENT_RESTOCK_TAKEN,
    SEGMENT_RESTOCK_REFUSED, /* decided, perhaps not told yet */
};

struct segment_place {
    /* The owner's, on every sale; read by a repair. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint64_t intent;
    _Atomic uint32_t intent_event;
    /* The worker has stamped, or is about to, and will look whether the keeper must be rung; or the
     * keeper has rung it and expects that look of it. */
    _Atomic uint32_t owes_bell;
    /* The keeper's place only: what its swap is about to put in, for the repair. */
    uint32_t draft_kind;
    uint64_t draft_token;
    uint32_t draft_cookie;
    uint32_t draft_generation;
    uint16_t draft_place;

    /* The master's. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t life;
    _Atomic uint32_t generation; /* counts the owners */

    /* The worker's: it sleeps, or is about to; whoever clears it must ring. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t asleep;
    /* It waits for a sequence to be published, and not only for outcomes. */
    _Atomic uint32_t wants_published;

    /* The worker's: one restock at a time. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t restock; /* enum segment_restock_state */
    uint32_t restock_event;
    uint32_t restock_quantity;
    uint32_t restock_cookie;
    uint32_t restock_generation;
    uint64_t restock_token;

    struct spsc outcomes; /* keeper → worker */
    struct spsc lookups;  /* worker → reader */
    struct spsc orders;   /* reader → worker */
};

struct segment_event {
    /* Every seller's, by compare-and-swap only. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint64_t word;

    /* The keeper's. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint64_t durable; /* all before it is in the ledger */
    _Atomic uint64_t published; /* (low 32 bits of durable, available there); stored before it */
    _Atomic uint64_t capacity;

    /* fixed after start */
    alignas(SEGMENT_CACHE_LINE) char id[STOCK_EVENT_ID_MAX + 1];
    uint32_t id_len;
};

struct segment_keeper {
    /* The keeper's. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t asleep; /* cleared by whoever rings */
    /* A worker has put a restock into its place. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t restock_asked;
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t state; /* enum keeper_state */
    _Atomic uint64_t heartbeat;
    _Atomic uint64_t io_since_ms; /* on the monotonic clock; 0: not in the ledger's hands */
    /* The head of an event's journal is taken and not stamped, and has been for too long. */
    _Atomic uint64_t stalled; /* event << 32 | low 32 bits of the sequence; UINT64_MAX: none */
    /* The reader's. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint32_t reader_asleep;
    _Atomic uint64_t reader_heartbeat;
    _Atomic uint64_t reader_io_since_ms;
};

/* Words of a remembered key; atomic, because they are read while they are being replaced. */
enum segment_key_word {
    SEGMENT_KEY_LOW = 0, /* the key */
    SEGMENT_KEY_HIGH,
    SEGMENT_KEY_TOKEN,
    SEGMENT_KEY_WHERE, /* event << 48 | sequence */
    SEGMENT_KEY_SALE,  /* quantity << 32 | available after it */
    SEGMENT_KEY_LINK,  /* time in seconds << 32 | the next older one of its bucket: index + 1, or 0
                        */
    SEGMENT_KEY_WORDS,
};

struct segment_key {
    _Atomic uint64_t word[SEGMENT_KEY_WORDS];
};

/* One index of keys; src/stock/keys.c says how it works. */
struct segment_keys {
    /* fixed after start */
    alignas(SEGMENT_CACHE_LINE) uint64_t seed[2];
    uint64_t buckets_at, slots_at;
    uint64_t keys_max;
    uint32_t slot_count;
    uint32_t bucket_bits;
    /* The keeper's. */
    alignas(SEGMENT_CACHE_LINE) _Atomic uint64_t head; /* keys ever put in */
    _Atomic uint64_t tail;                             /* keys ever forgotten */
};

/* Keys stand in order of age, from which they are forgotten, so that two times to live need two
 * indexes. */
enum segment_key_kind {
    SEGMENT_KEYS_OF_CLIENTS = 0,
    SEGMENT_KEYS_TRANSIENT,
    SEGMENT_KEY_KINDS,
};

struct segment_header {
    /* fixed after start, but for event_count, which only the master changes, before any fork */
    char magic[8];
    uint32_t layout;
    uint32_t events_max;
    uint64_t size_bytes;
    uint64_t instance; /* drawn when the segment was made: see stock_instance */
    uint32_t event_count;
    uint32_t ring_slots; /* a power of two */
    uint32_t place_count;
    uint32_t outcome_slots; /* of each place; a power of two */
    uint64_t events_at, places_at, slots_at, outcomes_at, lookups_at, orders_at;
    struct segment_keeper keeper;
    struct segment_keys keys[SEGMENT_KEY_KINDS];
};

static_assert(sizeof(struct segment_slot) == SEGMENT_CACHE_LINE, "a slot is one line");
static_assert(sizeof(struct segment_key) == 48, "ten million keys must stay below 600 MB");
static_assert(sizeof(struct segment_outcome) == 40, "no padding that nobody asked for");
static_assert(offsetof(struct segment_event, word) == 0, "the word begins its line");
static_assert(sizeof(struct segment_event) == 3 * SEGMENT_CACHE_LINE, "an event is three lines");
static_assert(sizeof(struct segment_place) % SEGMENT_CACHE_LINE == 0, "no shared lines");
static_assert(sizeof(struct segment_header) <= SEGMENT_PAGE, "the header has one page");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a 64-bit swap must not hide a lock");
static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "an atomic word is a plain cell");

static inline uint64_t segment_word(uint32_t sequence, uint32_t available)
{
    return (uint64_t)sequence << 32 | available;
}

static inline uint32_t segment_high(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint32_t segment_low(uint64_t word)
{
    return (uint32_t)word;
}

/* `sequence` with its high half, given a durable sequence at or (by less than 2^32) before it. */
static inline uint64_t segment_sequence(uint64_t durable, uint32_t sequence)
{
    return durable + (uint32_t)(sequence - (uint32_t)durable);
}

static inline struct segment_event *segment_event(const struct stock *stock, uint32_t event)
{
    struct segment_header *segment = stock->segment;

    assert(event < segment->event_count);
    return (struct segment_event *)((char *)segment + segment->events_at) + event;
}

static inline struct segment_place *segment_place(const struct stock *stock, uint32_t place)
{
    struct segment_header *segment = stock->segment;

    assert(place < segment->place_count);
    return (struct segment_place *)((char *)segment + segment->places_at) + place;
}

static inline struct segment_slot *segment_slot(const struct stock *stock, uint32_t event,
                                                uint32_t sequence)
{
    struct segment_header *segment = stock->segment;
    struct segment_slot *ring = (struct segment_slot *)((char *)segment + segment->slots_at) +
                                (size_t)event * segment->ring_slots;

    return &ring[sequence & (segment->ring_slots - 1)];
}

/* The sequence is stamped: its entry is whole.  acquire: who sees the stamp sees the fields. */
static inline bool segment_is_stamped(const struct segment_slot *slot, uint32_t sequence)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);

    return (int32_t)(segment_high(state) - (sequence + 1)) >= 0;
}

#endif
