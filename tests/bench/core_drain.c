#include "core_drain.h"

#include <sched.h>
#include <stdlib.h>

#include "keeper/keeper.h"
#include "stock/journal.h"

void drain_init(struct drain *drain, struct stage *stage)
{
    *drain = (struct drain){.stage = stage, .tally = &stage->shared->drain};
    for (uint32_t i = 0; i < stock_event_count(&stage->heritage.stock); ++i) {
        struct stock_view view = stock_view(&stage->heritage.stock, i);
        drain->events[i] = (struct drain_event){.next = view.published_sequence,
                                                .available = view.published_available};
    }
}

static bool drain_event(struct drain *drain, uint32_t index)
{
    struct stock *stock = &drain->stage->heritage.stock;
    struct drain_event *event = &drain->events[index];
    struct journal_entry entry;
    uint32_t count = 0;

    for (; count < KEEPER_BATCH_MAX; ++count) {
        if (journal_take(stock, index, event->next, &entry) != JOURNAL_TAKEN)
            break;
        if (entry.before != event->available)
            drain->tally->wrong = true;
        event->available = (uint32_t)((int64_t)entry.before - entry.quantity);
        ++event->next;
    }
    if (count > 0)
        journal_publish(stock, index, event->next, event->available, STAGE_CAPACITY);
    drain->tally->entries += count;
    return count > 0;
}

bool drain_turn(struct drain *drain)
{
    bool any = false;

    for (uint32_t i = 0; i < stock_event_count(&drain->stage->heritage.stock); ++i)
        any |= drain_event(drain, i);
    return any;
}

int drain_run(struct stage *stage, void *context)
{
    struct drain drain;
    enum stage_phase phase;
    bool any;

    (void)context;
    drain_init(&drain, stage);
    do {
        phase = stage_phase(stage); /* before the look: what it finds nothing of then is nothing */
        stage_tally_follow(drain.tally, phase);
        any = drain_turn(&drain);
        if (!any) {
            struct stage_idle since = stage_idle_begin();
            (void)sched_yield();
            stage_idle_end(drain.tally, &since);
        }
    } while (any || phase < STAGE_SOLD);
    return drain.tally->wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
