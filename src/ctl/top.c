#include "ctl/top.h"

#include <errno.h>
#include <math.h>

#include <bsd/string.h>

#include "ticketd/error.h"
#include "util/json.h"

static double number_of(const struct json_document *document, const char *name)
{
    double number;

    return json_get_number(document, name, &number) == JSON_DONE ? number : NAN;
}

/* What does not fit is cut. */
static void read_text(const struct json_document *document, const char *name, char *text,
                      size_t size)
{
    const char *found;

    if (json_get_string(document, name, &found) != JSON_DONE)
        found = "";
    (void)strlcpy(text, found, size);
}

/* A member that is an object; one that is missing is an empty one. */
static struct json_document part_of(const struct json_document *document, const char *name)
{
    struct json_document part;

    return json_get_object(document, name, &part) == JSON_DONE ? part : (struct json_document){0};
}

static struct top_latency latency_of(const struct json_document *document, const char *name)
{
    struct json_document part = part_of(document, name);

    return (struct top_latency){
        .p50 = number_of(&part, "p50"),
        .p90 = number_of(&part, "p90"),
        .p99 = number_of(&part, "p99"),
        .max = number_of(&part, "max"),
    };
}

static int on_event(void *context, const struct json_document *row)
{
    struct top *top = context;
    struct json_document rate = part_of(row, "rate");
    struct top_event *event = &top->events[top->event_count];

    if (top->event_count == TOP_EVENTS)
        return 0;
    ++top->event_count;
    read_text(row, "event", event->id, sizeof(event->id));
    event->available = number_of(row, "available");
    event->sold = number_of(row, "sold");
    event->sales = number_of(&rate, "sales");
    event->tickets = number_of(&rate, "tickets");
    return 0;
}

static int on_pool(void *context, const struct json_document *row)
{
    struct top *top = context;
    struct top_pool *pool = &top->pools[top->pool_count];

    if (top->pool_count == TOP_POOLS)
        return 0;
    ++top->pool_count;
    read_text(row, "pool", pool->name, sizeof(pool->name));
    pool->starting = number_of(row, "starting");
    pool->serving = number_of(row, "serving");
    pool->draining = number_of(row, "draining");
    pool->died = number_of(row, "died");
    return 0;
}

static void read_stock(struct top *top, const struct json_document *document)
{
    struct json_document stock = part_of(document, "stock");
    struct json_document keeper = part_of(document, "keeper");

    top->available = number_of(&stock, "available");
    top->capacity = number_of(&stock, "capacity");
    top->sold = number_of(&stock, "sold");
    top->has_stock = !isnan(top->available);
    (void)json_get_bool(document, "ready", &top->ready);
    (void)json_get_each(document, "events", on_event, top);
    read_text(&keeper, "state", top->keeper, sizeof(top->keeper));
    top->lag = number_of(&keeper, "lag");
    top->batch = number_of(&keeper, "batch");
    top->sync = latency_of(&keeper, "sync");
}

static void read_rates(struct top *top, const struct json_document *document)
{
    struct json_document rate = part_of(document, "rate");
    struct json_document total = part_of(document, "total");
    struct json_document latency = part_of(document, "latency");

    top->has_rates = !isnan(number_of(document, "interval"));
    top->total_sales = number_of(&total, "sales");
    top->rate.requests = number_of(&rate, "requests");
    top->rate.sales = number_of(&rate, "sales");
    top->rate.tickets = number_of(&rate, "tickets");
    top->rate.sold_out = number_of(&rate, "sold_out");
    top->rate.replays = number_of(&rate, "replays");
    top->rate.refused = number_of(&rate, "refused");
    top->rate.errors = number_of(&rate, "errors");
    top->rate.retries = number_of(&rate, "retries");
    top->sales = latency_of(&latency, "sales");
    top->all = latency_of(&latency, "all");
}

static void read_processes(struct top *top, const struct json_document *document)
{
    struct json_document hop = part_of(document, "hop");

    (void)json_get_each(document, "workers", on_pool, top);
    top->connections = number_of(document, "connections");
    top->streams = number_of(document, "streams");
    top->parked = number_of(document, "parked");
    read_text(&hop, "breaker", top->breaker, sizeof(top->breaker));
    top->queue = number_of(&hop, "queue");
    top->busy = number_of(&hop, "busy");
    top->idle = number_of(&hop, "idle");
    top->has_hop = !isnan(top->queue);
}

int top_decode(struct top *ret_top, const char *text, size_t len)
{
    struct json_document document;
    struct top top = {.event_count = 0};
    int result = json_parse(&document, text, len);

    if (result != JSON_DONE)
        return result == -ENOMEM ? -ENOMEM : TICKETD_INVALID;
    top.time = number_of(&document, "time");
    top.uptime = number_of(&document, "uptime");
    read_text(&document, "service", top.service, sizeof(top.service));
    read_text(&document, "version", top.version, sizeof(top.version));
    read_text(&document, "role", top.role, sizeof(top.role));
    read_stock(&top, &document);
    read_rates(&top, &document);
    read_processes(&top, &document);
    json_release(&document);
    if (isnan(top.time) || top.role[0] == '\0')
        return TICKETD_INVALID;
    *ret_top = top;
    return TICKETD_DONE;
}
