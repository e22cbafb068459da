#include "worker/metrics_source.h"

#include "route/route.h"
#include "stock/keeper_link.h"
#include "stock/keys.h"
#include "util/clock.h"

enum metrics_keeper_state metrics_source_keeper(const struct stock *stock)
{
    switch (keeper_state(stock)) {
    case KEEPER_RUNNING:
        return METRICS_KEEPER_running;
    case KEEPER_LOADING:
        return METRICS_KEEPER_loading;
    case KEEPER_FAULT:
        return METRICS_KEEPER_fault;
    default:
        return METRICS_KEEPER_absent;
    }
}

static void on_ledger(void *context, struct metrics_ledger *ret_ledger)
{
    const struct heritage *heritage = context;
    const struct stock *stock = &heritage->stock;

    *ret_ledger = (struct metrics_ledger){
        .ready = keeper_is_ready(stock, clock_monotonic_ms()),
        .state = metrics_source_keeper(stock),
        .journal_slots = stock->segment->ring_slots,
        .keys_of_clients = keys_count(stock, SEGMENT_KEYS_OF_CLIENTS),
        .keys_transient = keys_count(stock, SEGMENT_KEYS_TRANSIENT),
        .keys_max = stock->segment->keys[SEGMENT_KEYS_OF_CLIENTS].keys_max,
    };
}

static void on_event(void *context, uint32_t event, struct metrics_stock_event *ret_event)
{
    const struct stock *stock = &((const struct heritage *)context)->stock;
    struct stock_view view = stock_view(stock, event);

    *ret_event = (struct metrics_stock_event){
        .available = view.available, .capacity = view.capacity, .lag = stock_lag(stock, event)};
}

void metrics_source_init(struct metrics_source *source, const struct heritage *heritage)
{
    const struct settings *settings = heritage->settings;
    bool has_stock = heritage->stock.segment != NULL;

    *source = (struct metrics_source){
        .metrics = &heritage->metrics,
        .scoreboard = &heritage->scoreboard,
        .route = route_of_number,
        .connections_max = (uint64_t)settings->max_connections,
        .parked_max = (uint64_t)settings->parked_max,
        .client_queue_max = (uint64_t)settings->http_queue_max,
        .context = (void *)heritage,
        .ledger = has_stock ? on_ledger : NULL,
        .event = has_stock ? on_event : NULL,
    };
}
