/* What happens just now: percentiles as Prometheus computes them, and two looks as one object. */
#include "../../crash/cmocka_first.h"

#include <math.h>
#include <string.h>

#include "metrics/live.h"
#include "util/json.h"

#define SLOTS  4
#define SECOND UINT64_C(1000000000)

static struct metrics metrics;
static struct scoreboard scoreboard;
static struct metrics_source source;
static struct metrics_recorder worker;
static uint64_t available[METRICS_EVENTS_MAX];
static char text[LIVE_TEXT_MAX];
static struct json_document document;

static const char *route(uint32_t number)
{
    return number == 1 ? "/buy" : number == 2 ? "/look" : "";
}

static bool sells(const char *path)
{
    return strcmp(path, "/buy") == 0;
}

static void on_ledger(void *context, struct metrics_ledger *ret_ledger)
{
    (void)context;
    *ret_ledger = (struct metrics_ledger){.state = METRICS_KEEPER_fault, .journal_slots = 64};
}

static void on_event(void *context, uint32_t event, struct metrics_stock_event *ret_event)
{
    (void)context;
    *ret_event =
        (struct metrics_stock_event){.available = available[event], .capacity = 100, .lag = 5};
}

static int set_up(void **state)
{
    (void)state;
    if (json_init() < 0 || metrics_create(&metrics, SLOTS, METRICS_EVENTS_MAX) < 0 ||
        scoreboard_create(&scoreboard, SLOTS) < 0)
        return -1;
    metrics_own(&metrics, 0, 2, METRICS_VACANCY);
    metrics_own(&metrics, 2, 2, METRICS_TICKET);
    metrics_own(&metrics, METRICS_SLOT_KEEPER(&metrics), 1, METRICS_KEEPER);
    metrics_add_event_id(&metrics, "default", 1);
    source =
        (struct metrics_source){.metrics = &metrics, .scoreboard = &scoreboard, .route = route};
    document = (struct json_document){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_release(&document);
    metrics_destroy(&metrics);
    scoreboard_destroy(&scoreboard);
    return 0;
}

static struct live_look look_as(enum role role)
{
    struct live_look look;

    live_look(&look, &(struct live_source){.metrics = &source, .role = role, .sells = sells});
    return look;
}

/* Prints it, and keeps it decoded until the next. */
static void print(const struct live_look *now, const struct live_look *before)
{
    int len = live_print(text, now, before, "shop");

    assert_true(len > 0);
    json_release(&document);
    assert_int_equal(json_parse(&document, text, (size_t)len), 0);
}

/* The number at a path of names, or NAN. */
static double number(const char *first, const char *second, const char *third)
{
    struct json_document part = document;
    double found = NAN;

    if (third != NULL && json_get_object(&part, first, &part) != 0)
        return NAN;
    if (second != NULL && json_get_object(&part, third != NULL ? second : first, &part) != 0)
        return NAN;
    (void)json_get_number(&part, third != NULL ? third : second != NULL ? second : first, &found);
    return found;
}

static void expect(const char *first, const char *second, const char *third, double wanted)
{
    double found = number(first, second, third);

    if (isnan(wanted) ? !isnan(found) : !(found > wanted - 1e-9 && found < wanted + 1e-9))
        fail_msg("%s.%s.%s is %g instead of %g in %s", first, second, third, found, wanted, text);
}

static void answer(struct metrics_recorder *recorder, uint16_t number_of_route, uint16_t status,
                   uint64_t duration_ns)
{
    metrics_request(recorder,
                    (struct metrics_request_key){
                        .route = number_of_route, .status = status, .method = METRICS_METHOD_POST},
                    duration_ns);
}

/* By the worked cases of Prometheus: within a bucket linear, from 0 in the lowest, and never above
 * the last bound. */
static void test_quantiles(void **state)
{
    struct metrics_values values = {.bucket = {0}};
    const struct metrics_bounds *bounds = &metrics_bounds_TIME;
    uint64_t value = 7;

    (void)state;
    assert_false(live_quantile(&values, bounds, 500, &value));
    assert_int_equal(value, 7);
    values.bucket[0] = 4; /* up to 50 µs */
    assert_true(live_quantile(&values, bounds, 500, &value));
    assert_int_equal(value, 25000);
    values.bucket[2] = 4; /* 100 to 200 µs */
    assert_true(live_quantile(&values, bounds, 500, &value));
    assert_int_equal(value, 50000);
    assert_true(live_quantile(&values, bounds, 750, &value));
    assert_int_equal(value, 150000);
    assert_true(live_quantile(&values, bounds, 1000, &value));
    assert_int_equal(value, 200000);
    values.bucket[bounds->count] = 1; /* above 10 s */
    assert_true(live_quantile(&values, bounds, 990, &value));
    assert_int_equal(value, 10 * SECOND);
    values = (struct metrics_values){.bucket = {[3] = 1}};
    assert_true(live_quantile(&values, bounds, 0, &value));
    assert_int_equal(value, 0);
}

/* A pool with a stock: what was counted between the looks is told per second, by its own requests
 * only; a first look tells what it can. */
static void test_stock(void **state)
{
    struct live_look before, now;
    struct metrics_orders orders = {.sequence = 9};
    uint32_t slot;

    (void)state;
    source.ledger = on_ledger;
    source.event = on_event;
    available[0] = 90;
    assert_int_equal(scoreboard_claim(&scoreboard, ROLE_VACANCY, &slot), 0);
    scoreboard_set_state(&scoreboard.slots[slot], SCOREBOARD_SERVING);
    scoreboard_show(&scoreboard.slots[slot].connections, 3);
    metrics_recorder_init(&worker, &metrics, 0);
    answer(&worker, 1, 200, 60000);
    before = look_as(ROLE_VACANCY);
    print(&before, NULL);
    expect("total", "requests", NULL, 1);
    expect("stock", "sold", NULL, 10);
    expect("interval", NULL, NULL, NAN);
    expect("rate", "requests", NULL, NAN);
    expect("keeper", "lag", NULL, 5);
    expect("connections", NULL, NULL, 3);

    answer(&worker, 1, 200, 60000);
    answer(&worker, 1, 500, 60000);
    answer(&worker, 2, 503, 3 * SECOND);
    metrics_recorder_init(&worker, &metrics, 2); /* another pool's, which does not count here */
    answer(&worker, 1, 200, 60000);
    metrics_recorder_init(&worker, &metrics, 1);
    metrics_add(&worker, METRICS_refused_overloaded, 3);
    metrics_add_event(&worker, 0, METRICS_EVENT_sold_outs, 7);
    metrics_raise_in(&metrics, 0, METRICS_deaths);
    orders.count[METRICS_ORDER_orders] = 4;
    orders.count[METRICS_ORDER_tickets_sold] = 8;
    metrics_orders_write(&metrics, 0, &orders);
    metrics_recorder_init(&worker, &metrics, METRICS_SLOT_KEEPER(&metrics));
    metrics_observe(&worker, METRICS_SERIES_keeper_batch, 3);
    metrics_observe(&worker, METRICS_SERIES_keeper_batch, 4);
    metrics_observe(&worker, METRICS_SERIES_ledger_commit, 150000);
    available[0] = 82;
    now = look_as(ROLE_VACANCY);
    now.at_ns = before.at_ns + 2 * SECOND;
    print(&now, &before);
    expect("interval", NULL, NULL, 2);
    expect("total", "requests", NULL, 4);
    expect("rate", "requests", NULL, 1.5);
    expect("rate", "errors", NULL, 0.5);
    expect("rate", "refused", NULL, 1.5);
    expect("rate", "sold_out", NULL, 3.5);
    expect("rate", "sales", NULL, 2);
    expect("rate", "tickets", NULL, 4);
    expect("stock", "available", NULL, 82);
    expect("latency", "sales", "count", 2);
    expect("latency", "sales", "max", 0.0001);
    expect("latency", "sales", "p50", 0.000075);
    expect("latency", "all", "count", 3);
    expect("latency", "all", "max", 5);
    expect("keeper", "batch", NULL, 3.5);
    expect("keeper", "sync", "p50", 0.00015);
    assert_non_null(strstr(text, "\"state\":\"fault\""));
    assert_non_null(strstr(text, "\"pool\":\"vacancy\",\"starting\":0,\"serving\":1,"
                                 "\"draining\":0,\"died\":1"));
    assert_null(strstr(text, "\"hop\""));
}

/* A ticket pool tells of no stock, counts the sales that its buyers were told of, and of its
 * addresses the best. */
static void test_hop(void **state)
{
    struct live_look before, now;
    uint32_t slot;

    (void)state;
    assert_int_equal(scoreboard_claim(&scoreboard, ROLE_TICKET, &slot), 0);
    scoreboard_set_state(&scoreboard.slots[slot], SCOREBOARD_SERVING);
    scoreboard_show(&scoreboard.slots[slot].client_open, 2);
    scoreboard_show(&scoreboard.slots[slot].client_queue, 6);
    before = look_as(ROLE_TICKET);
    metrics_recorder_init(&worker, &metrics, 2);
    metrics_add_event(&worker, 0, METRICS_EVENT_sales, 5);
    metrics_add(&worker, METRICS_client_retries, 2);
    now = look_as(ROLE_TICKET);
    now.at_ns = before.at_ns + SECOND;
    print(&now, &before);
    assert_null(strstr(text, "\"stock\""));
    assert_null(strstr(text, "\"keeper\""));
    expect("rate", "sales", NULL, 5);
    expect("rate", "retries", NULL, 2);
    expect("hop", "queue", NULL, 6);
    assert_non_null(strstr(text, "\"breaker\":\"open\""));
    scoreboard_show(&scoreboard.slots[slot].client_closed, 1);
    now = look_as(ROLE_TICKET);
    print(&now, NULL);
    assert_non_null(strstr(text, "\"breaker\":\"closed\""));
}

/* The longest object there can be has room: as many events as are told apart, with the longest ids
 * and the largest numbers; all are in the sums. */
static void test_room(void **state)
{
    static const char longest[METRICS_EVENT_ID_MAX + 1] =
        "a-very-long-id-of-an-event-that-is-47-long----x";
    struct live_look now, before;
    size_t events = LIVE_EVENTS_MAX + 8;

    (void)state;
    assert_int_equal(strlen(longest), METRICS_EVENT_ID_MAX);
    source.ledger = on_ledger;
    source.event = on_event;
    for (size_t i = 0; i < events; ++i) {
        available[i] = 1;
        if (i > 0)
            metrics_add_event_id(&metrics, longest, 1);
    }
    before = look_as(ROLE_MONOLITH);
    assert_int_equal(before.available, events);
    assert_int_equal(before.event_count, LIVE_EVENTS_MAX);
    for (size_t i = 0; i < LIVE_EVENTS_MAX; ++i) {
        struct live_event *event = &before.events[i];
        event->available = event->capacity = event->lag = event->sales = event->tickets =
            event->sold_out = INT64_MAX / 1000;
    }
    now = before;
    now.at_ns += 1;
    memset(&before.events, 0, sizeof(before.events));
    print(&now, &before);
    assert_non_null(strstr(text, "\"events_cut\":true"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test_setup_teardown(test_stock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
