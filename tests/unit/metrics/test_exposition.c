/* /metrics as text: what is in it, how it is written, how much there can be of it. */
#include "../../crash/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/exposition.h"

#define SLOTS 4

static struct metrics metrics;
static struct scoreboard scoreboard;
static struct metrics_source source;
static struct metrics_recorder recorder;
static void *given[2];
static size_t given_sizes[2];
static size_t given_count;
static char *text;

static const char *route(uint32_t number)
{
    return number == 1 ? "/api/v1/purchase" : number == 2 ? "/api/v1/orders/{id}" : "";
}

static void on_ledger(void *context, struct metrics_ledger *ret_ledger)
{
    (void)context;
    *ret_ledger = (struct metrics_ledger){.ready = true,
                                          .state = METRICS_KEEPER_fault,
                                          .journal_slots = 64,
                                          .keys_of_clients = 3,
                                          .keys_transient = 4,
                                          .keys_max = UINT64_MAX};
}

static void on_event(void *context, uint32_t event, struct metrics_stock_event *ret_event)
{
    (void)context;
    *ret_event = (struct metrics_stock_event){
        .available = 10 + event, .capacity = 20 + event, .lag = 30 + event};
}

/* Of a master with both pools and a stock; the first event's id is one that none has. */
static int set_up(void **state)
{
    (void)state;
    if (metrics_create(&metrics, SLOTS, METRICS_EVENTS_MAX) < 0 ||
        scoreboard_create(&scoreboard, SLOTS) < 0)
        return -1;
    metrics_own(&metrics, 0, 2, METRICS_VACANCY);
    metrics_own(&metrics, 2, 2, METRICS_TICKET);
    metrics_own(&metrics, METRICS_SLOT_KEEPER(&metrics), 1, METRICS_KEEPER);
    metrics_own(&metrics, METRICS_SLOT_READER(&metrics), 1, METRICS_READER);
    metrics_add_event_id(&metrics, "a\"b\\c\nd", 1);
    metrics_add_event_id(&metrics, "default", 1);
    metrics_recorder_init(&recorder, &metrics, 0);
    source = (struct metrics_source){.metrics = &metrics,
                                     .scoreboard = &scoreboard,
                                     .route = route,
                                     .ledger = on_ledger,
                                     .event = on_event};
    given_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    metrics_destroy(&metrics);
    scoreboard_destroy(&scoreboard);
    free(given[0]);
    free(given[1]);
    free(text);
    text = NULL;
    given[0] = given[1] = NULL;
    return 0;
}

static void *alloc(void *context, size_t size)
{
    assert_null(context);
    assert_true(given_count < 2);
    given_sizes[given_count] = size;
    return given[given_count++] = malloc(size);
}

/* Terminated, in `text`. */
static void expose(void)
{
    struct text exposed = metrics_exposition(&source, alloc, NULL);

    text = strndup(exposed.base, exposed.len);
    assert_non_null(text);
    assert_int_equal(strlen(text), exposed.len);
    assert_true(exposed.len <= given_sizes[1]);
}

static void expect_line(const char *line)
{
    size_t len = strlen(line);

    for (const char *at = text; (at = strstr(at, line)) != NULL; ++at)
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return;
    fail_msg("no line \"%s\" in\n%s", line, text);
}

/* Every family of the table is told, with its help and type in front, before anything was counted,
 * but for the kinds of answers that there were none of; and no family twice. */
static void test_every_family(void **state)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    (void)state;
    metrics_request(
        &recorder,
        (struct metrics_request_key){.route = 1, .status = 200, .method = METRICS_METHOD_POST}, 1);
    expose();
    for (int id = 0; id < METRIC_COUNT; ++id) {
        const struct metric *metric = metric_of((enum metric_id)id);
        char wanted[1024], *at;
        (void)snprintf(wanted, sizeof(wanted), "# HELP %s %s\n# TYPE %s %s\n%s", metric->name,
                       metric->help, metric->name, types[metric->type], metric->name);
        at = strstr(text, wanted);
        if (at == NULL)
            fail_msg("no %s", wanted);
        else
            assert_null(strstr(at + 1, wanted));
    }
}

/* Label values are escaped as the format wants it. */
static void test_escaping(void **state)
{
    (void)state;
    expose();
    expect_line("ticketd_stock_available{event=\"a\\\"b\\\\c\\nd\"} 10");
    expect_line("ticketd_stock_available{event=\"default\"} 11");
}

/* Numbers are whole ones up to the greatest; buckets add up; sums of time are in seconds. */
static void test_numbers(void **state)
{
    const struct metrics_request_key key = {
        .route = 2, .status = 404, .method = METRICS_METHOD_GET};

    (void)state;
    metrics_request(&recorder, key, 50000);
    metrics_request(&recorder, key, 60000);
    metrics_request(&recorder, key, UINT64_C(20000000007));
    metrics_observe(&recorder, METRICS_SERIES_client_batch, 3);
    metrics_add(&recorder, METRICS_accepted, UINT64_MAX);
    expose();
#define LABELS                                                                                     \
    "http_request_method=\"GET\",http_route=\"/api/v1/orders/{id}\","                              \
    "http_response_status_code=\"404\",pool=\"vacancy\""
    expect_line("http_server_request_duration_seconds_bucket{" LABELS ",le=\"5e-05\"} 1");
    expect_line("http_server_request_duration_seconds_bucket{" LABELS ",le=\"0.0001\"} 2");
    expect_line("http_server_request_duration_seconds_bucket{" LABELS ",le=\"10\"} 2");
    expect_line("http_server_request_duration_seconds_bucket{" LABELS ",le=\"+Inf\"} 3");
    expect_line("http_server_request_duration_seconds_sum{" LABELS "} 20.000110007");
    expect_line("http_server_request_duration_seconds_count{" LABELS "} 3");
    expect_line("ticketd_client_batch_purchases_bucket{le=\"2\"} 0");
    expect_line("ticketd_client_batch_purchases_bucket{le=\"4\"} 1");
    expect_line("ticketd_client_batch_purchases_sum 3");
    expect_line("ticketd_connections_accepted_total{pool=\"vacancy\"} 18446744073709551615");
    expect_line("ticketd_connections_accepted_total{pool=\"ticket\"} 0");
    expect_line("ticketd_keys_max 18446744073709551615");
    expect_line("ticketd_keeper_state{state=\"fault\"} 1");
    expect_line("ticketd_keeper_state{state=\"running\"} 0");
    expect_line("ticketd_process_starts_total{process=\"keeper\",pool=\"\"} 0");
    expect_line("ticketd_build_info{version=\"" TICKETD_VERSION "\"} 1");
}

/* The same answers of two workers of one pool are one line, those of another pool are not. */
static void test_sums_over_workers(void **state)
{
    const struct metrics_request_key key = {
        .route = 1, .status = 200, .method = METRICS_METHOD_POST};

    (void)state;
    for (uint32_t slot = 0; slot < SLOTS - 1; ++slot) {
        metrics_recorder_init(&recorder, &metrics, slot);
        metrics_request(&recorder, key, 1);
        metrics_add_event(&recorder, 1, METRICS_EVENT_sales, 5);
    }
    expose();
#define COUNT_OF(pool, count)                                                                      \
    "http_server_request_duration_seconds_count{http_request_method=\"POST\","                     \
    "http_route=\"/api/v1/purchase\",http_response_status_code=\"200\",pool=\"" pool "\"} " count
    expect_line(COUNT_OF("vacancy", "2"));
    expect_line(COUNT_OF("ticket", "1"));
    expect_line("ticketd_sales_total{event=\"default\",pool=\"vacancy\"} 10");
    expect_line("ticketd_sales_total{event=\"default\",pool=\"ticket\"} 5");
}

/* Gauges are summed over living workers; one that has left counts for nothing. */
static void test_gauges(void **state)
{
    uint32_t slot;

    (void)state;
    for (int i = 0; i < 3; ++i)
        assert_int_equal(scoreboard_claim(&scoreboard, 0, &slot), 0);
    for (slot = 0; slot < 3; ++slot) {
        scoreboard_set_state(&scoreboard.slots[slot], SCOREBOARD_SERVING);
        scoreboard_show(&scoreboard.slots[slot].connections, 2);
        scoreboard_show(&scoreboard.slots[slot].client_idle, 4);
    }
    scoreboard_release(&scoreboard, 1);
    source.connections_max = 100;
    source.parked_max = 30;
    source.client_queue_max = 40;
    expose();
    expect_line("ticketd_connections{pool=\"vacancy\"} 2");
    expect_line("ticketd_connections{pool=\"ticket\"} 2");
    expect_line("ticketd_client_connections{state=\"idle\"} 4");
    expect_line("ticketd_connections_max{pool=\"ticket\"} 100");
    expect_line("ticketd_parked_requests_max{pool=\"vacancy\"} 30");
    assert_null(strstr(text, "ticketd_parked_requests_max{pool=\"ticket\"}"));
    expect_line("ticketd_client_queue_max 40");
    expect_line("ticketd_workers{state=\"serving\",pool=\"vacancy\"} 1");
    expect_line("ticketd_workers{state=\"draining\",pool=\"ticket\"} 0");
}

/* A worker without a stock tells what the keeper has counted, and nothing that only the stock
 * knows. */
static void test_without_stock(void **state)
{
    (void)state;
    metrics_orders_write(&metrics, 1,
                         &(struct metrics_orders){.count = {[METRICS_ORDER_orders] = 6}});
    source.ledger = NULL;
    source.event = NULL;
    expose();
    expect_line("ticketd_orders_total{event=\"default\"} 6");
    assert_null(strstr(text, "ticketd_stock_"));
    assert_null(strstr(text, "ticketd_ready"));
    assert_null(strstr(text, "ticketd_keeper_lag"));
}

/* All that there can be has room: every kind of answer that is told apart, every event with the
 * longest id that must be escaped all through, every number as long as one can be. */
static void test_room(void **state)
{
    char id[METRICS_EVENT_ID_MAX + 1];

    (void)state;
    memset(id, '"', METRICS_EVENT_ID_MAX);
    id[METRICS_EVENT_ID_MAX] = '\0';
    while (metrics_event_count(&metrics) < METRICS_EVENTS_MAX)
        metrics_add_event_id(&metrics, id, 1);
    for (uint32_t slot = 0; slot < SLOTS; ++slot) {
        metrics_recorder_init(&recorder, &metrics, slot);
        for (uint32_t i = 0; i < METRICS_REQUESTS_MAX + 20; ++i)
            metrics_request(&recorder,
                            (struct metrics_request_key){.route = 2,
                                                         .status = (uint16_t)(100 + i + 300 * slot),
                                                         .method = METRICS_METHOD_OPTIONS},
                            UINT64_MAX / 2);
        for (uint32_t i = 0; i < METRICS_EVENTS_MAX; ++i)
            metrics_add_event(&recorder, i, METRICS_EVENT_sales, UINT64_MAX / 2);
    }
    expose();
    assert_true(strlen(text) > 1000000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_every_family), CASE(test_escaping),
        CASE(test_numbers),      CASE(test_sums_over_workers),
        CASE(test_gauges),       CASE(test_without_stock),
        CASE(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
