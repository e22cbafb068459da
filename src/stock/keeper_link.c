#include "stock/keeper_link.h"

#include "ticketd/error.h"

static struct segment_outcome *outcome_at(const struct stock *stock, uint32_t place, uint32_t index)
{
    const struct segment_header *segment = stock->segment;

    return (struct segment_outcome *)((char *)stock->segment + segment->outcomes_at) +
           (size_t)place * segment->outcome_slots + index;
}

static struct segment_lookup *lookup_at(const struct stock *stock, uint32_t place, uint32_t index)
{
    return (struct segment_lookup *)((char *)stock->segment + stock->segment->lookups_at) +
           (size_t)place * SEGMENT_LOOKUPS + index;
}

static struct segment_order *order_at(const struct stock *stock, uint32_t place, uint32_t index)
{
    return (struct segment_order *)((char *)stock->segment + stock->segment->orders_at) +
           (size_t)place * SEGMENT_LOOKUPS + index;
}

bool keeper_is_ready(const struct stock *stock, uint64_t now_ms)
{
    uint64_t since_ms =
        atomic_load_explicit(&stock->segment->keeper.io_since_ms, memory_order_relaxed);

    return keeper_state(stock) == KEEPER_RUNNING &&
           (since_ms == 0 || now_ms < since_ms + KEEPER_STALL_MS);
}

void keeper_link_stalled(struct stock *stock, uint32_t event, uint64_t sequence)
{
    atomic_store_explicit(&stock->segment->keeper.stalled,
                          event == UINT32_MAX ? UINT64_MAX
                                              : segment_word(event, (uint32_t)sequence),
                          memory_order_release);
}

bool keeper_stalled(const struct stock *stock, uint32_t *ret_event, uint32_t *ret_sequence)
{
    uint64_t stalled = atomic_load_explicit(&stock->segment->keeper.stalled, memory_order_acquire);

    if (stalled == UINT64_MAX)
        return false;
    *ret_event = segment_high(stalled);
    *ret_sequence = segment_low(stalled);
    return true;
}

void keeper_link_owe_bell(struct stock *stock, uint32_t place)
{
    /* relaxed: it is a promise about what this process does later, and orders nothing */
    atomic_store_explicit(&segment_place(stock, place)->owes_bell, 1, memory_order_relaxed);
}

bool keeper_link_owes_bell(const struct stock *stock, uint32_t place)
{
    return atomic_load_explicit(&segment_place(stock, place)->owes_bell, memory_order_relaxed) != 0;
}

bool keeper_link_wants_bell(struct stock *stock, uint32_t place)
{
    /* Before the fence in keeper_link_wake: a keeper that still sees the promise after it has said
     * that it sleeps is seen to sleep by the look that follows here. */
    atomic_store_explicit(&segment_place(stock, place)->owes_bell, 0, memory_order_relaxed);
    return keeper_link_wake(&stock->segment->keeper.asleep);
}

bool keeper_link_wants_another_bell(struct stock *stock)
{
    return keeper_link_wake(&stock->segment->keeper.asleep);
}

bool keeper_link_bell_is_owed(const struct stock *stock)
{
    for (uint32_t i = STOCK_PLACE_OF(0); i < stock->segment->place_count; ++i)
        if (keeper_link_owes_bell(stock, i))
            return true;
    return false;
}

void keeper_link_forget_bells(struct stock *stock)
{
    for (uint32_t i = STOCK_PLACE_OF(0); i < stock->segment->place_count; ++i)
        atomic_store_explicit(&segment_place(stock, i)->owes_bell, 0, memory_order_relaxed);
}

uint32_t keeper_link_outcomes(struct stock *stock, uint32_t place,
                              struct segment_outcome *ret_outcomes, uint32_t most)
{
    struct segment_place *own = segment_place(stock, place);
    uint32_t count = 0, at;

    for (; count < most && spsc_to_read(&own->outcomes, stock->segment->outcome_slots, &at);
         ++count) {
        ret_outcomes[count] = *outcome_at(stock, place, at);
        spsc_read(&own->outcomes);
    }
    return count;
}

bool keeper_link_worker_sleeps(struct stock *stock, uint32_t place, bool wants_published)
{
    struct segment_place *own = segment_place(stock, place);
    uint32_t at;

    atomic_store_explicit(&own->wants_published, wants_published, memory_order_relaxed);
    keeper_link_sleep(&own->asleep);
    if (!spsc_to_read(&own->outcomes, stock->segment->outcome_slots, &at) &&
        !spsc_to_read(&own->orders, SEGMENT_LOOKUPS, &at))
        return true;
    keeper_link_awake(&own->asleep);
    return false;
}

void keeper_link_worker_awake(struct stock *stock, uint32_t place)
{
    keeper_link_awake(&segment_place(stock, place)->asleep);
}

int keeper_link_look_up(struct stock *stock, uint32_t place, const struct segment_lookup *lookup,
                        bool *ret_ring)
{
    struct segment_place *own = segment_place(stock, place);
    uint32_t at;

    if (!spsc_to_fill(&own->lookups, SEGMENT_LOOKUPS, &at))
        return TICKETD_BUSY;
    *lookup_at(stock, place, at) = *lookup;
    spsc_filled(&own->lookups);
    *ret_ring = keeper_link_wake(&stock->segment->keeper.reader_asleep);
    return TICKETD_DONE;
}

bool keeper_link_order(struct stock *stock, uint32_t place, struct segment_order *ret_order)
{
    struct segment_place *own = segment_place(stock, place);
    uint32_t at;

    if (!spsc_to_read(&own->orders, SEGMENT_LOOKUPS, &at))
        return false;
    *ret_order = *order_at(stock, place, at);
    spsc_read(&own->orders);
    return true;
}

bool keeper_link_wants_reader(struct stock *stock, uint32_t place)
{
    uint32_t at;

    return spsc_to_read(&segment_place(stock, place)->lookups, SEGMENT_LOOKUPS, &at) &&
           keeper_link_wake(&stock->segment->keeper.reader_asleep);
}

int keeper_link_ask_restock(struct stock *stock, uint32_t place, uint32_t event, uint32_t quantity,
                            uint32_t cookie, uint64_t token)
{
    struct segment_place *own = segment_place(stock, place);

    /* acquire: the keeper has read the last one */
    if (atomic_load_explicit(&own->restock, memory_order_acquire) != SEGMENT_RESTOCK_FREE)
        return TICKETD_BUSY;
    own->restock_event = event;
    own->restock_quantity = quantity;
    own->restock_cookie = cookie;
    own->restock_generation = atomic_load_explicit(&own->generation, memory_order_relaxed);
    own->restock_token = token;
    /* release: who sees it ready sees all of it */
    atomic_store_explicit(&own->restock, SEGMENT_RESTOCK_READY, memory_order_release);
    atomic_store_explicit(&stock->segment->keeper.restock_asked, 1, memory_order_release);
    return TICKETD_DONE;
}

int keeper_link_take_back_restock(struct stock *stock, uint32_t place, uint64_t token)
{
    struct segment_place *own = segment_place(stock, place);
    uint32_t ready = SEGMENT_RESTOCK_READY;

    /* The keeper frees the place as soon as the entry is in the journal, before its outcome: what
     * is ready may be the next one.  Only this worker writes the token. */
    return own->restock_token == token && atomic_compare_exchange_strong_explicit(
                                              &own->restock, &ready, SEGMENT_RESTOCK_FREE,
                                              memory_order_acq_rel, memory_order_relaxed)
               ? TICKETD_DONE
               : TICKETD_INVALID;
}

/* From now on its worker cannot take it back. */
static bool take_restock(struct segment_place *place)
{
    uint32_t ready = SEGMENT_RESTOCK_READY;

    return atomic_compare_exchange_strong_explicit(&place->restock, &ready, SEGMENT_RESTOCK_TAKEN,
                                                   memory_order_acq_rel, memory_order_acquire) ||
           ready == SEGMENT_RESTOCK_TAKEN || ready == SEGMENT_RESTOCK_REFUSED;
}

bool keeper_link_restock(struct stock *stock, uint32_t *place, struct keeper_restock *ret_restock)
{
    for (; *place < stock->segment->place_count; ++*place) {
        struct segment_place *own = segment_place(stock, *place);
        if (!take_restock(own))
            continue;
        *ret_restock = (struct keeper_restock){
            .event = own->restock_event,
            .quantity = own->restock_quantity,
            .token = own->restock_token,
            .refused = atomic_load_explicit(&own->restock, memory_order_relaxed) ==
                       SEGMENT_RESTOCK_REFUSED,
            .waiter = {.place = *place,
                       .generation = own->restock_generation,
                       .cookie = own->restock_cookie},
        };
        return true;
    }
    return false;
}

void keeper_link_end_restock(struct stock *stock, uint32_t place)
{
    /* release: it has been read */
    atomic_store_explicit(&segment_place(stock, place)->restock, SEGMENT_RESTOCK_FREE,
                          memory_order_release);
}

void keeper_link_refuse_restock(struct stock *stock, uint32_t place)
{
    /* relaxed: only a successor of this process reads it, after it was reaped */
    atomic_store_explicit(&segment_place(stock, place)->restock, SEGMENT_RESTOCK_REFUSED,
                          memory_order_relaxed);
}

void keeper_link_restock_is_done(struct stock *stock, uint64_t token)
{
    for (uint32_t i = 0; i < stock->segment->place_count; ++i) {
        struct segment_place *place = segment_place(stock, i);
        if (atomic_load_explicit(&place->restock, memory_order_acquire) == SEGMENT_RESTOCK_TAKEN &&
            place->restock_token == token)
            keeper_link_end_restock(stock, i);
    }
}

bool keeper_link_restock_waits(const struct stock *stock)
{
    return atomic_load_explicit(&stock->segment->keeper.restock_asked, memory_order_relaxed) != 0;
}

bool keeper_link_restock_asked(struct stock *stock)
{
    _Atomic uint32_t *asked = &stock->segment->keeper.restock_asked;

    return atomic_load_explicit(asked, memory_order_relaxed) != 0 &&
           atomic_exchange_explicit(asked, 0, memory_order_acq_rel) != 0;
}

/* relaxed: the master changes it only when the place has nobody in it, and an outcome for nobody is
 * thrown away by whoever comes next */
static bool still_waits(const struct segment_place *place, uint32_t generation)
{
    return atomic_load_explicit(&place->generation, memory_order_relaxed) == generation;
}

bool keeper_link_complete(struct stock *stock, const struct journal_waiter *waiter,
                          const struct segment_outcome *outcome)
{
    struct segment_place *place = segment_place(stock, waiter->place);
    uint32_t at;

    if (waiter->place == STOCK_PLACE_KEEPER || !still_waits(place, waiter->generation))
        return true;
    if (!spsc_to_fill(&place->outcomes, stock->segment->outcome_slots, &at))
        return false;
    *outcome_at(stock, waiter->place, at) = *outcome;
    spsc_filled(&place->outcomes);
    return true;
}

void keeper_link_each_sent(const struct stock *stock,
                           void (*on_sent)(void *context, const struct segment_outcome *outcome),
                           void *context)
{
    const struct segment_header *segment = stock->segment;

    for (uint32_t i = 0; i < segment->place_count; ++i) {
        const struct spsc *queue = &segment_place(stock, i)->outcomes;
        uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
        uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
        for (; tail != head; ++tail)
            on_sent(context, outcome_at(stock, i, tail & (segment->outcome_slots - 1)));
    }
}

bool keeper_link_wake_worker(struct stock *stock, uint32_t place, bool completed)
{
    struct segment_place *own = segment_place(stock, place);

    return (completed || atomic_load_explicit(&own->wants_published, memory_order_relaxed) != 0) &&
           atomic_load_explicit(&own->asleep, memory_order_relaxed) != 0 &&
           atomic_exchange_explicit(&own->asleep, 0, memory_order_relaxed) != 0;
}

bool keeper_link_wake_reader(struct stock *stock)
{
    _Atomic uint32_t *asleep = &stock->segment->keeper.reader_asleep;

    return atomic_load_explicit(asleep, memory_order_relaxed) == READER_WAITS_FOR_ENTRY &&
           atomic_exchange_explicit(asleep, READER_AWAKE, memory_order_relaxed) != READER_AWAKE;
}

bool keeper_link_lookup(const struct stock *stock, uint32_t place,
                        struct segment_lookup *ret_lookup)
{
    const struct segment_place *own = segment_place(stock, place);
    uint32_t at;

    if (!spsc_to_fill(&own->orders, SEGMENT_LOOKUPS, &at) ||
        !spsc_to_read(&own->lookups, SEGMENT_LOOKUPS, &at))
        return false;
    *ret_lookup = *lookup_at(stock, place, at);
    return true;
}

void keeper_link_answer(struct stock *stock, uint32_t place, const struct segment_order *order)
{
    struct segment_place *own = segment_place(stock, place);
    uint32_t at;
    bool room = spsc_to_fill(&own->orders, SEGMENT_LOOKUPS, &at);

    assert(room && "keeper_link_lookup has seen it, and only this process fills it");
    *order_at(stock, place, at) = *order;
    spsc_filled(&own->orders);
    spsc_read(&own->lookups);
}
