/* Selling, giving, withdrawing and taking: the protocol of tests/model/stock.pml.  The shared cells
 * and what a crash leaves in them are drawn in segment.h. */
#include "stock/journal.h"

#include <string.h>

#include "stock/segment.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"

/* What goes into a slot. */
struct filling {
    int32_t quantity;
    uint8_t kind;
    uint32_t place;
    uint32_t cookie;
    uint64_t token;
    const struct ledger_key *key;
};

static const struct ledger_key no_key;

static uint64_t stamped(uint32_t sequence, enum segment_claim claim)
{
    return segment_word(sequence + 1, claim);
}

static void forget_intent(struct segment_place *place)
{
    /* release: it must not overtake the stamp, or a repair would see neither */
    atomic_store_explicit(&place->intent, SEGMENT_NO_INTENT, memory_order_release);
}

static void fill(struct segment_slot *slot, const struct filling *filling, uint64_t word,
                 uint32_t generation)
{
    uint64_t key[2];

    memcpy(key, filling->key, sizeof(key));
    /* relaxed: the stamp's release publishes them; see stock_key_in_flight */
    atomic_store_explicit(&slot->key[0], key[0], memory_order_relaxed);
    atomic_store_explicit(&slot->key[1], key[1], memory_order_relaxed);
    slot->token = filling->token;
    slot->quantity = filling->quantity;
    slot->before = segment_low(word);
    slot->cookie = filling->cookie;
    slot->generation = generation;
    slot->place = (uint16_t)filling->place;
    slot->kind = filling->kind;
    /* release: who sees the stamp sees the whole entry */
    atomic_store_explicit(&slot->state, stamped(segment_high(word), SEGMENT_OPEN),
                          memory_order_release);
}

/* One entry through the swap, under `owner`; at most `most` entries may be unsettled before it.
 * `ret_word` is the word that it replaced, or the one that it found wanting. */
static int swap_entry(struct stock *stock, struct segment_place *owner, uint32_t index,
                      const struct filling *filling, uint32_t most, uint64_t *ret_word,
                      uint64_t *ret_durable)
{
    struct segment_event *event = segment_event(stock, index);
    bool has_intent = false;
    int answer = TICKETD_BUSY;

    for (unsigned tries = 0; tries < STOCK_SWAP_TRIES_MAX; ++tries) {
        /* durable before the word: a stale word makes the distance nonsense.  acquire: the keeper
         * has read what is about to be overwritten in the slot. */
        uint64_t durable = atomic_load_explicit(&event->durable, memory_order_acquire);
        uint64_t word = atomic_load_explicit(&event->word, memory_order_acquire);
        int64_t available = (int64_t)segment_low(word) - filling->quantity;
        *ret_word = word;
        *ret_durable = durable;
        if (available < 0 || available > STOCK_QUANTITY_MAX) {
            answer = available < 0 ? TICKETD_SOLD_OUT : TICKETD_INVALID;
            break;
        }
        if (segment_high(word) - (uint32_t)durable >= most)
            break;
        /* release: who sees it sees that the last intent, of another event perhaps, is gone */
        atomic_store_explicit(&owner->intent_event, index, memory_order_release);
        /* release: who sees the intent sees which event it is of */
        atomic_store_explicit(&owner->intent, word, memory_order_release);
        has_intent = true;
        /* release: who sees the word past this sequence sees the intent.  A failing swap needs
         * nothing, the loop loads again. */
        if (atomic_compare_exchange_weak_explicit(
                &event->word, &word, segment_word(segment_high(word) + 1, (uint32_t)available),
                memory_order_acq_rel, memory_order_relaxed))
            return TICKETD_DONE;
    }
    /* Whoever stops trying clears its intent: a stale one blocks repairs. */
    if (has_intent)
        forget_intent(owner);
    return answer;
}

int stock_sell(struct stock *stock, uint32_t place, uint32_t event, const struct stock_sale *sale,
               struct stock_entry *ret_entry)
{
    struct segment_place *owner = segment_place(stock, place);
    struct filling filling = {
        .quantity = (int32_t)sale->quantity,
        .kind = LEDGER_SALE,
        .place = sale->waits ? place : STOCK_PLACE_KEEPER, /* which waits for nothing */
        .cookie = sale->cookie,
        .token = sale->token,
        .key = &sale->key,
    };
    uint64_t word, durable;
    int answer;

    assert(sale->quantity > 0 && sale->quantity <= STOCK_QUANTITY_MAX);
    answer = swap_entry(stock, owner, event, &filling,
                        stock->segment->ring_slots - STOCK_RING_RESERVE, &word, &durable);
    if (answer == TICKETD_BUSY)
        return answer;
    ret_entry->sequence = segment_sequence(durable, segment_high(word));
    ret_entry->available = segment_low(word);
    if (answer != TICKETD_DONE)
        return answer;
    ret_entry->available -= sale->quantity;
    fill(segment_slot(stock, event, segment_high(word)), &filling, word,
         /* relaxed: the master changed it before this process existed */
         atomic_load_explicit(&owner->generation, memory_order_relaxed));
    forget_intent(owner);
    return TICKETD_DONE;
}

int stock_withdraw(struct stock *stock, uint32_t event, uint64_t sequence)
{
    struct segment_slot *slot = segment_slot(stock, event, (uint32_t)sequence);
    uint64_t open = stamped((uint32_t)sequence, SEGMENT_OPEN);

    /* Relaxed would do for the decision, which is one cell; release keeps what the seller did
     * before on this side of it. */
    return atomic_compare_exchange_strong_explicit(&slot->state, &open,
                                                   stamped((uint32_t)sequence, SEGMENT_WITHDRAWN),
                                                   memory_order_acq_rel, memory_order_relaxed)
               ? TICKETD_DONE
               : TICKETD_INVALID;
}

/* The key of a slot that may be replaced meanwhile: true only when it was this sequence's. */
static bool slot_has_key(const struct segment_slot *slot, uint32_t sequence, const uint64_t key[2])
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    bool same;

    if (segment_high(state) != sequence + 1 || segment_low(state) == SEGMENT_WITHDRAWN)
        return false;
    same = atomic_load_explicit(&slot->key[0], memory_order_relaxed) == key[0] &&
           atomic_load_explicit(&slot->key[1], memory_order_relaxed) == key[1];
    atomic_thread_fence(memory_order_acquire); /* the fields are read before the stamp again */
    return same &&
           segment_high(atomic_load_explicit(&slot->state, memory_order_relaxed)) == sequence + 1;
}

bool stock_key_in_flight(const struct stock *stock, uint32_t event, uint64_t sequence,
                         const struct ledger_key *key)
{
    uint64_t wanted[2];

    memcpy(wanted, key, sizeof(wanted));
    for (uint64_t s = stock_durable(stock, event); s < sequence; ++s)
        if (slot_has_key(segment_slot(stock, event, (uint32_t)s), (uint32_t)s, wanted))
            return true;
    return false;
}

uint64_t journal_end(const struct stock *stock, uint32_t event)
{
    uint64_t durable = stock_durable(stock, event);

    /* acquire: who sees the word past a sequence sees its seller's intent */
    return segment_sequence(durable,
                            segment_high(atomic_load_explicit(&segment_event(stock, event)->word,
                                                              memory_order_acquire)));
}

void journal_read(const struct stock *stock, uint32_t event, uint64_t sequence,
                  struct journal_entry *ret_entry)
{
    const struct segment_slot *slot = segment_slot(stock, event, (uint32_t)sequence);
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    uint64_t key[2] = {atomic_load_explicit(&slot->key[0], memory_order_relaxed),
                       atomic_load_explicit(&slot->key[1], memory_order_relaxed)};

    *ret_entry = (struct journal_entry){
        .token = slot->token,
        .quantity = slot->quantity,
        .before = slot->before,
        .kind = slot->kind,
        .withdrawn = segment_low(state) == SEGMENT_WITHDRAWN,
        .waiter = {.place = slot->place, .generation = slot->generation, .cookie = slot->cookie},
    };
    memcpy(&ret_entry->key, key, sizeof(key));
}

bool journal_has_entry(const struct stock *stock, uint32_t event, uint64_t sequence)
{
    return segment_is_stamped(segment_slot(stock, event, (uint32_t)sequence), (uint32_t)sequence);
}

int journal_take(struct stock *stock, uint32_t event, uint64_t sequence,
                 struct journal_entry *ret_entry)
{
    struct segment_slot *slot = segment_slot(stock, event, (uint32_t)sequence);
    uint64_t open = stamped((uint32_t)sequence, SEGMENT_OPEN);

    if (!segment_is_stamped(slot, (uint32_t)sequence))
        return journal_end(stock, event) == sequence ? JOURNAL_END : JOURNAL_STALLED;
    /* One that fails changes nothing: its seller was first, or a keeper that died.
     * acquire: the stamp was seen by whoever swaps, so the fields are whole. */
    (void)atomic_compare_exchange_strong_explicit(&slot->state, &open,
                                                  stamped((uint32_t)sequence, SEGMENT_TAKEN),
                                                  memory_order_acq_rel, memory_order_acquire);
    journal_read(stock, event, sequence, ret_entry);
    return JOURNAL_TAKEN;
}

int journal_give(struct stock *stock, uint32_t event, uint8_t kind, uint32_t quantity,
                 uint64_t token, const struct journal_waiter *waiter, uint64_t *ret_sequence)
{
    struct segment_place *keeper = segment_place(stock, STOCK_PLACE_KEEPER);
    struct filling filling = {
        .quantity = -(int32_t)quantity,
        .kind = kind,
        .place = waiter->place,
        .cookie = waiter->cookie,
        .token = token,
        .key = &no_key,
    };
    uint64_t word, durable;
    int answer;

    assert(quantity > 0 && quantity <= STOCK_QUANTITY_MAX);
    /* Before the intent, whose release publishes them: for the repair of an orphan. */
    keeper->draft_kind = kind;
    keeper->draft_token = token;
    keeper->draft_place = (uint16_t)waiter->place;
    keeper->draft_generation = waiter->generation;
    keeper->draft_cookie = waiter->cookie;
    answer =
        swap_entry(stock, keeper, event, &filling, stock->segment->ring_slots, &word, &durable);
    if (answer != TICKETD_DONE)
        return answer;
    fill(segment_slot(stock, event, segment_high(word)), &filling, word, waiter->generation);
    forget_intent(keeper);
    *ret_sequence = segment_sequence(durable, segment_high(word));
    return TICKETD_DONE;
}

void journal_publish(struct stock *stock, uint32_t event, uint64_t sequence, uint32_t available,
                     uint64_t capacity)
{
    struct segment_event *own = segment_event(stock, event);

    atomic_store_explicit(&own->capacity, capacity, memory_order_relaxed);
    /* release, before durable: see stock_view */
    atomic_store_explicit(&own->published, segment_word((uint32_t)sequence, available),
                          memory_order_release);
    /* release: sellers may overwrite the slots before it, which have been read; who waits for it
     * sees the key index and the outcomes that were put in place before */
    atomic_store_explicit(&own->durable, sequence, memory_order_release);
}
