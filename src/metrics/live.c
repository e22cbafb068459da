#include "metrics/live.h"

#include <bsd/string.h>
#include <time.h>

#include "util/clock.h"
#include "util/json.h"

/* Rates are told in tenths, durations in tenths of microseconds. */
#define RATE_DECIMALS     1
#define RATE_MAX          (INT64_MAX / 1024) /* above any that there is */
#define DURATION_DECIMALS 7
#define DURATION_UNIT_NS  100

/* ---- looking ---- */

struct counting {
    struct live_look *look;
    const struct live_source *source;
};

static void on_requests(void *context, enum metrics_owner owner, struct metrics_request_key key,
                        const struct metrics_histogram *duration)
{
    const struct counting *counting = context;
    struct live_look *look = counting->look;
    struct metrics_values values = {0};
    uint64_t count;

    if (owner != METRICS_OWNER_OF(look->role))
        return;
    metrics_values_add(&values, duration);
    count = metrics_values_count(&values);
    look->count.requests += count;
    if (key.status >= 500 && key.status != 503)
        look->count.errors += count;
    metrics_values_add(&look->all, duration);
    if (counting->source->sells(counting->source->metrics->route(key.route)))
        metrics_values_add(&look->sales, duration);
}

/* What counts for itself by pool; with a stock sales are counted by event. */
static void count_cells(struct live_look *look, const struct metrics *metrics)
{
    static const enum metrics_cell refusals[] = {
        METRICS_refused_overloaded,
        METRICS_refused_vacancy_unavailable,
        METRICS_refused_ledger_unavailable,
        METRICS_refused_outcome_unknown,
    };
    enum metrics_owner owner = METRICS_OWNER_OF(look->role);
    uint32_t events = metrics_event_count(metrics);

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); ++i)
        look->count.refused += metrics_sum(metrics, owner, refusals[i]);
    look->count.retries = metrics_sum(metrics, METRICS_TICKET, METRICS_client_retries);
    for (uint32_t i = 0; i < events; ++i) {
        look->count.sold_out += metrics_sum_event(metrics, owner, i, METRICS_EVENT_sold_outs);
        look->count.replays += metrics_sum_event(metrics, owner, i, METRICS_EVENT_replays);
        if (!role_owns_stock(look->role))
            look->count.sales += metrics_sum_event(metrics, owner, i, METRICS_EVENT_sales);
    }
}

static int64_t utc_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint32_t gauge_of(const _Atomic uint32_t *gauge)
{
    return atomic_load_explicit(gauge, memory_order_relaxed); /* a number for people */
}

static void look_at_worker(struct live_look *look, const struct scoreboard_slot *slot)
{
    enum scoreboard_state state = scoreboard_state(slot);
    uint32_t role = gauge_of(&slot->pool);

    if (state == SCOREBOARD_FREE || role > ROLE_TICKET)
        return;
    look->pools[role].starting += state == SCOREBOARD_STARTING;
    look->pools[role].serving += state == SCOREBOARD_SERVING;
    look->pools[role].draining += state == SCOREBOARD_DRAINING;
    if (role != (uint32_t)look->role)
        return;
    look->connections += gauge_of(&slot->connections);
    look->streams += gauge_of(&slot->streams);
    look->parked += gauge_of(&slot->parked);
    look->hop.queue += gauge_of(&slot->client_queue);
    look->hop.busy += gauge_of(&slot->client_busy);
    look->hop.idle += gauge_of(&slot->client_idle);
    look->hop.closed += gauge_of(&slot->client_closed);
    look->hop.half_open += gauge_of(&slot->client_half_open);
    look->hop.open += gauge_of(&slot->client_open);
}

static void look_at_board(struct live_look *look, const struct scoreboard *board)
{
    for (uint32_t i = 0; i < board->slot_count; ++i)
        look_at_worker(look, &board->slots[i]);
}

static void add_event_seen(struct live_look *look, const struct metrics_source *source,
                           uint32_t index)
{
    const struct metrics *metrics = source->metrics;
    struct live_event event = {0};
    struct metrics_stock_event stock;
    struct metrics_orders orders;

    source->event(source->context, index, &stock);
    metrics_orders_read(metrics, index, &orders);
    look->capacity += event.capacity = stock.capacity;
    look->available += event.available = stock.available;
    look->lag += event.lag = stock.lag;
    look->count.sales += event.sales = orders.count[METRICS_ORDER_orders];
    look->count.tickets += event.tickets = orders.count[METRICS_ORDER_tickets_sold];
    look->count.duplicates += orders.count[METRICS_ORDER_duplicates];
    event.sold_out =
        metrics_sum_event(metrics, METRICS_OWNER_OF(look->role), index, METRICS_EVENT_sold_outs);
    (void)strlcpy(event.id, metrics_event_id(metrics, index), sizeof(event.id));
    if (look->event_count < LIVE_EVENTS_MAX)
        look->events[look->event_count++] = event;
    else
        look->events_cut = true;
}

static void look_at_stock(struct live_look *look, const struct metrics_source *source)
{
    struct metrics_ledger ledger;

    source->ledger(source->context, &ledger);
    look->keeper = metrics_keeper_word(ledger.state);
    look->ready = ledger.ready;
    look->journal_slots = ledger.journal_slots;
    metrics_sum_series(source->metrics, METRICS_SERIES_keeper_batch, &look->batch);
    metrics_sum_series(source->metrics, METRICS_SERIES_ledger_commit, &look->commit);
    for (uint32_t i = 0; i < metrics_event_count(source->metrics); ++i)
        add_event_seen(look, source, i);
}

void live_look(struct live_look *ret_look, const struct live_source *source)
{
    const struct metrics *metrics = source->metrics->metrics;
    struct counting counting = {.look = ret_look, .source = source};

    *ret_look = (struct live_look){
        .time_ms = utc_ms(),
        .at_ns = clock_monotonic_ns(),
        .began_us = metrics_began_us(metrics),
        .role = source->role,
    };
    metrics_each_requests(metrics, on_requests, &counting);
    count_cells(ret_look, metrics);
    for (int role = 0; role <= ROLE_TICKET; ++role)
        ret_look->pools[role].died = metrics_sum(metrics, METRICS_OWNER_OF(role), METRICS_deaths);
    look_at_board(ret_look, source->metrics->scoreboard);
    if (source->metrics->ledger != NULL)
        look_at_stock(ret_look, source->metrics);
}

/* ---- comparing ---- */

/* Everything that was counted since `before`. */
static struct metrics_values values_since(const struct metrics_values *now,
                                          const struct metrics_values *before)
{
    struct metrics_values since = {.sum = now->sum - before->sum};

    for (size_t i = 0; i < sizeof(since.bucket) / sizeof(since.bucket[0]); ++i)
        since.bucket[i] = now->bucket[i] - before->bucket[i];
    return since;
}

bool live_quantile(const struct metrics_values *values, const struct metrics_bounds *bounds,
                   unsigned permille, uint64_t *ret_value)
{
    double rank = (double)metrics_values_count(values) * permille / 1000;
    uint64_t below = 0; /* values in the buckets before */
    uint32_t i = 0;
    uint64_t begin;

    if (metrics_values_count(values) == 0)
        return false;
    while (i < bounds->count && (double)(below + values->bucket[i]) < rank)
        below += values->bucket[i++];
    if (i == bounds->count) {
        *ret_value = bounds->bound[bounds->count - 1];
        return true;
    }
    begin = i > 0 ? bounds->bound[i - 1] : 0;
    *ret_value = begin;
    if (values->bucket[i] > 0)
        *ret_value += (uint64_t)((double)(bounds->bound[i] - begin) * (rank - (double)below) /
                                 (double)values->bucket[i]);
    return true;
}

/* The bound below which they all lie; of those above the last bound that one. */
static uint64_t highest_bound(const struct metrics_values *values,
                              const struct metrics_bounds *bounds)
{
    uint32_t i = bounds->count;

    if (values->bucket[i] > 0)
        --i;
    else
        while (i > 0 && values->bucket[--i] == 0)
            ;
    return bounds->bound[i];
}

/* ---- printing ---- */

struct printing {
    const struct live_look *now;
    const struct live_look *before; /* NULL: there is none */
    uint64_t interval_ns;
};

static void add_duration(struct json_value *object, const char *name, uint64_t ns)
{
    json_add_decimal(object, name, (int64_t)(ns / DURATION_UNIT_NS), DURATION_DECIMALS);
}

static int64_t rate_of(const struct printing *printing, uint64_t now, uint64_t before)
{
    double seconds = (double)printing->interval_ns / 1e9;
    double rate = now > before ? (double)(now - before) * 10 / seconds + 0.5 : 0;

    return rate < (double)RATE_MAX ? (int64_t)rate : RATE_MAX;
}

static void add_counts(const struct printing *printing, struct json_value *document)
{
    const struct live_look *now = printing->now, *before = printing->before;
    const bool always = true, stock = now->keeper != NULL, hop = now->role == ROLE_TICKET;
    struct json_value *total = json_add_object(document, "total");
    struct json_value *rate = before != NULL ? json_add_object(document, "rate") : NULL;

#define X(name, where)                                                                             \
    if (where) {                                                                                   \
        json_add_integer(total, #name, (int64_t)now->count.name);                                  \
        if (rate != NULL)                                                                          \
            json_add_decimal(rate, #name, rate_of(printing, now->count.name, before->count.name),  \
                             RATE_DECIMALS);                                                       \
    }
    LIVE_COUNTS(X)
#undef X
}

/* Leaves it out where there is nothing to tell. */
static void add_latency(struct json_value *object, const char *name,
                        const struct metrics_values *now, const struct metrics_values *before)
{
    static const struct {
        const char *name;
        unsigned permille;
    } quantiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}};
    struct metrics_values since = values_since(now, before);
    struct json_value *latency;
    uint64_t value = 0;

    if (metrics_values_count(&since) == 0)
        return;
    latency = json_add_object(object, name);
    json_add_integer(latency, "count", (int64_t)metrics_values_count(&since));
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); ++i) {
        (void)live_quantile(&since, &metrics_bounds_TIME, quantiles[i].permille, &value);
        add_duration(latency, quantiles[i].name, value);
    }
    add_duration(latency, "max", highest_bound(&since, &metrics_bounds_TIME));
}

static void add_latencies(const struct printing *printing, struct json_value *document)
{
    struct json_value *latency;

    if (printing->before == NULL)
        return;
    latency = json_add_object(document, "latency");
    add_latency(latency, "sales", &printing->now->sales, &printing->before->sales);
    add_latency(latency, "all", &printing->now->all, &printing->before->all);
}

static void add_stock(struct json_value *object, uint64_t available, uint64_t capacity)
{
    json_add_integer(object, "available", (int64_t)available);
    json_add_integer(object, "capacity", (int64_t)capacity);
    json_add_integer(object, "sold", capacity > available ? (int64_t)(capacity - available) : 0);
}

static void add_event(const struct printing *printing, struct json_value *events, uint32_t index)
{
    static const struct live_event none;
    const struct live_event *now = &printing->now->events[index];
    const struct live_event *before =
        printing->before != NULL ? &printing->before->events[index] : &none;
    struct json_value *row = json_append_object(events), *rate;

    json_add_string(row, "event", now->id);
    add_stock(row, now->available, now->capacity);
    json_add_integer(row, "lag", (int64_t)now->lag);
    if (printing->before == NULL)
        return;
    rate = json_add_object(row, "rate");
    json_add_decimal(rate, "sales", rate_of(printing, now->sales, before->sales), RATE_DECIMALS);
    json_add_decimal(rate, "tickets", rate_of(printing, now->tickets, before->tickets),
                     RATE_DECIMALS);
    json_add_decimal(rate, "sold_out", rate_of(printing, now->sold_out, before->sold_out),
                     RATE_DECIMALS);
}

static void add_keeper(const struct printing *printing, struct json_value *document)
{
    const struct live_look *now = printing->now, *before = printing->before;
    struct json_value *keeper = json_add_object(document, "keeper");
    struct metrics_values batch;
    uint64_t batches;

    json_add_string(keeper, "state", now->keeper);
    json_add_integer(keeper, "lag", (int64_t)now->lag);
    json_add_integer(keeper, "journal_slots", (int64_t)now->journal_slots);
    if (before == NULL)
        return;
    batch = values_since(&now->batch, &before->batch);
    batches = metrics_values_count(&batch);
    if (batches > 0)
        json_add_decimal(keeper, "batch", (int64_t)(batch.sum * 10 / batches), RATE_DECIMALS);
    add_latency(keeper, "sync", &now->commit, &before->commit);
}

static void add_owned(const struct printing *printing, struct json_value *document)
{
    const struct live_look *now = printing->now;
    struct json_value *events;

    if (now->keeper == NULL)
        return;
    json_add_bool(document, "ready", now->ready);
    add_stock(json_add_object(document, "stock"), now->available, now->capacity);
    events = json_add_array(document, "events");
    for (uint32_t i = 0; i < now->event_count; ++i)
        add_event(printing, events, i);
    if (now->events_cut)
        json_add_bool(document, "events_cut", true);
    add_keeper(printing, document);
}

static void add_workers(const struct live_look *now, struct json_value *document)
{
    struct json_value *workers = json_add_array(document, "workers");

    for (int role = 0; role <= ROLE_TICKET; ++role) {
        const struct live_pool *pool = &now->pools[role];
        struct json_value *row;
        if (pool->starting + pool->serving + pool->draining + pool->died == 0)
            continue;
        row = json_append_object(workers);
        json_add_string(row, "pool", role_name((enum role)role));
        json_add_integer(row, "starting", pool->starting);
        json_add_integer(row, "serving", pool->serving);
        json_add_integer(row, "draining", pool->draining);
        json_add_integer(row, "died", (int64_t)pool->died);
    }
    json_add_integer(document, "connections", now->connections);
    json_add_integer(document, "streams", now->streams);
    json_add_integer(document, "parked", now->parked);
}

/* The best that any worker has: with one address that answers calls get through. */
static const char *breaker_word(const struct live_hop *hop)
{
    if (hop->closed > 0 || hop->half_open + hop->open == 0)
        return "closed";
    return hop->half_open > 0 ? "half-open" : "open";
}

static void add_hop(const struct live_look *now, struct json_value *document)
{
    struct json_value *hop = json_add_object(document, "hop");

    json_add_string(hop, "breaker", breaker_word(&now->hop));
    json_add_integer(hop, "queue", now->hop.queue);
    json_add_integer(hop, "busy", now->hop.busy);
    json_add_integer(hop, "idle", now->hop.idle);
}

static struct json_value *document_of(const struct printing *printing, const char *service_name)
{
    const struct live_look *now = printing->now;
    struct json_value *document = json_object_new();

    json_add_decimal(document, "time", now->time_ms, 3);
    if (printing->before != NULL)
        json_add_decimal(document, "interval", (int64_t)(printing->interval_ns / 1000000), 3);
    json_add_string(document, "service", service_name);
    json_add_string(document, "version", TICKETD_VERSION);
    json_add_string(document, "role", role_name(now->role));
    json_add_integer(document, "uptime", now->time_ms / 1000 - now->began_us / 1000000);
    add_owned(printing, document);
    add_counts(printing, document);
    add_latencies(printing, document);
    add_workers(now, document);
    if (now->role == ROLE_TICKET)
        add_hop(now, document);
    return document;
}

int live_print(char text[LIVE_TEXT_MAX], const struct live_look *now,
               const struct live_look *before, const char *service_name)
{
    struct printing printing = {.now = now, .before = before};
    struct json_value *document;
    int len;

    if (before != NULL)
        printing.interval_ns = now->at_ns > before->at_ns ? now->at_ns - before->at_ns : 1;
    document = document_of(&printing, service_name);
    len = json_print(document, text, LIVE_TEXT_MAX);
    json_free(document);
    return len;
}
