#include "keeper/keeper.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "stock/keeper_link.h"
#include "stock/keys.h"
#include "ticketd/error.h"
#include "util/clock.h"

static struct stock *stock_of(const struct keeper *keeper)
{
    return keeper->options.stock;
}

static _Atomic uint64_t *io_since(const struct keeper *keeper)
{
    return &stock_of(keeper)->segment->keeper.io_since_ms;
}

const char *keeper_error(const struct keeper *keeper)
{
    return keeper->options.ops->error(keeper->ledger);
}

/* ---- Deciding about entries ---- */

/* The sale that the key has made: in the ledger, or before in this batch. */
static bool find_origin(struct keeper *keeper, const struct ledger_entry *entry,
                        struct key_sale *ret_origin)
{
    uint32_t index;
    const struct ledger_entry *first;

    if (keys_find(stock_of(keeper), entry->event, &entry->key, ret_origin) == TICKETD_DONE)
        return true;
    if (!batch_keys_find_or_put(&keeper->keys, entry->event, &entry->key, keeper->count, &index))
        return false;
    first = &keeper->entries[index];
    *ret_origin = (struct key_sale){
        .event = first->event,
        .sequence = first->sequence,
        .token = first->token,
        .quantity = (uint32_t)first->quantity,
        .available = first->available,
    };
    return true;
}

static void decide_sale(struct keeper *keeper, struct keeper_event *event,
                        struct ledger_entry *entry, struct keeper_pending *pending)
{
    struct key_sale origin;

    pending->outcome = KEEPER_SOLD;
    pending->origin = entry->sequence;
    pending->token = entry->token;
    pending->available = entry->available;
    if (ledger_key_is_none(&entry->key) || !find_origin(keeper, entry, &origin))
        return;
    pending->outcome =
        origin.quantity == (uint32_t)entry->quantity ? KEEPER_DUPLICATE : KEEPER_KEY_REUSED;
    pending->origin = origin.sequence;
    pending->token = origin.token;
    pending->available = origin.available;
    entry->kind = LEDGER_DUPLICATE;
    entry->origin = origin.sequence;
    entry->token = 0;
    event->draft_owed += (uint32_t)entry->quantity;
}

/* Adds the entry to the batch.  0, or -EUCLEAN: it does not follow from the one before. */
static int decide(struct keeper *keeper, uint32_t index, const struct journal_entry *from)
{
    struct keeper_event *event = &keeper->events[index];
    struct ledger_entry *entry = &keeper->entries[keeper->count];
    struct keeper_pending *pending = &keeper->pending[keeper->count];

    if (from->before != event->draft_available)
        return -EUCLEAN;
    *pending = (struct keeper_pending){.waiter = from->waiter, .token = from->token};
    *entry = (struct ledger_entry){
        .event = index,
        .quantity = from->quantity,
        .sequence = event->draft_next,
        .token = from->token,
        .time_us = keeper->clock.time_us,
        .available = (uint32_t)((int64_t)from->before - from->quantity),
        .kind = from->withdrawn ? LEDGER_VOID : from->kind,
        .key = from->key,
    };
    switch (entry->kind) {
    case LEDGER_SALE:
        decide_sale(keeper, event, entry, pending);
        break;
    case LEDGER_VOID:
        entry->token = 0;
        entry->key = (struct ledger_key){{0}};
        event->draft_owed += (uint32_t)entry->quantity;
        break;
    case LEDGER_RETURN:
        entry->token = 0;
        event->draft_owed -= (uint32_t)-entry->quantity;
        break;
    default: /* LEDGER_RESTOCK: its token is no order's */
        pending->outcome = KEEPER_RESTOCKED;
        pending->origin = entry->sequence;
        pending->available = entry->available;
        entry->token = 0;
        event->draft_capacity += (uint32_t)-entry->quantity;
        break;
    }
    event->draft_available = entry->available;
    ++event->draft_next;
    ++keeper->count;
    return 0;
}

/* Takes what is stamped of one event.  0, JOURNAL_STALLED, or a negated errno. */
static int collect_event(struct keeper *keeper, uint32_t index)
{
    struct keeper_event *event = &keeper->events[index];
    struct journal_entry entry;
    int answer = JOURNAL_TAKEN;

    event->draft_next = event->next;
    event->draft_available = event->available;
    event->draft_capacity = event->capacity;
    event->draft_owed = event->owed;
    while (keeper->count < KEEPER_BATCH_MAX) {
        answer = journal_take(stock_of(keeper), index, event->draft_next, &entry);
        if (answer != JOURNAL_TAKEN)
            break;
        answer = decide(keeper, index, &entry);
        if (answer < 0)
            return answer;
    }
    return answer == JOURNAL_STALLED ? JOURNAL_STALLED : 0;
}

/* The time of the batch to come; a step of the clock is recorded first. */
static int tell_time(struct keeper *keeper)
{
    int64_t step_us, time_us = keeper_clock_now(&keeper->clock, &step_us);
    int result = 0;

    if (step_us != 0) {
        keeper_link_begin_io(io_since(keeper), clock_monotonic_ms());
        result = keeper->options.ops->note_clock_step(keeper->ledger, time_us, step_us);
        keeper_link_end_io(io_since(keeper));
    }
    if (result == 0)
        keeper_clock_told(&keeper->clock, time_us, step_us != 0);
    return result;
}

bool keeper_has_work(const struct keeper *keeper)
{
    if (keeper->failed || keeper_link_restock_waits(stock_of(keeper)))
        return true;
    for (uint32_t i = 0; i < keeper->event_count; ++i)
        if (journal_has_entry(stock_of(keeper), i, keeper->events[i].next))
            return true;
    return false;
}

/* Slots that are taken, stamped or not, of all events. */
static uint64_t taken_slots(const struct keeper *keeper)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < keeper->event_count; ++i)
        count += journal_end(stock_of(keeper), i) - keeper->events[i].next;
    return count;
}

static int collect(struct keeper *keeper, struct keeper_stall *ret_stall)
{
    keeper->count = 0;
    batch_keys_clear(&keeper->keys);
    for (uint32_t i = 0; i < keeper->event_count; ++i) {
        uint32_t index = (keeper->first_event + i) % keeper->event_count;
        int answer = collect_event(keeper, index);
        if (answer < 0)
            return answer;
        if (answer == JOURNAL_STALLED && ret_stall->event == UINT32_MAX) {
            ret_stall->event = index;
            ret_stall->sequence = keeper->events[index].draft_next;
        }
    }
    if (++keeper->first_event >= keeper->event_count)
        keeper->first_event = 0;
    return 0;
}

/* ---- After the ledger has them ---- */

/* Once for each entry, whoever of the keepers settles it, and how often: see metrics_orders_write.
 */
static void count_entry(struct keeper *keeper, const struct ledger_entry *entry)
{
    struct metrics_orders *orders = &keeper->events[entry->event].orders;

    if (entry->sequence < orders->sequence)
        return;
    orders->sequence = entry->sequence + 1;
    switch (entry->kind) {
    case LEDGER_SALE:
        ++orders->count[METRICS_ORDER_orders];
        orders->count[METRICS_ORDER_tickets_sold] += (uint32_t)entry->quantity;
        break;
    case LEDGER_DUPLICATE:
        ++orders->count[METRICS_ORDER_duplicates];
        break;
    case LEDGER_VOID:
        ++orders->count[METRICS_ORDER_voids];
        break;
    case LEDGER_RETURN:
        ++orders->count[METRICS_ORDER_returns];
        break;
    default:
        ++orders->count[METRICS_ORDER_restocks];
        break;
    }
}

void keeper_settle(struct keeper *keeper, const struct ledger_entry *entry,
                   const struct keeper_pending *pending)
{
    struct segment_outcome outcome = {
        .sequence = entry->sequence,
        .origin = pending->origin,
        .token = pending->token,
        .event = entry->event,
        .cookie = pending->waiter.cookie,
        .available = pending->available,
        .outcome = pending->outcome,
    };
    int put = TICKETD_DONE;

    count_entry(keeper, entry);
    if (entry->kind == LEDGER_SALE && !ledger_key_is_none(&entry->key))
        put = keys_put(stock_of(keeper),
                       &(struct key_sale){
                           .key = entry->key,
                           .event = entry->event,
                           .sequence = entry->sequence,
                           .token = entry->token,
                           .quantity = (uint32_t)entry->quantity,
                           .available = entry->available,
                       },
                       0);
    assert(put == TICKETD_DONE && "the spare holds all sales that were on their way");
    if (entry->kind == LEDGER_RESTOCK)
        keeper_link_restock_is_done(stock_of(keeper), pending->token);
    if (pending->outcome != 0) {
        bool sent = keeper_link_complete(stock_of(keeper), &pending->waiter, &outcome);
        assert(sent && "a worker's queue has room for all that it may park, twice");
        keeper->completed[pending->waiter.place] = true;
    }
}

static void publish_event(struct keeper *keeper, uint32_t index)
{
    struct keeper_event *event = &keeper->events[index];

    event->next = event->draft_next;
    event->available = event->draft_available;
    event->capacity = event->draft_capacity;
    event->owed = event->draft_owed;
    if (event->hold < event->next)
        event->hold = event->next;
    /* before it is published: a successor counts what is not, unless it is counted already */
    if (keeper->options.metrics != NULL)
        metrics_orders_write(keeper->options.metrics, index, &event->orders);
    journal_publish(stock_of(keeper), index, event->next, event->available, event->capacity);
}

/* Whether to wait for what the clients that are answered now ask for next.  Where they are more
 * than those who wait already, a batch of these alone would cost nearly what one of all costs, and
 * leave the others for another one: two groups that take turns for ever, each with its own sync. */
static bool expects_more(const struct keeper *keeper)
{
    uint64_t waiting = taken_slots(keeper);

    return waiting > 0 && waiting < keeper->count;
}

static void wake(struct keeper *keeper)
{
    const struct segment_header *segment = stock_of(keeper)->segment;
    bool expected = expects_more(keeper);

    /* see keeper_link_wake_worker */
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t place = STOCK_PLACE_OF(0); place < segment->place_count; ++place) {
        bool ring = keeper_link_wake_worker(stock_of(keeper), place, keeper->completed[place]);
        keeper->completed[place] = false;
        if (ring && expected)
            keeper_link_owe_bell(stock_of(keeper), place);
        if (ring && keeper->options.bells != NULL)
            (void)eventfd_write(keeper->options.bells[place - STOCK_PLACE_OF(0)], 1);
    }
    if (keeper_link_wake_reader(stock_of(keeper)) && keeper->options.reader_bell >= 0)
        (void)eventfd_write(keeper->options.reader_bell, 1);
}

void keeper_publish(struct keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->event_count; ++i)
        if (keeper->events[i].draft_next != keeper->events[i].next)
            publish_event(keeper, i);
    wake(keeper);
}

static void finish_batch(struct keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->count; ++i)
        keeper_settle(keeper, &keeper->entries[i], &keeper->pending[i]);
    keeper_publish(keeper);
}

static int write_batch(struct keeper *keeper)
{
    uint64_t began_ns = clock_monotonic_ns();
    int result;

    keeper_link_begin_io(io_since(keeper), began_ns / 1000000);
    result = keeper->options.ops->append(keeper->ledger, keeper->entries, keeper->count);
    keeper_link_end_io(io_since(keeper));
    if (result == -EINVAL)
        return -EUCLEAN; /* the ledger says that they do not follow: no use in trying again */
    keeper->failed = result != 0;
    if (result != 0) {
        metrics_add(&keeper->recorder, METRICS_ledger_failures, 1);
        return KEEPER_TURN_FAULT;
    }
    metrics_observe(&keeper->recorder, METRICS_SERIES_ledger_commit,
                    clock_monotonic_ns() - began_ns);
    metrics_observe(&keeper->recorder, METRICS_SERIES_keeper_batch, keeper->count);
    finish_batch(keeper);
    return KEEPER_TURN_DONE;
}

/* ---- Entries of its own ---- */

static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};

/* Returns what is owed, unless an earlier return is still on its way.  true when it did. */
static bool give_back(struct keeper *keeper)
{
    bool any = false;

    for (uint32_t i = 0; i < keeper->event_count; ++i) {
        struct keeper_event *event = &keeper->events[i];
        uint64_t sequence;
        uint32_t quantity =
            event->owed < STOCK_QUANTITY_MAX ? (uint32_t)event->owed : STOCK_QUANTITY_MAX;
        if (quantity == 0 || event->hold != event->next ||
            journal_give(stock_of(keeper), i, LEDGER_RETURN, quantity, 0, &nobody, &sequence) !=
                TICKETD_DONE)
            continue;
        event->hold = sequence + 1;
        any = true;
    }
    return any;
}

static bool has_recovered(const struct keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->event_count; ++i)
        if (keeper->events[i].next < keeper->events[i].recovered)
            return false;
    return true;
}

static void refuse_restock(struct keeper *keeper, uint32_t place,
                           const struct keeper_restock *restock)
{
    /* before it is told: it may not be done after all by a successor that finds room */
    keeper_link_refuse_restock(stock_of(keeper), place);
    (void)keeper_link_complete(stock_of(keeper), &restock->waiter,
                               &(struct segment_outcome){.token = restock->token,
                                                         .event = restock->event,
                                                         .cookie = restock->waiter.cookie,
                                                         .outcome = KEEPER_REFUSED});
    keeper->completed[place] = true;
    keeper_link_end_restock(stock_of(keeper), place);
    wake(keeper);
}

/* Adds what operators have asked for.  Not before all that a predecessor may have left is in the
 * ledger: the restock may be among it. */
static bool restock(struct keeper *keeper)
{
    struct keeper_restock wanted;
    bool any = false;

    if (!has_recovered(keeper) || !keeper->looks_for_restocks)
        return false;
    keeper->looks_for_restocks = false;
    for (uint32_t place = 0; keeper_link_restock(stock_of(keeper), &place, &wanted); ++place) {
        uint64_t sequence;
        int answer = wanted.refused
                         ? TICKETD_INVALID
                         : journal_give(stock_of(keeper), wanted.event, LEDGER_RESTOCK,
                                        wanted.quantity, wanted.token, &wanted.waiter, &sequence);
        if (answer == TICKETD_DONE)
            /* right after the stamp, before anything else is taken: see has_recovered */
            keeper_link_end_restock(stock_of(keeper), place);
        else if (answer == TICKETD_INVALID)
            refuse_restock(keeper, place, &wanted);
        else
            keeper->looks_for_restocks = true; /* the ring is full just now */
        any |= answer == TICKETD_DONE;
    }
    return any;
}

int keeper_turn(struct keeper *keeper, struct keeper_stall *ret_stall)
{
    bool gave;
    int result;

    ret_stall->event = UINT32_MAX;
    if (keeper->failed)
        return write_batch(keeper);
    if (keeper_link_restock_asked(stock_of(keeper)))
        keeper->looks_for_restocks = true;
    gave = restock(keeper);
    gave |= give_back(keeper);
    if (!gave && taken_slots(keeper) == 0) {
        (void)keys_forget(stock_of(keeper), (uint32_t)keeper->options.ttl_s, KEEPER_FORGET_MAX);
        return KEEPER_TURN_IDLE;
    }
    if (tell_time(keeper) != 0)
        return KEEPER_TURN_FAULT;
    result = collect(keeper, ret_stall);
    if (result < 0)
        return result;
    if (keeper->count == 0)
        return ret_stall->event != UINT32_MAX ? KEEPER_TURN_STALLED : KEEPER_TURN_IDLE;
    (void)keys_forget(stock_of(keeper), (uint32_t)keeper->options.ttl_s, KEEPER_FORGET_MAX);
    return write_batch(keeper);
}
