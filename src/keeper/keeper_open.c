/* Taking over from the keeper before, which may have been killed at any instruction. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/keeper.h"
#include "stock/keeper_link.h"
#include "stock/keys.h"
#include "ticketd/error.h"
#include "util/clock.h"

static int on_event(void *context, const struct ledger_event *from)
{
    struct keeper *keeper = context;
    struct keeper_event *event;

    if (from->event >= keeper->event_count)
        return -EUCLEAN; /* the master put every event of the ledger into the stock */
    event = &keeper->events[from->event];
    event->next = stock_durable(keeper->options.stock, from->event);
    event->available = event->draft_available = from->available;
    event->capacity = event->draft_capacity = from->capacity;
    event->owed = event->draft_owed = from->owed;
    event->draft_next = from->next_sequence;
    if (keeper->options.metrics != NULL)
        metrics_orders_read(keeper->options.metrics, from->event, &event->orders);
    event->hold = event->recovered = journal_end(keeper->options.stock, from->event);
    if (event->draft_next < event->next || event->draft_next > event->hold)
        return -EUCLEAN;
    if (keeper->clock.time_us < from->time_us)
        keeper->clock.time_us = from->time_us;
    return 0;
}

/* Which outcomes of one event's entries between durable and ledger wait unread in their queues. */
struct sent {
    uint32_t event;
    uint64_t first;
    uint64_t count;
    bool *is_sent;
};

static void on_sent(void *context, const struct segment_outcome *outcome)
{
    struct sent *sent = context;

    if (outcome->event == sent->event && outcome->sequence - sent->first < sent->count)
        sent->is_sent[outcome->sequence - sent->first] = true;
}

/* How the entry ended, from the ledger and from who waits for it in the journal. */
static int recall(struct keeper *keeper, uint32_t event, uint64_t sequence,
                  struct ledger_entry *ret_entry, struct keeper_pending *ret_pending)
{
    const struct ledger_ops *ops = keeper->options.ops;
    struct journal_entry from;
    struct ledger_entry origin;
    int result = ops->find(keeper->ledger, event, sequence, ret_entry);

    if (result != 0)
        return result < 0 ? result : -EUCLEAN;
    journal_read(keeper->options.stock, event, sequence, &from);
    *ret_pending = (struct keeper_pending){
        .waiter = from.waiter,
        .outcome = ret_entry->kind == LEDGER_SALE      ? KEEPER_SOLD
                   : ret_entry->kind == LEDGER_RESTOCK ? KEEPER_RESTOCKED
                                                       : 0,
        .origin = sequence,
        .token = from.token,
        .available = ret_entry->available,
    };
    if (ret_entry->kind != LEDGER_DUPLICATE)
        return 0;
    result = ops->find(keeper->ledger, event, ret_entry->origin, &origin);
    if (result != 0)
        return result < 0 ? result : -EUCLEAN;
    ret_pending->outcome =
        origin.quantity == ret_entry->quantity ? KEEPER_DUPLICATE : KEEPER_KEY_REUSED;
    ret_pending->origin = origin.sequence;
    ret_pending->token = origin.token;
    ret_pending->available = origin.available;
    return 0;
}

/* Does again what follows the transaction, for what the predecessor had in the ledger and had not
 * published: some of it may have been done. */
static int finish_event(struct keeper *keeper, uint32_t index)
{
    const struct keeper_event *event = &keeper->events[index];
    struct sent sent = {.event = index, .first = event->next};
    int result = 0;

    sent.count = event->draft_next - event->next;
    if (sent.count == 0)
        return 0;
    sent.is_sent = calloc(sent.count, sizeof(bool));
    if (sent.is_sent == NULL)
        return -ENOMEM;
    keeper_link_each_sent(keeper->options.stock, on_sent, &sent);
    for (uint64_t s = event->next; result == 0 && s < event->draft_next; ++s) {
        struct ledger_entry entry;
        struct keeper_pending pending;
        struct key_sale known;
        result = recall(keeper, index, s, &entry, &pending);
        if (result != 0)
            break;
        if (sent.is_sent[s - event->next])
            pending.outcome = 0;
        if (keys_find(keeper->options.stock, index, &entry.key, &known) == TICKETD_DONE)
            entry.key = (struct ledger_key){{0}};
        keeper_settle(keeper, &entry, &pending);
    }
    free(sent.is_sent);
    return result;
}

static int take_over(struct keeper *keeper)
{
    int result = keeper->options.ops->each_event(keeper->ledger, on_event, keeper);

    keys_recover(keeper->options.stock);
    for (uint32_t i = 0; result == 0 && i < keeper->event_count; ++i)
        result = finish_event(keeper, i);
    if (result == 0)
        keeper_publish(keeper);
    return result;
}

int keeper_open(struct keeper *keeper, const struct keeper_options *options, char *error,
                size_t error_size)
{
    int result;

    memset(keeper, 0, sizeof(*keeper));
    keeper->options = *options;
    keeper->looks_for_restocks = true;
    if (options->metrics != NULL)
        metrics_recorder_init(&keeper->recorder, options->metrics,
                              METRICS_SLOT_KEEPER(options->metrics));
    keeper->event_count = stock_event_count(options->stock);
    keeper->events = calloc(keeper->event_count, sizeof(*keeper->events));
    keeper->completed = calloc(options->stock->segment->place_count, sizeof(*keeper->completed));
    if (keeper->events == NULL || keeper->completed == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        keeper_close(keeper);
        return -ENOMEM;
    }
    keeper_set_state(options->stock, KEEPER_LOADING);
    /* A slow disk is waited for: to be killed for it, again and again, would never end. */
    keeper_link_begin_io(&options->stock->segment->keeper.io_since_ms, clock_monotonic_ms());
    result =
        options->ops->open(&keeper->ledger, options->location, options->hold_fd, error, error_size);
    if (result == 0) {
        result = take_over(keeper);
        if (result == -EUCLEAN)
            (void)snprintf(error, error_size, "the ledger and the journal contradict each other");
        else if (result != 0)
            (void)snprintf(error, error_size, "%s", keeper_error(keeper));
    }
    keeper_link_end_io(&options->stock->segment->keeper.io_since_ms);
    if (result != 0)
        keeper_close(keeper);
    return result;
}

void keeper_close(struct keeper *keeper)
{
    if (keeper->ledger != NULL)
        keeper->options.ops->close(keeper->ledger);
    keeper->ledger = NULL;
    free(keeper->events);
    free(keeper->completed);
    keeper->events = NULL;
    keeper->completed = NULL;
}
