#include "worker/control_source.h"

#include <bsd/string.h>
#include <signal.h>

#include "ticketd/error.h"
#include "worker/metrics_source.h"

static void on_status(void *context, struct control_status *ret_status)
{
    const struct heritage *heritage = context;
    const struct scoreboard_reloads *reloads = heritage->scoreboard.reloads;
    const struct stock *stock = &heritage->stock;

    /* relaxed: numbers for people, and for who asks again until they are reached */
    *ret_status = (struct control_status){
        .master_pid = heritage->master,
        .reloads_asked = atomic_load_explicit(&reloads->asked, memory_order_relaxed),
        .reloads_done = atomic_load_explicit(&reloads->done, memory_order_relaxed),
        .reloads_refused = atomic_load_explicit(&reloads->refused, memory_order_relaxed),
    };
    if (stock->segment == NULL)
        return;
    ret_status->keeper = metrics_source_keeper(stock);
    for (uint32_t i = 0; i < stock_event_count(stock); ++i)
        ret_status->keeper_lag += stock_lag(stock, i);
}

static int on_event(void *context, uint32_t index, struct control_event *ret_event)
{
    const struct heritage *heritage = context;
    struct stock_view view;

    if (index >= stock_event_count(&heritage->stock))
        return TICKETD_EVENT_UNKNOWN;
    view = stock_view(&heritage->stock, index);
    *ret_event = (struct control_event){
        .capacity = view.capacity,
        .available = view.available,
        .sequence = view.sequence,
        .published_sequence = view.published_sequence,
        .published_available = view.published_available,
    };
    (void)strlcpy(ret_event->id, view.id, sizeof(ret_event->id));
    return TICKETD_DONE;
}

static uint64_t on_reload(void *context)
{
    const struct heritage *heritage = context;
    uint64_t number =
        atomic_fetch_add_explicit(&heritage->scoreboard.reloads->asked, 1, memory_order_relaxed) +
        1;

    (void)kill(heritage->master, SIGHUP); /* it lives: this process dies with it */
    return number;
}

void control_source_init(struct control_source *source, const struct heritage *heritage)
{
    *source = (struct control_source){
        .context = (void *)heritage,
        .status = on_status,
        .event = heritage->stock.segment == NULL ? NULL : on_event,
        .reload = on_reload,
    };
}
