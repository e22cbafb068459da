#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/vacancy_remote_internal.h"
#include "scoreboard/scoreboard.h"
#include "scripted_upstream.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* For what must happen: long enough that only a fault reaches it. */
#define PATIENCE_OF_TESTS_MS 20000
/* A time that no case lets pass, and one that it waits for. */
#define LONG_MS  60000
#define SHORT_MS 60

#define ORDER_A "00010000-0000-8007-8000-000000000001"

#define BATCH "/api/v1/reserve/batch"

/* Results of a batch. */
#define SOLD                                                                                       \
    "{\"success\":true,\"remaining\":7,\"message\":\"Reserved\",\"order_id\":\"" ORDER_A "\"}"
#define REPLAYED                                                                                   \
    "{\"success\":true,\"remaining\":7,\"message\":\"Reserved\",\"order_id\":\"" ORDER_A           \
    "\",\"replayed\":true}"
#define NONE_LEFT     "{\"success\":false,\"remaining\":3,\"message\":\"Insufficient inventory\"}"
#define FAILED(code)  "{\"error\":{\"status\":503,\"code\":\"" code "\"}}"
#define PROBLEM(code) "{\"status\":503,\"code\":\"" code "\"}"
#define RESULTS(list) "{\"results\":[" list "]}"

/* A call, and what is known of its completion. */
struct probe {
    struct vacancy_call call; /* first */
    unsigned completed;
    struct vacancy_result result;
    char key[KEY_TEXT_MAX + 1], event[STOCK_EVENT_ID_MAX + 1];
};

static h2o_globalconf_t config;
static h2o_context_t context;
static struct settings settings;
static struct vacancy_remote *remote;
static struct vacancy_client *client;
static struct probe probes[64];
static struct metrics metrics;
static struct metrics_recorder recorder;

static int set_up_group(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings_input input = {.config_path = "/dev/null"};

    (void)state;
    h2o_config_init(&config);
    h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 80);
    h2o_context_init(&context, h2o_evloop_create(), &config);
    log_init(&(struct log_options){.level = LOG_LEVEL_CRITICAL});
    if (metrics_create(&metrics, 1, 1) < 0)
        return -1;
    metrics_own(&metrics, 0, 1, METRICS_TICKET);
    metrics_recorder_init(&recorder, &metrics, 0);
    return json_init() == 0 && settings_load(&settings, &input, error) == 0 ? 0 : -1;
}

static int set_up(void **state)
{
    (void)state;
    settings.batch_max = 8;
    settings.http_max_connections = 4;
    settings.http_queue_max = 32;
    settings.vacancy_timeout_ms = LONG_MS;
    memset(probes, 0, sizeof(probes));
    remote = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vacancy_remote_free(remote);
    scripted_clear();
    return 0;
}

/* With the settings as the case has changed them. */
static void start(void)
{
    remote = vacancy_remote_new(&settings, &recorder);
    assert_non_null(remote);
    assert_int_equal(vacancy_remote_start(remote, &context), 0);
    client = vacancy_remote_client(remote);
}

static void run(int32_t most_ms)
{
    bool at_once = remote != NULL && vacancy_remote_gathers(remote);

    (void)h2o_evloop_run(context.loop, at_once ? 0 : most_ms);
}

/* With the looks for more that purchases wait for. */
static void turn(void)
{
    do
        run(0);
    while (remote != NULL && remote->gathering);
}

/* Turns the loop until so many exchanges have been begun in this case. */
static void await_exchanges(size_t count)
{
    uint64_t end_ms = clock_monotonic_ms() + PATIENCE_OF_TESTS_MS;

    while (scripted.count < count) {
        if (clock_monotonic_ms() > end_ms)
            fail_msg("%zu exchanges instead of %zu", scripted.count, count);
        run(1000);
    }
    assert_int_equal(scripted.count, count);
}

static void await_completed(const struct probe *probe)
{
    uint64_t end_ms = clock_monotonic_ms() + PATIENCE_OF_TESTS_MS;

    while (probe->completed == 0) {
        if (clock_monotonic_ms() > end_ms)
            fail_msg("a call does not complete");
        run(1000);
    }
    assert_int_equal(probe->completed, 1);
}

static void copy(char *room, struct text text)
{
    if (text.len > 0)
        memcpy(room, text.base, text.len);
    room[text.len] = '\0';
}

static void on_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct probe *probe = (struct probe *)call;

    assert_null(call->pending);
    ++probe->completed;
    probe->result = *result;
    copy(probe->key, result->key);
    copy(probe->event, result->event);
}

static struct vacancy_request ask(uint32_t quantity, const char *key)
{
    return (struct vacancy_request){
        .event = TEXT(STOCK_DEFAULT_EVENT),
        .quantity = quantity,
        .key = {.base = key, .len = key == NULL ? 0 : strlen(key)},
    };
}

static struct probe *reserve(size_t number, uint32_t quantity, const char *key)
{
    struct vacancy_request request = ask(quantity, key);

    vacancy_reserve(client, &probes[number].call, &request, on_complete);
    return &probes[number];
}

static void expect(const struct probe *probe, int status)
{
    assert_int_equal(probe->completed, 1);
    assert_int_equal(probe->result.status, status);
}

/* ---- what was asked ---- */

struct asked {
    size_t count;
    uint64_t timeout_ms;
    struct reserve_batch_request requests[RESERVE_BATCH_MAX];
    char keys[64][KEY_TEXT_MAX + 1];
};

/* The batch of that number, as a vacancy pool reads it. */
static const struct asked *asked(size_t number)
{
    static struct asked read;
    struct json_document document;
    struct reserve_batch_fault fault;
    uint32_t count;

    assert_true(number < scripted.count);
    assert_string_equal(scripted.exchanges[number].method, "POST");
    assert_string_equal(scripted.exchanges[number].path, BATCH);
    assert_int_equal(json_parse(&document, scripted.exchanges[number].body,
                                strlen(scripted.exchanges[number].body)),
                     JSON_DONE);
    assert_int_equal(reserve_batch_read(&document, read.requests, RESERVE_BATCH_MAX, &count,
                                        &read.timeout_ms, &fault),
                     0);
    read.count = count;
    for (uint32_t i = 0; i < count; ++i)
        copy(read.keys[i], read.requests[i].key);
    json_release(&document);
    return &read;
}

static void expect_asked(size_t number, size_t count, const int64_t *quantities)
{
    const struct asked *batch = asked(number);

    assert_int_equal(batch->count, count);
    for (size_t i = 0; i < count; ++i)
        assert_int_equal(batch->requests[i].quantity, quantities[i]);
}

/* Answers a batch with so many sales. */
static void sell(size_t number)
{
    char body[4096] = "{\"results\":[";
    size_t count = asked(number)->count;

    for (size_t i = 0; i < count; ++i)
        strcat(strcat(body, i > 0 ? "," : ""), SOLD);
    scripted_reply(number, 200, strcat(body, "]}"));
}

/* ---- gathering ---- */

/* What comes in one turn of the loop travels in one request, in order, each with a key of its own.
 */
static void test_one_turn_one_request(void **state)
{
    static const int64_t quantities[] = {1, 2, 3};

    (void)state;
    start();
    for (size_t i = 0; i < 3; ++i)
        reserve(i, (uint32_t)quantities[i], NULL);
    assert_int_equal(scripted.count, 0);
    turn();
    assert_int_equal(scripted.count, 1);
    expect_asked(0, 3, quantities);
    for (size_t i = 0; i < 3; ++i) {
        const char *key = asked(0)->keys[i];
        assert_memory_equal(key, KEY_TRANSIENT_PREFIX, strlen(KEY_TRANSIENT_PREFIX));
        assert_int_equal(strlen(key), strlen(KEY_TRANSIENT_PREFIX) + 32);
        assert_string_not_equal(key, asked(0)->keys[(i + 1) % 3]);
    }
    scripted_reply(0, 200, RESULTS(SOLD "," NONE_LEFT "," REPLAYED));
    expect(&probes[0], TICKETD_DONE);
    assert_int_equal(probes[0].result.remaining, 7);
    assert_int_equal(probes[0].result.order.event, 1);
    assert_false(probes[0].result.replayed);
    expect(&probes[1], TICKETD_SOLD_OUT);
    assert_int_equal(probes[1].result.remaining, 3);
    expect(&probes[2], TICKETD_DONE);
    assert_true(probes[2].result.replayed);
    turn();
    assert_int_equal(scripted.count, 1);
    assert_int_equal(remote->used, 0);
}

/* What comes while a batch is under way gathers until it ends, and leaves together. */
static void test_gathers(void **state)
{
    static const int64_t quantities[] = {2, 3};
    uint64_t begun_ms, tries = 0;
    size_t first;

    (void)state;
    start();
    do { /* until it has not taken so long that the patience was over */
        assert_true(++tries < 50);
        memset(probes, 0, sizeof(probes));
        first = scripted.count;
        reserve(0, 1, NULL);
        turn();
        begun_ms = clock_monotonic_ms();
        reserve(1, 2, NULL);
        turn();
        reserve(2, 3, NULL);
        turn();
        if (scripted.count > first + 1)
            for (size_t i = first; i < scripted.count; ++i)
                sell(i);
    } while (scripted.count > first + 1 && clock_monotonic_ms() >= begun_ms + REMOTE_PATIENCE_MS);
    assert_int_equal(scripted.count, first + 1);
    sell(first);
    expect(&probes[0], TICKETD_DONE);
    turn();
    assert_int_equal(scripted.count, first + 2);
    expect_asked(first + 1, 2, quantities);
}

/* Answers all that is under way since `first`, and what leaves after that. */
static void sell_all(size_t first)
{
    for (size_t i = first; i < scripted.count; ++i) {
        if (scripted.exchanges[i].call != NULL)
            sell(i);
        turn();
    }
    assert_int_equal(remote->used, 0);
}

/* Tries until once it has not taken so long that the patience was over; returns the number of the
 * exchange that this attempt began with. */
static size_t in_time(void (*attempt)(size_t first))
{
    uint64_t begun_ms, tries = 0;
    size_t first;

    do {
        assert_true(++tries < 10);
        memset(probes, 0, sizeof(probes));
        first = scripted.count;
        begun_ms = clock_monotonic_ms();
        attempt(first);
        sell_all(first);
    } while (clock_monotonic_ms() >= begun_ms + REMOTE_PATIENCE_MS);
    return first;
}

static void reserve_one_a_look(size_t first)
{
    (void)first;
    reserve(0, 1, NULL);
    run(0);
    reserve(1, 1, NULL);
    run(0);
    run(0);
}

/* Before purchases leave, the loop looks for more, as long as each look brings some. */
static void test_looks_for_more(void **state)
{
    size_t first;

    (void)state;
    start();
    first = in_time(reserve_one_a_look);
    assert_int_equal(scripted.count, first + 1);
    assert_int_equal(asked(first)->count, 2);
    assert_false(vacancy_remote_gathers(remote));
}

static void reserve_when_answered(size_t first)
{
    reserve(0, 1, NULL);
    turn();
    reserve(1, 1, NULL);
    run(0);
    sell(first);
    run(0);
    reserve(2, 1, NULL);
    reserve(3, 1, NULL);
    turn();
}

/* So it does where some have waited for the batch under way, whose clients ask again when they are
 * answered. */
static void test_looks_for_who_was_answered(void **state)
{
    size_t first;

    (void)state;
    start();
    first = in_time(reserve_when_answered);
    assert_int_equal(scripted.count, first + 2);
    assert_int_equal(asked(first + 1)->count, 3);
}

static size_t left_while_more_came;

static void reserve_on_and_on(size_t first)
{
    for (size_t i = 0; i <= REMOTE_LOOKS_MAX; ++i) {
        reserve(i, 1, NULL);
        run(0);
    }
    left_while_more_came = scripted.count - first;
    turn();
}

/* However many are coming, purchases leave after so many looks. */
static void test_looks_are_bounded(void **state)
{
    size_t first;

    (void)state;
    assert_true(REMOTE_LOOKS_MAX + 1 < COUNT(probes));
    settings.batch_max = COUNT(probes);
    start();
    first = in_time(reserve_on_and_on);
    assert_int_equal(left_while_more_came, 1);
    assert_int_equal(asked(first)->count, REMOTE_LOOKS_MAX + 1);
}

/* A full batch leaves although another one is under way; the rest stays. */
static void test_full_batch_leaves(void **state)
{
    static const int64_t first[] = {1}, full[] = {2, 3};

    (void)state;
    settings.batch_max = 2;
    start();
    reserve(0, 1, NULL);
    turn();
    expect_asked(0, 1, first);
    reserve(1, 2, NULL);
    reserve(2, 3, NULL);
    reserve(3, 4, NULL);
    turn();
    assert_true(scripted.count >= 2);
    expect_asked(1, 2, full);
    for (size_t i = 2; i < scripted.count; ++i) /* a slow machine's: its patience was over */
        assert_int_equal(asked(i)->count, 1);
}

/* More than a batch in one turn leave in several: a full one, and the rest when it may. */
static void test_more_than_a_batch(void **state)
{
    (void)state;
    settings.batch_max = 2;
    start();
    for (size_t i = 0; i < 5; ++i)
        reserve(i, 1, NULL);
    await_exchanges(3);
    assert_int_equal(asked(0)->count, 2);
    assert_int_equal(asked(1)->count, 2);
    assert_int_equal(asked(2)->count, 1);
}

/* Nobody waits longer than REMOTE_PATIENCE_MS for a batch that is under way. */
static void test_patience(void **state)
{
    uint64_t begun_ms;

    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    begun_ms = clock_monotonic_ms();
    reserve(1, 2, NULL);
    await_exchanges(2);
    assert_true(clock_monotonic_ms() >= begun_ms + REMOTE_PATIENCE_MS);
    sell(1);
    expect(&probes[1], TICKETD_DONE);
    assert_int_equal(probes[0].completed, 0);
}

/* Of several batches under way the first one that ends lets the next one leave. */
static void test_leaves_when_one_ends(void **state)
{
    static const int64_t quantities[] = {3};
    uint64_t begun_ms, tries = 0;
    size_t first;

    (void)state;
    do { /* until it has not taken so long that the patience was over */
        assert_true(++tries < 50);
        (void)tear_down(state);
        (void)set_up(state);
        start();
        reserve(0, 1, NULL);
        turn();
        reserve(1, 2, NULL);
        await_exchanges(2);
        begun_ms = clock_monotonic_ms();
        reserve(2, 3, NULL);
        turn();
        first = scripted.count;
        sell(0);
        turn();
    } while (first > 2 || clock_monotonic_ms() >= begun_ms + REMOTE_PATIENCE_MS);
    assert_int_equal(scripted.count, 3);
    expect_asked(2, 1, quantities);
    assert_int_equal(probes[1].completed, 0);
}

/* Batches that end while nobody waits are no reason for anybody to leave later. */
static void test_ends_are_not_saved(void **state)
{
    uint64_t begun_ms, tries = 0;

    (void)state;
    do { /* until it has not taken so long that the patience was over */
        assert_true(++tries < 50);
        (void)tear_down(state);
        (void)set_up(state);
        start();
        reserve(0, 1, NULL);
        turn();
        reserve(1, 2, NULL);
        await_exchanges(2);
        sell(0);
        sell(1);
        turn();
        reserve(2, 3, NULL);
        turn();
        begun_ms = clock_monotonic_ms();
        reserve(3, 4, NULL);
        turn();
    } while (scripted.count > 3 && clock_monotonic_ms() >= begun_ms + REMOTE_PATIENCE_MS);
    assert_int_equal(scripted.count, 3);
}

/* When no connection is free although nothing is under way, it is tried again soon. */
static void test_no_connection_for_a_while(void **state)
{
    (void)state;
    start();
    scripted.refusal = TICKETD_BUSY;
    reserve(0, 1, NULL);
    turn();
    assert_int_equal(probes[0].completed, 0);
    scripted.refusal = TICKETD_DONE;
    await_exchanges(1);
}

/* No more requests than connections: the next one leaves when one ends, however long that takes,
 * and nobody looks for that again and again. */
static void test_connections(void **state)
{
    uint64_t end_ms = clock_monotonic_ms() + 5 * REMOTE_PATIENCE_MS;

    (void)state;
    settings.http_max_connections = 1;
    start();
    assert_int_equal(scripted.options.connections_max, 1);
    reserve(0, 1, NULL);
    turn();
    reserve(1, 2, NULL);
    while (clock_monotonic_ms() < end_ms)
        run(1);
    assert_int_equal(scripted.count, 1);
    assert_true(remote->timer_ms > end_ms + LONG_MS / 2);
    sell(0);
    turn();
    assert_int_equal(scripted.count, 2);
}

/* What waits is bounded; what travels does not count. */
static void test_queue_bound(void **state)
{
    (void)state;
    settings.http_max_connections = 1;
    settings.batch_max = 3;
    settings.http_queue_max = 2;
    start();
    reserve(0, 1, NULL);
    turn();
    for (size_t i = 1; i <= 3; ++i)
        reserve(i, 1, NULL);
    assert_int_equal(probes[2].completed, 0);
    expect(&probes[3], TICKETD_BUSY);
    sell(0);
    turn();
    assert_int_equal(asked(1)->count, 2);
    for (size_t i = 4; i <= 6; ++i)
        reserve(i, 1, NULL);
    assert_int_equal(probes[5].completed, 0);
    expect(&probes[6], TICKETD_BUSY);
}

/* The vacancy pool is told less time than the attempt has, so that it can still say what became of
 * the sales, and upstream all of that, but no more. */
static void test_times(void **state)
{
    struct vacancy_request request = ask(1, NULL);
    uint64_t before_ms;

    (void)state;
    start();
    before_ms = clock_monotonic_ms();
    reserve(0, 1, NULL);
    turn();
    assert_in_range(asked(0)->timeout_ms, LONG_MS / 2, LONG_MS * 3 / 4 * 9 / 10);
    assert_true(scripted.exchanges[0].deadline_ms >= before_ms + LONG_MS * 3 / 4);
    assert_true(scripted.exchanges[0].deadline_ms <= clock_monotonic_ms() + LONG_MS * 3 / 4);
    sell(0);
    before_ms = clock_monotonic_ms();
    request.deadline_ms = before_ms + 30000;
    reserve(1, 1, NULL);
    vacancy_reserve(client, &probes[2].call, &request, on_complete);
    reserve(3, 1, NULL);
    turn();
    assert_in_range(asked(1)->timeout_ms, 15000, 20250);
    assert_true(scripted.exchanges[1].deadline_ms >= before_ms + 22500);
    assert_true(scripted.exchanges[1].deadline_ms < request.deadline_ms);
    /* the second attempt has all that is left, and the next first one as little as it must */
    scripted_end(1, UPSTREAM_BROKEN);
    turn();
    assert_int_equal(asked(2)->count, 3);
    assert_true(scripted.exchanges[2].deadline_ms == request.deadline_ms);
    request.deadline_ms = clock_monotonic_ms() + 4 * REMOTE_REST_MIN_MS - 1;
    sell(2);
    turn();
    vacancy_reserve(client, &probes[4].call, &request, on_complete);
    turn();
    assert_true(scripted.exchanges[3].deadline_ms == request.deadline_ms);
}

/* Key, request id and trace travel with each purchase; what would not pass as one does not. */
static void test_texts(void **state)
{
    struct vacancy_request request = ask(1, "the \"key\"");

    (void)state;
    start();
    request.key = TEXT("the-\"key\\");
    request.request_id = TEXT("id-1");
    request.traceparent = TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    vacancy_reserve(client, &probes[0].call, &request, on_complete);
    request.request_id = TEXT("id\r\nX: y");
    request.traceparent = TEXT("00-junk");
    vacancy_reserve(client, &probes[1].call, &request, on_complete);
    request.key = TEXT("with blanks");
    vacancy_reserve(client, &probes[2].call, &request, on_complete);
    expect(&probes[2], TICKETD_INVALID);
    turn();
    assert_string_equal(asked(0)->keys[0], "the-\"key\\");
    assert_non_null(strstr(scripted.exchanges[0].body, "\"id-1\""));
    assert_non_null(strstr(scripted.exchanges[0].body, "00-0af7651916cd43dd8448eb211c80319c"));
    assert_null(strstr(scripted.exchanges[0].body, "X: y"));
    assert_null(strstr(scripted.exchanges[0].body, "junk"));
    assert_int_equal(asked(0)->count, 2);
}

/* ---- attempts ---- */

/* A broken attempt is made again at once with the same keys; the sale is told once, and is no
 * replay of anybody else's. */
static void test_broken_then_sold(void **state)
{
    char keys[2][KEY_TEXT_MAX + 1];

    (void)state;
    start();
    reserve(0, 1, NULL);
    reserve(1, 2, "a-key");
    turn();
    memcpy(keys, asked(0)->keys, sizeof(keys));
    scripted_end(0, UPSTREAM_BROKEN);
    assert_int_equal(probes[0].completed + probes[1].completed, 0);
    turn();
    assert_int_equal(scripted.count, 2);
    assert_string_equal(asked(1)->keys[0], keys[0]);
    assert_string_equal(asked(1)->keys[1], "a-key");
    /* only a key made here that travels for the first time is known to be new */
    assert_true(asked(0)->requests[0].fresh);
    assert_false(asked(0)->requests[1].fresh);
    assert_false(asked(1)->requests[0].fresh);
    assert_false(asked(1)->requests[1].fresh);
    scripted_reply(1, 200, RESULTS(REPLAYED "," REPLAYED));
    for (size_t i = 0; i < 2; ++i) {
        expect(&probes[i], TICKETD_DONE);
        assert_false(probes[i].result.replayed);
    }
    turn();
    assert_int_equal(scripted.count, 2);
    assert_int_equal(remote->used, 0);
}

/* An attempt that never left leaves no doubt: a replay after it is one. */
static void test_unsent_then_replayed(void **state)
{
    (void)state;
    start();
    reserve(0, 1, "a-key");
    turn();
    scripted_end(0, UPSTREAM_NOT_SENT);
    turn();
    scripted_reply(1, 200, RESULTS(REPLAYED));
    expect(&probes[0], TICKETD_DONE);
    assert_true(probes[0].result.replayed);
}

/* What is sent once more does not share its batch, and so its little time, with fresh ones. */
static void test_again_travels_apart(void **state)
{
    static const int64_t again[] = {1}, fresh[] = {2};

    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    reserve(1, 2, NULL);
    await_exchanges(3);
    expect_asked(1, 1, again);
    expect_asked(2, 1, fresh);
}

/* From the third attempt on there are growing delays. */
static void test_delays(void **state)
{
    uint64_t begun_ms;

    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    assert_int_equal(scripted.count, 2);
    begun_ms = clock_monotonic_ms();
    scripted_end(1, UPSTREAM_BROKEN);
    await_exchanges(3);
    assert_true(clock_monotonic_ms() >= begun_ms + 10);
    begun_ms = clock_monotonic_ms();
    scripted_end(2, UPSTREAM_NOT_SENT);
    await_exchanges(4);
    assert_true(clock_monotonic_ms() >= begun_ms + 20);
    sell(3);
    expect(&probes[0], TICKETD_DONE);
}

/* After a broken attempt these tell what became of it, at once. */
static void test_broken_then_told(void **state)
{
    static const struct {
        const char *result;
        int status;
    } told[] = {
        {SOLD, TICKETD_DONE},
        {NONE_LEFT, TICKETD_SOLD_OUT},
        {FAILED("idempotency_key_reused"), TICKETD_KEY_REUSED},
        {FAILED("outcome_unknown"), TICKETD_OUTCOME_UNKNOWN},
    };
    char body[512];

    (void)state;
    start();
    for (size_t i = 0; i < COUNT(told); ++i) {
        reserve(i, 1, "a-key");
        turn();
        scripted_end(2 * i, UPSTREAM_BROKEN);
        turn();
        (void)snprintf(body, sizeof(body), RESULTS("%s"), told[i].result);
        scripted_reply(2 * i + 1, 200, body);
        expect(&probes[i], told[i].status);
    }
}

/* After a broken attempt these do not: it goes on, later. */
static void test_broken_then_not_told(void **state)
{
    static const char *const results[] = {
        FAILED("overloaded"),         FAILED("vacancy_unavailable"),
        FAILED("ledger_unavailable"), FAILED("internal_error"),
        FAILED("invalid_quantity"),   FAILED("idempotency_key_in_flight"),
    };
    char body[512];
    size_t count = 0;

    (void)state;
    start();
    for (size_t i = 0; i < COUNT(results); ++i) {
        reserve(i, 1, NULL);
        turn();
        scripted_end(count, UPSTREAM_BROKEN);
        turn();
        (void)snprintf(body, sizeof(body), RESULTS("%s"), results[i]);
        scripted_reply(count + 1, 200, body);
        assert_int_equal(probes[i].completed, 0);
        await_exchanges(count + 3);
        assert_int_equal(asked(count + 2)->count, 1);
        sell(count + 2);
        expect(&probes[i], TICKETD_DONE);
        count += 3;
    }
}

/* Without a broken attempt each of these is the answer. */
static void test_item_errors(void **state)
{
    static const struct {
        const char *code;
        int status;
    } errors[] = {
        {"overloaded", TICKETD_BUSY},
        {"vacancy_unavailable", TICKETD_UNAVAILABLE},
        {"ledger_unavailable", TICKETD_LEDGER_FAULT},
        {"idempotency_key_reused", TICKETD_KEY_REUSED},
        {"idempotency_key_in_flight", TICKETD_KEY_IN_FLIGHT},
        {"outcome_unknown", TICKETD_OUTCOME_UNKNOWN},
        {"invalid_quantity", TICKETD_INVALID},
        {"a_word_of_next_year", TICKETD_OUTCOME_UNKNOWN},
    };
    char body[512];

    (void)state;
    start();
    for (size_t i = 0; i < COUNT(errors); ++i) {
        reserve(i, 1, NULL);
        turn();
        (void)snprintf(body, sizeof(body), RESULTS("{\"error\":{\"code\":\"%s\"}}"),
                       errors[i].code);
        scripted_reply(i, 200, body);
        expect(&probes[i], errors[i].status);
        /* the key that was made is told when it is needed, and only then */
        assert_string_equal(probes[i].key,
                            errors[i].status == TICKETD_OUTCOME_UNKNOWN ? asked(i)->keys[0] : "");
    }
}

/* Broken until the time is over: nobody knows, and the key that was made is told. */
static void test_broken_until_deadline(void **state)
{
    (void)state;
    settings.vacancy_timeout_ms = SHORT_MS;
    start();
    reserve(0, 1, NULL);
    reserve(1, 1, "a-key");
    turn();
    for (size_t i = 0; probes[0].completed == 0; ++i) {
        if (i < scripted.count)
            scripted_end(i, UPSTREAM_BROKEN);
        while (scripted.count == i + 1 && probes[0].completed == 0)
            run(1000);
    }
    expect(&probes[0], TICKETD_OUTCOME_UNKNOWN);
    expect(&probes[1], TICKETD_OUTCOME_UNKNOWN);
    assert_true(scripted.count >= 3);
    assert_string_equal(probes[0].key, asked(0)->keys[0]);
    assert_string_equal(probes[1].key, "");
    assert_int_equal(remote->used, 0);
}

/* Never sent until the time is over: nothing was sold. */
static void test_unsent_until_deadline(void **state)
{
    (void)state;
    settings.vacancy_timeout_ms = SHORT_MS;
    start();
    reserve(0, 1, NULL);
    turn();
    for (size_t i = 0; probes[0].completed == 0; ++i) {
        if (i < scripted.count)
            scripted_end(i, UPSTREAM_NOT_SENT);
        while (scripted.count == i + 1 && probes[0].completed == 0)
            run(1000);
    }
    expect(&probes[0], TICKETD_UNAVAILABLE);
    assert_true(scripted.count >= 3);
}

/* No connection until the time is over: nothing was sold.  Who travels meanwhile goes on. */
static void test_no_connection_until_deadline(void **state)
{
    (void)state;
    settings.vacancy_timeout_ms = SHORT_MS;
    settings.http_max_connections = 1;
    start();
    reserve(0, 1, NULL);
    turn();
    reserve(1, 1, NULL);
    await_completed(&probes[1]);
    expect(&probes[1], TICKETD_UNAVAILABLE);
    assert_int_equal(probes[0].completed, 0);
    assert_int_equal(scripted.count, 1);
    scripted_end(0, UPSTREAM_BROKEN);
    expect(&probes[0], TICKETD_OUTCOME_UNKNOWN);
}

/* Deadlines that come together all come to their end, however many they are. */
static void test_many_deadlines(void **state)
{
    const size_t count = 2 * REMOTE_EXPIRE_MAX + 1;
    struct probe *many = calloc(count, sizeof(*many));
    struct vacancy_request request = ask(1, NULL);

    (void)state;
    assert_non_null(many);
    settings.http_queue_max = (int64_t)count;
    start();
    scripted.refusal = TICKETD_BUSY;
    request.deadline_ms = clock_monotonic_ms() + SHORT_MS;
    for (size_t i = 0; i < count; ++i)
        vacancy_reserve(client, &many[i].call, &request, on_complete);
    for (size_t i = 0; i < count; ++i) {
        await_completed(&many[i]);
        expect(&many[i], TICKETD_UNAVAILABLE);
    }
    assert_int_equal(remote->used, 0);
    assert_int_equal(scripted.count, 0);
    free(many);
}

/* What is not to be believed counts as broken: the same keys again, nobody is told anything. */
static void test_garbage(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"results\":{}}",
        RESULTS(""),
        RESULTS(SOLD),
        RESULTS(SOLD "," SOLD "," SOLD),
        RESULTS(SOLD ",null"),
        RESULTS(SOLD ",{}"),
        RESULTS(SOLD ",{\"success\":1,\"remaining\":1}"),
        RESULTS(SOLD ",{\"success\":true,\"remaining\":1}"),
        RESULTS(SOLD ",{\"success\":true,\"remaining\":1,\"order_id\":\"1\"}"),
        RESULTS(SOLD ",{\"success\":true,\"remaining\":-1,\"order_id\":\"" ORDER_A "\"}"),
        RESULTS(SOLD ",{\"success\":true,\"remaining\":1.5,\"order_id\":\"" ORDER_A "\"}"),
        RESULTS(SOLD ",{\"success\":true,\"success\":true,\"remaining\":1,\"order_id\":\"" ORDER_A
                     "\"}"),
        RESULTS(SOLD ",{\"success\":false}"),
        RESULTS(SOLD ",{\"error\":{}}"),
        RESULTS(SOLD ",{\"error\":\"overloaded\"}"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); ++i) {
        start();
        reserve(0, 1, "a-key");
        reserve(1, 2, NULL);
        turn();
        scripted_reply(0, 200, bodies[i]);
        if (probes[0].completed + probes[1].completed > 0)
            fail_msg("believed: %s", bodies[i]);
        turn();
        assert_int_equal(asked(1)->count, 2);
        assert_string_equal(asked(1)->keys[0], "a-key");
        scripted_reply(1, 200, RESULTS(REPLAYED "," NONE_LEFT));
        expect(&probes[0], TICKETD_DONE);
        assert_false(probes[0].result.replayed);
        expect(&probes[1], TICKETD_SOLD_OUT);
        (void)tear_down(state);
        (void)set_up(state);
    }
}

/* A batch that is refused as a whole has begun nothing, if a vacancy pool says so. */
static void test_refused(void **state)
{
    static const struct {
        int http;
        const char *body;
        int status;
    } refusals[] = {
        {503, PROBLEM("overloaded"), TICKETD_BUSY},
        {503, PROBLEM("vacancy_unavailable"), TICKETD_UNAVAILABLE},
        {503, PROBLEM("ledger_unavailable"), TICKETD_LEDGER_FAULT},
        {400, PROBLEM("malformed_json"), TICKETD_UNAVAILABLE},
        {404, "{}", TICKETD_UNAVAILABLE},
        {413, PROBLEM("body_too_large"), TICKETD_UNAVAILABLE},
    };

    (void)state;
    start();
    for (size_t i = 0; i < COUNT(refusals); ++i) {
        reserve(2 * i, 1, NULL);
        reserve(2 * i + 1, 1, "a-key");
        turn();
        scripted_reply(i, refusals[i].http, refusals[i].body);
        expect(&probes[2 * i], refusals[i].status);
        expect(&probes[2 * i + 1], refusals[i].status);
    }
}

/* These may have come after it was begun: broken. */
static void test_refused_by_strangers(void **state)
{
    static const struct {
        int http;
        const char *body;
    } refusals[] = {
        {500, PROBLEM("internal_error")},  {502, "{}"}, {504, "{}"}, {503, "{}"}, {503, "no JSON"},
        {503, PROBLEM("outcome_unknown")}, {202, "{}"}, {302, "{}"}};

    (void)state;
    for (size_t i = 0; i < COUNT(refusals); ++i) {
        start();
        reserve(0, 1, NULL);
        turn();
        scripted_reply(0, refusals[i].http, refusals[i].body);
        assert_int_equal(probes[0].completed, 0);
        turn();
        scripted_reply(1, 200, RESULTS(REPLAYED));
        expect(&probes[0], TICKETD_DONE);
        assert_false(probes[0].result.replayed);
        (void)tear_down(state);
        (void)set_up(state);
    }
}

/* Refused after a broken attempt: it goes on. */
static void test_broken_then_refused(void **state)
{
    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    scripted_reply(1, 503, PROBLEM("overloaded"));
    await_exchanges(3);
    scripted_reply(2, 413, PROBLEM("body_too_large"));
    await_exchanges(4);
    sell(3);
    expect(&probes[0], TICKETD_DONE);
}

/* While every address is left alone nobody waits, but those that were sent before. */
static void test_breakers_open(void **state)
{
    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    scripted.refusal = TICKETD_UNAVAILABLE;
    scripted_end(0, UPSTREAM_BROKEN);
    reserve(1, 1, NULL);
    turn();
    expect(&probes[1], TICKETD_UNAVAILABLE);
    assert_int_equal(probes[0].completed, 0);
    assert_int_equal(scripted.count, 1);
    scripted.refusal = TICKETD_DONE;
    await_exchanges(2);
    sell(1);
    expect(&probes[0], TICKETD_DONE);
}

/* ---- cancelling ---- */

/* A purchase that waits is dropped: it never travels. */
static void test_cancel_waiting(void **state)
{
    static const int64_t left[] = {2};

    (void)state;
    start();
    reserve(0, 1, NULL);
    reserve(1, 2, NULL);
    vacancy_cancel(&probes[0].call);
    turn();
    expect_asked(0, 1, left);
    sell(0);
    expect(&probes[1], TICKETD_DONE);
    assert_int_equal(probes[0].completed, 0);
}

/* The last one that waits is dropped: nothing travels. */
static void test_cancel_all(void **state)
{
    (void)state;
    start();
    reserve(0, 1, NULL);
    vacancy_cancel(&probes[0].call);
    turn();
    assert_int_equal(scripted.count, 0);
    assert_int_equal(remote->used, 0);
}

/* A purchase that travels is forgotten; its neighbours get their own results, and its cell comes
 * back, whether the batch is answered or not. */
static void test_cancel_travelling(void **state)
{
    static const int64_t left[] = {1, 3};

    (void)state;
    start();
    for (size_t i = 0; i < 3; ++i)
        reserve(i, (uint32_t)i + 1, NULL);
    turn();
    vacancy_cancel(&probes[1].call);
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    expect_asked(1, 2, left);
    vacancy_cancel(&probes[0].call);
    scripted_reply(1, 200, RESULTS(SOLD "," NONE_LEFT));
    assert_int_equal(probes[0].completed + probes[1].completed, 0);
    expect(&probes[2], TICKETD_SOLD_OUT);
    assert_int_equal(remote->used, 0);
}

/* A purchase that waits for its next attempt is dropped. */
static void test_cancel_delayed(void **state)
{
    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    scripted_end(1, UPSTREAM_BROKEN);
    turn();
    vacancy_cancel(&probes[0].call);
    assert_int_equal(remote->used, 0);
    reserve(1, 1, NULL);
    turn();
    assert_int_equal(asked(scripted.count - 1)->count, 1);
    sell(scripted.count - 1);
    expect(&probes[1], TICKETD_DONE);
}

static void on_complete_cancel_next(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct vacancy_request request = ask(9, NULL);

    on_complete(call, result);
    vacancy_cancel(&probes[1].call);
    vacancy_reserve(client, &probes[3].call, &request, on_complete);
}

/* A callback may cancel a neighbour whose result has come too, and start a call. */
static void test_callback_cancels(void **state)
{
    static const int64_t next[] = {9};
    struct vacancy_request request = ask(1, NULL);

    (void)state;
    start();
    vacancy_reserve(client, &probes[0].call, &request, on_complete_cancel_next);
    reserve(1, 2, NULL);
    reserve(2, 3, NULL);
    turn();
    scripted_reply(0, 200, RESULTS(SOLD "," SOLD "," NONE_LEFT));
    expect(&probes[0], TICKETD_DONE);
    assert_int_equal(probes[1].completed, 0);
    expect(&probes[2], TICKETD_SOLD_OUT);
    turn();
    expect_asked(1, 1, next);
}

/* Pending calls never complete after the client is gone, in whatever state they are. */
static void test_free_pending(void **state)
{
    struct vacancy_request request = ask(0, NULL);

    (void)state;
    start();
    reserve(0, 1, NULL);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    scripted_end(1, UPSTREAM_BROKEN);
    turn();
    reserve(1, 1, NULL);
    turn();
    reserve(2, 1, NULL);
    vacancy_health(client, &probes[3].call, &request, on_complete);
    vacancy_remote_free(remote);
    remote = NULL;
    turn();
    for (size_t i = 0; i < 4; ++i)
        assert_int_equal(probes[i].completed, 0);
}

/* ---- the rest ---- */

static struct probe *available(size_t number)
{
    struct vacancy_request request = ask(0, NULL);

    request.request_id = TEXT("id-1");
    vacancy_available(client, &probes[number].call, &request, on_complete);
    return &probes[number];
}

/* What is left is asked for with the ids of who asks, and believed when it is a number. */
static void test_available(void **state)
{
    static const char *const bodies[] = {
        "{}", "{\"qty\":-1}", "{\"qty\":\"1\"}", "{\"qty\":1.0}", "[]", "{\"qty\":4294967296}"};

    (void)state;
    start();
    available(0);
    turn();
    assert_string_equal(scripted.exchanges[0].method, "GET");
    assert_string_equal(scripted.exchanges[0].path, "/api/v1/available");
    assert_string_equal(scripted.exchanges[0].headers, "X-Request-ID: id-1\r\n");
    scripted_reply(0, 200, "{\"qty\":998}");
    expect(&probes[0], TICKETD_DONE);
    assert_int_equal(probes[0].result.remaining, 998);
    for (size_t i = 0; i < COUNT(bodies); ++i) {
        available(i + 1);
        turn();
        scripted_reply(i + 1, 200, bodies[i]);
        expect(&probes[i + 1], TICKETD_UNAVAILABLE);
    }
}

/* A question that got no answer is asked again, until its time is over. */
static void test_available_again(void **state)
{
    (void)state;
    start();
    available(0);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    scripted_end(1, UPSTREAM_NOT_SENT);
    await_exchanges(3);
    scripted_reply(2, 503, PROBLEM("overloaded"));
    expect(&probes[0], TICKETD_BUSY);
    settings.vacancy_timeout_ms = SHORT_MS;
    (void)tear_down(state);
    start();
    available(1);
    turn();
    scripted_end(0, UPSTREAM_BROKEN);
    turn();
    scripted_end(1, UPSTREAM_BROKEN);
    scripted.refusal = TICKETD_BUSY;
    await_completed(&probes[1]);
    expect(&probes[1], TICKETD_UNAVAILABLE);
}

static struct probe *order(size_t number)
{
    struct vacancy_request request = {.request_id = TEXT("id-1")};

    assert_int_equal(order_id_parse(ORDER_A, ORDER_ID_LEN, &request.order), TICKETD_DONE);
    vacancy_order(client, &probes[number].call, &request, on_complete);
    return &probes[number];
}

/* An order is told as the vacancy pool has it. */
static void test_order(void **state)
{
    (void)state;
    start();
    order(0);
    turn();
    assert_string_equal(scripted.exchanges[0].path, "/api/v1/orders/" ORDER_A);
    scripted_reply(0, 200,
                   "{\"order_id\":\"" ORDER_A "\",\"event\":\"default\",\"qty\":2,"
                   "\"status\":\"confirmed\",\"created_at\":\"2026-02-03T04:05:06.000007Z\"}");
    expect(&probes[0], TICKETD_DONE);
    assert_int_equal(probes[0].result.order.event, 1);
    assert_int_equal(probes[0].result.quantity, 2);
    assert_true(probes[0].result.time_us == INT64_C(1770091506000007));
    assert_string_equal(probes[0].event, "default");
}

/* Only the vacancy pool's own word is believed that there is no such order, or that it is another.
 */
static void test_order_not_told(void **state)
{
    static const struct {
        int http;
        const char *body;
        int status;
    } replies[] = {
        {404, "{\"code\":\"order_not_found\"}", TICKETD_NOT_FOUND},
        {404, "{\"code\":\"not_found\"}", TICKETD_UNAVAILABLE},
        {404, "{}", TICKETD_UNAVAILABLE},
        {503, PROBLEM("overloaded"), TICKETD_BUSY},
        {503, "{}", TICKETD_UNAVAILABLE},
        {500, PROBLEM("overloaded"), TICKETD_UNAVAILABLE},
        {200, "{}", TICKETD_UNAVAILABLE},
        {200,
         "{\"order_id\":\"00010000-0000-8007-8000-000000000002\",\"event\":\"default\",\"qty\":2,"
         "\"status\":\"confirmed\",\"created_at\":\"2026-02-03T04:05:06.000007Z\"}",
         TICKETD_UNAVAILABLE},
        {200,
         "{\"order_id\":\"" ORDER_A "\",\"event\":\"\",\"qty\":2,"
         "\"status\":\"confirmed\",\"created_at\":\"2026-02-03T04:05:06.000007Z\"}",
         TICKETD_UNAVAILABLE},
        {200,
         "{\"order_id\":\"" ORDER_A "\",\"event\":\"default\",\"qty\":0,"
         "\"status\":\"confirmed\",\"created_at\":\"2026-02-03T04:05:06.000007Z\"}",
         TICKETD_UNAVAILABLE},
        {200,
         "{\"order_id\":\"" ORDER_A "\",\"event\":\"default\",\"qty\":2,"
         "\"status\":\"confirmed\",\"created_at\":\"yesterday\"}",
         TICKETD_UNAVAILABLE},
    };

    (void)state;
    start();
    for (size_t i = 0; i < COUNT(replies); ++i) {
        order(i);
        turn();
        scripted_reply(i, replies[i].http, replies[i].body);
        expect(&probes[i], replies[i].status);
    }
}

/* Questions take a few connections at a time, and their turn among the purchases. */
static void test_asks_are_bounded(void **state)
{
    (void)state;
    settings.http_max_connections = REMOTE_ASKS_MAX + 2;
    start();
    for (size_t i = 0; i < REMOTE_ASKS_MAX + 1; ++i)
        available(i);
    turn();
    assert_int_equal(scripted.count, REMOTE_ASKS_MAX);
    reserve(40, 1, NULL);
    turn();
    assert_int_equal(scripted.count, REMOTE_ASKS_MAX + 1);
    assert_int_equal(asked(REMOTE_ASKS_MAX)->count, 1);
    scripted_reply(0, 200, "{\"qty\":1}");
    turn();
    assert_string_equal(scripted.exchanges[REMOTE_ASKS_MAX + 1].path, "/api/v1/available");
}

/* With one connection, who came first goes first. */
static void test_arrival_order(void **state)
{
    (void)state;
    settings.http_max_connections = 1;
    start();
    reserve(0, 1, NULL);
    turn();
    available(1);
    reserve(2, 1, NULL);
    available(3);
    for (size_t i = 0; i < 4; ++i) {
        assert_int_equal(scripted.count, i + 1);
        assert_string_equal(scripted.exchanges[i].path, i % 2 == 0 ? BATCH : "/api/v1/available");
        if (i % 2 == 0)
            sell(i);
        else
            scripted_reply(i, 200, "{\"qty\":1}");
        turn();
    }
}

/* Operators restock at the vacancy pool, not here. */
static void test_restock(void **state)
{
    struct vacancy_request request = ask(1, NULL);

    (void)state;
    start();
    vacancy_restock(client, &probes[0].call, &request, on_complete);
    expect(&probes[0], TICKETD_UNAVAILABLE);
}

/* ---- health ---- */

static struct probe *health(size_t number)
{
    struct vacancy_request request = {.deadline_ms = 0};

    vacancy_health(client, &probes[number].call, &request, on_complete);
    return &probes[number];
}

/* All who ask while a probe is under way, and for a while after it, share its answer. */
static void test_probe_is_shared(void **state)
{
    uint64_t begun_ms;

    (void)state;
    start();
    begun_ms = clock_monotonic_ms();
    health(0);
    health(1);
    turn();
    health(2);
    turn();
    assert_int_equal(scripted.count, 1);
    assert_string_equal(scripted.exchanges[0].path, "/ready");
    scripted_reply(0, 200, "{\"status\":\"ready\"}");
    for (size_t i = 0; i < 3; ++i)
        expect(&probes[i], TICKETD_DONE);
    for (size_t i = 3; i < COUNT(probes); ++i) {
        health(i);
        if (probes[i].completed == 0)
            break; /* the next probe */
        assert_int_equal(probes[i].result.status, TICKETD_DONE);
        while (i == COUNT(probes) - 2 && clock_monotonic_ms() < begun_ms + REMOTE_PROBE_MS)
            run(1);
    }
    assert_true(clock_monotonic_ms() >= begun_ms + REMOTE_PROBE_MS);
    await_exchanges(2);
}

/* What is not "ready" is not: refused, wrong, or no answer at two attempts. */
static void test_probe_fails(void **state)
{
    static const struct {
        int http; /* 0: no answer */
        const char *body;
    } replies[] = {
        {503, "{\"status\":\"unready\"}"},
        {200, "{\"status\":\"unready\"}"},
        {200, "{}"},
        {404, "{}"},
        {500, "{}"},
        {0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(replies); ++i) {
        start();
        health(0);
        turn();
        if (replies[i].http == 0) {
            scripted_end(0, UPSTREAM_NOT_SENT);
            turn();
            scripted_end(1, UPSTREAM_NOT_SENT);
        } else {
            scripted_reply(0, replies[i].http, replies[i].body);
        }
        expect(&probes[0], TICKETD_UNAVAILABLE);
        expect(health(1), TICKETD_UNAVAILABLE);
        assert_int_equal(remote->used, 0);
        (void)tear_down(state);
        (void)set_up(state);
    }
}

/* A probe does not go where every address is left alone. */
static void test_probe_breakers_open(void **state)
{
    (void)state;
    start();
    scripted.refusal = TICKETD_UNAVAILABLE;
    health(0);
    turn();
    expect(&probes[0], TICKETD_UNAVAILABLE);
    assert_int_equal(scripted.count, 0);
}

/* Who waits for a probe may leave, or come to an end earlier than it. */
static void test_probe_left(void **state)
{
    struct vacancy_request request = {.deadline_ms = clock_monotonic_ms() + 20};

    (void)state;
    start();
    vacancy_health(client, &probes[0].call, &request, on_complete);
    health(1);
    health(2);
    turn();
    vacancy_cancel(&probes[1].call);
    await_completed(&probes[0]);
    expect(&probes[0], TICKETD_UNAVAILABLE);
    scripted_reply(0, 200, "{\"status\":\"ready\"}");
    assert_int_equal(probes[1].completed, 0);
    expect(&probes[2], TICKETD_DONE);
    assert_int_equal(remote->used, 0);
}

/* ---- deadlines ---- */

/* The earliest deadline is always known, in whatever order calls come and go. */
static void test_deadlines(void **state)
{
    struct remote_cell *cells[200];
    uint32_t random = 1;
    size_t count = 0;

    (void)state;
    settings.http_queue_max = COUNT(cells);
    start();
    for (int step = 0; step < 20000; ++step) {
        uint64_t earliest_ms = UINT64_MAX;
        random = random * 1664525 + 1013904223;
        if (count < COUNT(cells) && (random >> 24 < 140 || count == 0)) {
            cells[count] =
                remote_take(remote, NULL, REMOTE_RESERVE, random >> 8 & 1023, &remote->fresh);
            assert_non_null(cells[count++]);
        } else {
            size_t gone = (random >> 8) % count;
            remote_release(remote, cells[gone]);
            cells[gone] = cells[--count];
        }
        for (size_t i = 0; i < count; ++i)
            earliest_ms = clock_earlier(earliest_ms, cells[i]->deadline_ms);
        assert_true(count == 0 ? remote_earliest(remote) == NULL
                               : remote_earliest(remote)->deadline_ms == earliest_ms);
        assert_int_equal(remote->heap_count, count);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- what is counted ---- */

static uint64_t counted(enum metrics_cell cell)
{
    return metrics_sum(&metrics, METRICS_TICKET, cell);
}

/* Each call is counted once, as it ended, however often it was sent; each batch with its size. */
static void test_counts(void **state)
{
    uint64_t done = counted(METRICS_client_done), sold_out = counted(METRICS_client_sold_out);
    uint64_t busy = counted(METRICS_client_busy), retries = counted(METRICS_client_retries);
    struct metrics_values before, after;

    (void)state;
    settings.http_queue_max = 2;
    metrics_sum_series(&metrics, METRICS_SERIES_client_batch, &before);
    start();
    for (size_t i = 0; i < 3; ++i)
        reserve(i, 1, NULL);
    expect(&probes[2], TICKETD_BUSY);
    turn();
    scripted_end(0, UPSTREAM_NOT_SENT);
    await_exchanges(2);
    scripted_reply(1, 200, RESULTS(SOLD "," NONE_LEFT));
    await_completed(&probes[1]);
    assert_int_equal(counted(METRICS_client_done), done + 1);
    assert_int_equal(counted(METRICS_client_sold_out), sold_out + 1);
    assert_int_equal(counted(METRICS_client_busy), busy + 1);
    assert_int_equal(counted(METRICS_client_retries), retries + 2);
    metrics_sum_series(&metrics, METRICS_SERIES_client_batch, &after);
    assert_int_equal(metrics_values_count(&after), metrics_values_count(&before) + 2);
    assert_int_equal(after.sum, before.sum + 4);
}

/* What waits, and what is connected, is shown as it is; a probe of health is no call. */
static void test_shows(void **state)
{
    uint64_t done = counted(METRICS_client_done);
    struct scoreboard_slot slot = {.state = 0};

    (void)state;
    settings.http_max_connections = 1;
    start();
    reserve(0, 1, NULL);
    vacancy_remote_show(remote, &slot);
    assert_int_equal(atomic_load(&slot.client_queue), 1);
    turn();
    reserve(1, 1, NULL);
    vacancy_health(client, &probes[2].call, &(struct vacancy_request){.quantity = 0}, on_complete);
    turn();
    vacancy_remote_show(remote, &slot);
    assert_int_equal(atomic_load(&slot.client_busy), 1);
    assert_int_equal(atomic_load(&slot.client_queue), 2);
    assert_int_equal(atomic_load(&slot.parked), 4);
    assert_int_equal(counted(METRICS_client_done), done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_turn_one_request),
        CASE(test_gathers),
        CASE(test_looks_for_more),
        CASE(test_looks_for_who_was_answered),
        CASE(test_looks_are_bounded),
        CASE(test_full_batch_leaves),
        CASE(test_more_than_a_batch),
        CASE(test_patience),
        CASE(test_leaves_when_one_ends),
        CASE(test_ends_are_not_saved),
        CASE(test_no_connection_for_a_while),
        CASE(test_connections),
        CASE(test_queue_bound),
        CASE(test_times),
        CASE(test_texts),
        CASE(test_broken_then_sold),
        CASE(test_unsent_then_replayed),
        CASE(test_again_travels_apart),
        CASE(test_delays),
        CASE(test_broken_then_told),
        CASE(test_broken_then_not_told),
        CASE(test_item_errors),
        CASE(test_broken_until_deadline),
        CASE(test_unsent_until_deadline),
        CASE(test_no_connection_until_deadline),
        CASE(test_many_deadlines),
        CASE(test_garbage),
        CASE(test_refused),
        CASE(test_refused_by_strangers),
        CASE(test_broken_then_refused),
        CASE(test_breakers_open),
        CASE(test_cancel_waiting),
        CASE(test_cancel_all),
        CASE(test_cancel_travelling),
        CASE(test_cancel_delayed),
        CASE(test_callback_cancels),
        CASE(test_free_pending),
        CASE(test_available),
        CASE(test_available_again),
        CASE(test_order),
        CASE(test_order_not_told),
        CASE(test_asks_are_bounded),
        CASE(test_arrival_order),
        CASE(test_restock),
        CASE(test_probe_is_shared),
        CASE(test_probe_fails),
        CASE(test_probe_breakers_open),
        CASE(test_probe_left),
        CASE(test_deadlines),
        CASE(test_counts),
        CASE(test_shows),
    };

    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
