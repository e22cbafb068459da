#include "master/ledger_children.h"

#include "keeper/keeper_process.h"
#include "stock/keeper_link.h"
#include "stock/repair.h"
#include "ticketd/error.h"
#include "util/clock.h"

/* Of the time that both have to end, the reader, which writes nothing, gets one part of so many. */
#define READER_SHARE 4

static struct stock *stock_of(void *context)
{
    return ((struct ledger_children *)context)->stock;
}

static void leave_master(void *context)
{
    struct ledger_children *children = context;

    children->in_child(children->context);
}

static bool keeper_is_mended(void *context)
{
    struct stock *stock = stock_of(context);

    return !place_is_reaped(stock, STOCK_PLACE_KEEPER) ||
           place_repair(stock, STOCK_PLACE_KEEPER) == TICKETD_DONE;
}

static void on_keeper_start(void *context)
{
    place_give(stock_of(context), STOCK_PLACE_KEEPER);
}

static void on_keeper_gone(void *context)
{
    struct stock *stock = stock_of(context);

    keeper_set_state(stock, KEEPER_ABSENT);
    keeper_link_end_io(&stock->segment->keeper.io_since_ms);
    keeper_link_stalled(stock, UINT32_MAX, 0); /* its successor does not know what it told */
    place_reaped(stock, STOCK_PLACE_KEEPER);
}

static bool reader_is_mended(void *context)
{
    (void)context; /* it writes nothing that another would have to finish */
    return true;
}

static void on_reader_start(void *context)
{
    (void)context;
}

static void on_reader_gone(void *context)
{
    keeper_link_end_io(&stock_of(context)->segment->keeper.reader_io_since_ms);
}

void ledger_children_init(struct ledger_children *children, struct stock *stock,
                          const struct heritage *heritage, void (*in_child)(void *context),
                          void *context)
{
    struct segment_keeper *link = &stock->segment->keeper;
    struct single_options keeper = {
        .name = "keeper",
        .run = keeper_run,
        .heritage = heritage,
        .in_child = leave_master,
        .is_mended = keeper_is_mended,
        .on_start = on_keeper_start,
        .on_gone = on_keeper_gone,
        .context = children,
        .heartbeat = &link->heartbeat,
        .io_since_ms = &link->io_since_ms,
        .metrics_slot = METRICS_SLOT_KEEPER(&heritage->metrics),
    };
    struct single_options reader = keeper;

    reader.name = "reader";
    reader.run = reader_run;
    reader.is_mended = reader_is_mended;
    reader.on_start = on_reader_start;
    reader.on_gone = on_reader_gone;
    reader.heartbeat = &link->reader_heartbeat;
    reader.io_since_ms = &link->reader_io_since_ms;
    reader.metrics_slot = METRICS_SLOT_READER(&heritage->metrics);
    *children = (struct ledger_children){.stock = stock, .in_child = in_child, .context = context};
    metrics_own(&heritage->metrics, keeper.metrics_slot, 1, METRICS_KEEPER);
    metrics_own(&heritage->metrics, reader.metrics_slot, 1, METRICS_READER);
    single_init(&children->keeper, &keeper);
    single_init(&children->reader, &reader);
}

uint64_t ledger_children_tick(struct ledger_children *children, uint64_t now_ms)
{
    uint64_t wake_ms;

    if (children->stock == NULL)
        return UINT64_MAX;
    wake_ms = single_tick(&children->keeper, now_ms);
    return clock_earlier(wake_ms, single_tick(&children->reader, now_ms));
}

void ledger_children_stop(struct ledger_children *children, uint64_t now_ms, uint64_t most_ms)
{
    if (!children->reader.stopping) {
        single_stop(&children->reader, now_ms, most_ms / READER_SHARE);
        children->keeper_stops_ms = now_ms + most_ms / 2; /* a reader that cannot even be killed */
        children->ends_ms = now_ms + most_ms;
    }
    if (!children->keeper.stopping &&
        (single_gone(&children->reader) || now_ms >= children->keeper_stops_ms))
        single_stop(&children->keeper, now_ms,
                    children->ends_ms > now_ms ? children->ends_ms - now_ms : 0);
}

void ledger_children_restart(struct ledger_children *children)
{
    single_restart(&children->keeper);
    single_restart(&children->reader);
}

void ledger_children_kill(struct ledger_children *children)
{
    /* whichever dies first is not replaced */
    children->keeper.stopping = children->reader.stopping = true;
    single_kill(&children->keeper);
    single_kill(&children->reader);
}

bool ledger_children_ready(const struct ledger_children *children)
{
    return children->stock == NULL || keeper_state(children->stock) == KEEPER_RUNNING;
}

bool ledger_children_gone(const struct ledger_children *children)
{
    return single_gone(&children->keeper) && single_gone(&children->reader);
}

bool ledger_children_stillborn(const struct ledger_children *children)
{
    return children->keeper.stillborn || children->reader.stillborn;
}
