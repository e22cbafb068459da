/* The steps are numbered as in the model's proctype master (tests/model/stock.pml). */
#include "stock/repair.h"

#include <assert.h>

#include "stock/segment.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"

static enum segment_life life_of(const struct segment_place *place)
{
    /* relaxed: only the master reads and writes it */
    return (enum segment_life)atomic_load_explicit(&place->life, memory_order_relaxed);
}

static void set_life(struct segment_place *place, enum segment_life life)
{
    atomic_store_explicit(&place->life, (uint32_t)life, memory_order_relaxed);
}

void place_give(struct stock *stock, uint32_t place)
{
    struct segment_place *own = segment_place(stock, place);

    assert(life_of(own) == SEGMENT_VACANT);
    assert(atomic_load_explicit(&own->intent, memory_order_relaxed) == SEGMENT_NO_INTENT);
    /* Another owner: outcomes of the last one's sales are not for it. */
    atomic_fetch_add_explicit(&own->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&own->asleep, 0, memory_order_relaxed);
    atomic_store_explicit(&own->owes_bell, 0, memory_order_relaxed);
    atomic_store_explicit(&own->wants_published, 0, memory_order_relaxed);
    spsc_discard(&own->outcomes);
    spsc_discard(&own->orders);
    set_life(own, SEGMENT_ALIVE);
}

void place_reaped(struct stock *stock, uint32_t place)
{
    set_life(segment_place(stock, place), SEGMENT_REAPED);
}

bool place_is_reaped(const struct stock *stock, uint32_t place)
{
    return life_of(segment_place(stock, place)) == SEGMENT_REAPED;
}

/* A look that meets an intent which changes so often in a row is to be repeated later. */
#define LOOKS_MAX 16

/* What a place intends: DONE, and the word that its swap expects in *ret_word; TICKETD_NOT_FOUND:
 * nothing, or with another event; TICKETD_BUSY: it changes too quickly to tell.
 * acquire: without an intent, the stamp of what it was about is seen. */
static int look_at_intent(const struct segment_place *place, uint32_t event, uint64_t *ret_word)
{
    uint64_t word = atomic_load_explicit(&place->intent, memory_order_acquire);

    for (int looks = 0; looks < LOOKS_MAX; ++looks) {
        uint64_t before = word;
        uint32_t of = atomic_load_explicit(&place->intent_event, memory_order_acquire);
        word = atomic_load_explicit(&place->intent, memory_order_acquire);
        if (word != before)
            continue; /* the event may be that of the one or of the other */
        if (word == SEGMENT_NO_INTENT || of != event)
            return TICKETD_NOT_FOUND;
        *ret_word = word;
        return TICKETD_DONE;
    }
    return TICKETD_BUSY;
}

struct orphan {
    uint32_t event;
    uint32_t sequence;
    uint32_t before;
    uint32_t after;
    bool knows_after;
};

/* 3: looks through the other intents.  One that shows the sequence and whose owner may still run
 * may own the slot; a reaped one either won it or never will, and this repair settles both.  What
 * one shows for the next sequence tells what this one left. */
static int look_at_intents(const struct stock *stock, uint32_t dead, struct orphan *orphan)
{
    for (uint32_t i = 0; i < stock->segment->place_count; ++i) {
        const struct segment_place *place = segment_place(stock, i);
        uint64_t word;
        int answer = i == dead ? TICKETD_NOT_FOUND : look_at_intent(place, orphan->event, &word);
        if (answer == TICKETD_BUSY)
            return answer;
        if (answer != TICKETD_DONE)
            continue;
        if (segment_high(word) == orphan->sequence && life_of(place) == SEGMENT_ALIVE)
            return TICKETD_BUSY;
        if (segment_high(word) == orphan->sequence + 1) {
            orphan->after = segment_low(word);
            orphan->knows_after = true;
        }
    }
    return TICKETD_DONE;
}

/* 5: what the slot's winner took is the difference to what the next sequence found: not what any
 * intent says it wanted, since two dead ones may have wanted the same slot. */
static void stamp_orphan(struct stock *stock, const struct orphan *orphan)
{
    struct segment_slot *slot = segment_slot(stock, orphan->event, orphan->sequence);
    const struct segment_place *keeper = segment_place(stock, STOCK_PLACE_KEEPER);
    int64_t quantity = (int64_t)orphan->before - orphan->after;
    bool given = quantity < 0;

    assert(quantity != 0 && "every entry moves tickets");
    atomic_store_explicit(&slot->key[0], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->key[1], 0, memory_order_relaxed);
    slot->quantity = (int32_t)quantity;
    slot->before = orphan->before;
    /* Only the keeper gives, and it has one swap under way at a time: it was its draft. */
    slot->kind = given ? (uint8_t)keeper->draft_kind : LEDGER_VOID;
    slot->token = given ? keeper->draft_token : 0;
    slot->place = given ? keeper->draft_place : STOCK_PLACE_KEEPER;
    slot->generation = given ? keeper->draft_generation : 0;
    slot->cookie = given ? keeper->draft_cookie : 0;
    /* release: the stamp comes last, as a seller's */
    atomic_store_explicit(&slot->state, segment_word(orphan->sequence + 1, SEGMENT_OPEN),
                          memory_order_release);
}

/* 2 to 5 of a place that has an intent. */
static int settle(struct stock *stock, uint32_t dead, uint32_t event, uint64_t intent)
{
    struct orphan orphan = {
        .event = event, .sequence = segment_high(intent), .before = segment_low(intent)};
    struct segment_slot *slot = segment_slot(stock, event, orphan.sequence);
    /* acquire: with the word past the sequence, its winner's intent is seen too */
    uint64_t word = atomic_load_explicit(&segment_event(stock, event)->word, memory_order_acquire);
    int answer;

    if (segment_high(word) == orphan.sequence)
        return TICKETD_DONE; /* nobody has won it */
    if (segment_high(word) == orphan.sequence + 1) {
        orphan.after = segment_low(word);
        orphan.knows_after = true;
    }
    answer = look_at_intents(stock, dead, &orphan);
    if (answer != TICKETD_DONE)
        return answer;
    /* 4: last, so that a winner that has cleared its intent has been seen to stamp */
    if (segment_is_stamped(slot, orphan.sequence))
        return TICKETD_DONE;
    if (!orphan.knows_after) {
        const struct segment_slot *next = segment_slot(stock, event, orphan.sequence + 1);
        assert(segment_is_stamped(next, orphan.sequence + 1) && "its winner showed no intent");
        orphan.after = next->before;
    }
    stamp_orphan(stock, &orphan);
    return TICKETD_DONE;
}

int place_repair(struct stock *stock, uint32_t place)
{
    struct segment_place *own = segment_place(stock, place);
    /* 1: it cannot change any more; acquire: nor can what its owner did before */
    uint64_t intent = atomic_load_explicit(&own->intent, memory_order_acquire);

    assert(life_of(own) == SEGMENT_REAPED);
    if (intent != SEGMENT_NO_INTENT) {
        uint32_t event = atomic_load_explicit(&own->intent_event, memory_order_relaxed);
        int answer = settle(stock, place, event, intent);
        if (answer != TICKETD_DONE)
            return answer;
        /* 6; release: after the stamp, so that a repair cut short here is run again in vain */
        atomic_store_explicit(&own->intent, SEGMENT_NO_INTENT, memory_order_release);
    }
    /* 7: the bell that it owed is the caller's to ring */
    atomic_store_explicit(&own->owes_bell, 0, memory_order_relaxed);
    set_life(own, SEGMENT_VACANT);
    return TICKETD_DONE;
}

bool place_of_intent(const struct stock *stock, uint32_t event, uint32_t sequence,
                     uint32_t *ret_place)
{
    for (uint32_t i = 0; i < stock->segment->place_count; ++i) {
        const struct segment_place *place = segment_place(stock, i);
        uint64_t word;
        if (life_of(place) == SEGMENT_ALIVE &&
            look_at_intent(place, event, &word) == TICKETD_DONE && segment_high(word) == sequence) {
            *ret_place = i;
            return true;
        }
    }
    return false;
}
