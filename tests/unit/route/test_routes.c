#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "serving.h"
#include "ticketd/error.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define RESERVE      "/api/v1/reserve"
#define PURCHASE     "/api/v1/purchase"
#define ONE          "{\"qty\":1}"
#define TRACE_REST   "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACE        "00" TRACE_REST
/* The order of ORDER, in text. */
#define ORDER_ID "00030000-0001-8007-8000-000000000009"
#define ORDER    ((struct order_id){.event = 3, .sequence = 1025, .token = UINT64_C(3) << 62 | 9})

static int group_set_up(void **state)
{
    (void)state;
    serving_start(NULL);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    scripted_init(&serving.client);
    return 0;
}

/* ------------------------------------------------------------------ keys */

/* What a key decodes to is what the stock is asked with, on both endpoints and in both forms. */
static void test_key_is_passed_on(void **state)
{
    static const char *const headers[] = {
        "Idempotency-Key: the-key\r\n",
        "idempotency-key:\"the-key\"\r\n",
        "IDEMPOTENCY-KEY: \t\"the-key\" \r\nOrigin: http://a\r\n",
        "Content-Type: application/json\r\nX-Request-ID: 1\r\nIdempotency-Key: the-key\r\n",
    };
    static const char *const paths[] = {RESERVE, PURCHASE};

    (void)state;
    for (size_t i = 0; i < COUNT(headers); ++i) {
        for (size_t j = 0; j < COUNT(paths); ++j) {
            struct answer answer = serving_ask(false, "POST", paths[j], headers[i], ONE);
            assert_int_equal(answer.status, 200);
            assert_string_equal(serving.client.key, "the-key");
            assert_int_equal(serving.client.request.deadline_ms, 0);
        }
    }
    (void)serving_ask(false, "POST", RESERVE, "Idempotency-Key: \"a\\\"\\\\b\"\r\n", ONE);
    assert_string_equal(serving.client.key, "a\"\\b");
    (void)serving_ask(false, "POST", RESERVE, "", ONE);
    assert_int_equal(serving.client.request.key.len, 0);
}

/* A key that is malformed or comes twice sells nothing. */
static void test_key_is_refused(void **state)
{
    static const char *const headers[] = {
        "Idempotency-Key:\r\n",
        "Idempotency-Key: \"\"\r\n",
        "Idempotency-Key: \"a\r\n",
        "Idempotency-Key: a b\r\n",
        "Idempotency-Key: \"a\";p=1\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
        "Idempotency-Key: a\r\nX: y\r\nIdempotency-Key: b\r\n",
        "Idempotency-Key:\r\nIdempotency-Key: a\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(headers); ++i) {
        struct answer answer = serving_ask(false, "POST", RESERVE, headers[i], ONE);
        expect_problem(&answer, 400, "invalid_idempotency_key");
    }
    assert_int_equal(serving.client.asked, 0);
}

/* ------------------------------------------------------------------ sales */

/* A success names its order; only a replay says that it is one, and it is counted as nothing else.
 */
static void test_replay(void **state)
{
    uint64_t sales = serving_counted(METRICS_EVENT_sales);
    uint64_t replays = serving_counted(METRICS_EVENT_replays);
    struct answer answer;

    (void)state;
    serving.client.answer = (struct vacancy_result){.remaining = 7, .order = ORDER};
    answer = serving_ask(false, "POST", RESERVE, "", "{\"qty\":2}");
    assert_string_equal(answer.body, "{\"success\":true,\"remaining\":7,\"message\":"
                                     "\"Reserved 2 tickets\",\"order_id\":\"" ORDER_ID "\"}");
    assert_null(answer_header(&answer, "Idempotent-Replayed"));
    assert_int_equal(serving_counted(METRICS_EVENT_sales), sales + 1);
    assert_int_equal(serving_counted(METRICS_EVENT_replays), replays);

    serving.client.answer.replayed = true;
    answer = serving_ask(false, "POST", PURCHASE, "Idempotency-Key: k\r\n", "{\"qty\":2}");
    assert_string_equal(answer.body, "{\"success\":true,\"remaining\":7,\"message\":"
                                     "\"Purchase successful!\",\"order_id\":\"" ORDER_ID "\"}");
    assert_string_equal(answer_header(&answer, "Idempotent-Replayed"), "true");
    assert_int_equal(serving_counted(METRICS_EVENT_sales), sales + 1);
    assert_int_equal(serving_counted(METRICS_EVENT_replays), replays + 1);
}

/* The longest answer of a sale is whole. */
static void test_longest_sale(void **state)
{
    struct answer answer;

    (void)state;
    serving.client.answer = (struct vacancy_result){
        .remaining = UINT32_MAX,
        .order = {ORDER_ID_EVENT_MAX, ORDER_ID_SEQUENCE_MAX, UINT64_MAX},
    };
    answer = serving_ask(false, "POST", RESERVE, "", "{\"qty\":2147483647}");
    assert_string_equal(answer.body,
                        "{\"success\":true,\"remaining\":4294967295,\"message\":\"Reserved "
                        "2147483647 tickets\",\"order_id\":\"ffffffff-ffff-8fff-bfff-"
                        "ffffffffffff\"}");
}

/* Sold out keeps the three fields that it always had. */
static void test_sold_out(void **state)
{
    struct answer answer;

    (void)state;
    serving.client.answer =
        (struct vacancy_result){.status = TICKETD_SOLD_OUT, .remaining = 3, .order = ORDER};
    answer = serving_ask(false, "POST", RESERVE, "Idempotency-Key: k\r\n", ONE);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"success\":false,\"remaining\":3,\"message\":"
                                     "\"Insufficient inventory\"}");
    assert_null(answer_header(&answer, "Idempotent-Replayed"));
}

struct failing {
    int status;
    int http_status;
    const char *code;
    const char *advice; /* a word of the detail that says what the client may do */
};

/* Each way in which a sale can fail has a code of its own, and says whether something was sold;
 * those that are the service's are counted. */
static void test_failures(void **state)
{
    static const struct failing failings[] = {
        {TICKETD_BUSY, 503, "overloaded", "nothing was sold"},
        {TICKETD_TIMED_OUT, 503, "overloaded", "nothing was sold"},
        {TICKETD_UNAVAILABLE, 503, "vacancy_unavailable", "nothing was sold"},
        {TICKETD_EVENT_UNKNOWN, 503, "vacancy_unavailable", "nothing was sold"},
        {TICKETD_LEDGER_FAULT, 503, "ledger_unavailable", "nothing was sold"},
        {TICKETD_OUTCOME_UNKNOWN, 503, "outcome_unknown", "same Idempotency-Key again"},
        {TICKETD_KEY_REUSED, 422, "idempotency_key_reused", "nothing more was sold"},
        {TICKETD_KEY_IN_FLIGHT, 409, "idempotency_key_in_flight", "this one sold nothing"},
        {-EIO, 500, "internal_error", "could not"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(failings); ++i) {
        uint64_t before = serving_refused();
        struct answer answer;
        serving.client.answer.status = failings[i].status;
        answer = serving_ask(false, "POST", PURCHASE, "Idempotency-Key: k\r\n", ONE);
        expect_problem(&answer, failings[i].http_status, failings[i].code);
        assert_non_null(strstr(answer.body, failings[i].advice));
        assert_int_equal(serving_refused() - before, failings[i].http_status >= 500);
    }
}

/* A refusal says to come back after one to three seconds, drawn anew each time. */
static void test_retry_after_is_spread(void **state)
{
    unsigned drawn[HTTP_RETRY_AFTER_MAX_S + 1] = {0};

    (void)state;
    serving.client.answer.status = TICKETD_BUSY;
    for (int i = 0; i < 60; ++i) {
        struct answer answer = serving_ask(false, "POST", RESERVE, "", ONE);
        long seconds = strtol(answer_header(&answer, "Retry-After"), NULL, 10);
        assert_in_range(seconds, 1, HTTP_RETRY_AFTER_MAX_S);
        ++drawn[seconds];
    }
    /* one of three that never came in sixty draws: once in 10^10 */
    for (int seconds = 1; seconds <= HTTP_RETRY_AFTER_MAX_S; ++seconds)
        assert_int_not_equal(drawn[seconds], 0);
}

/* Who sent no key and was sent on with one is told it, in a header and in no other place. */
static void test_unknown_outcome_tells_the_key(void **state)
{
    struct answer answer;

    (void)state;
    serving.client.answer =
        (struct vacancy_result){.status = TICKETD_OUTCOME_UNKNOWN, .key = TEXT("ticketd.a\"b\\c")};
    answer = serving_ask(false, "POST", PURCHASE, "", ONE);
    expect_problem(&answer, 503, "outcome_unknown");
    assert_string_equal(answer_header(&answer, "Idempotency-Key"), "\"ticketd.a\\\"b\\\\c\"");
    assert_null(strstr(answer.body, "ticketd.a"));
    assert_non_null(strstr(answer.body, "Idempotency-Key in this answer's headers"));
    assert_non_null(
        strstr(answer_header(&answer, "Access-Control-Expose-Headers"), "Idempotency-Key"));
    serving.client.answer.key = TEXT("");
    answer = serving_ask(false, "POST", PURCHASE, "Idempotency-Key: k\r\n", ONE);
    expect_problem(&answer, 503, "outcome_unknown");
    assert_null(answer_header(&answer, "Idempotency-Key"));
}

/* ------------------------------------------------------------------ traces */

/* A trace is handed on to the stock when it is one, and else left out; the answer is the same. */
static void test_traceparent(void **state)
{
    static const struct {
        const char *headers;
        const char *handed_on;
    } cases[] = {
        {"", ""},
        {"traceparent: " TRACE "\r\n", TRACE},
        {"TraceParent:\t" TRACE " \r\nX-Request-ID: r\r\n", TRACE},
        {"traceparent: 00-0af7\r\n", ""},
        {"traceparent: 01" TRACE_REST "\r\n", ""},
        {"traceparent:\r\n", ""},
        {"tracestate: a=b\r\n", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        struct answer answer = serving_ask(false, "POST", PURCHASE, cases[i].headers, ONE);
        assert_int_equal(answer.status, 200);
        assert_null(answer_header(&answer, "traceparent"));
        assert_string_equal(serving.client.traceparent, cases[i].handed_on);
    }
}

/* ------------------------------------------------------------------ orders */

static void answer_with_order(void)
{
    serving.client.answer = (struct vacancy_result){
        .order = ORDER,
        .quantity = 4,
        .time_us = INT64_C(1700000000000042),
        .event = TEXT("a-concert"),
    };
}

/* An order is told as it is, with its time in UTC, and no cache may keep it. */
static void test_order(void **state)
{
    struct answer answer;

    (void)state;
    answer_with_order();
    answer = serving_ask(false, "GET", "/api/v1/orders/" ORDER_ID, "", NULL);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body,
                        "{\"order_id\":\"" ORDER_ID "\",\"event\":\"a-concert\",\"qty\":4,"
                        "\"status\":\"confirmed\",\"created_at\":\"2023-11-14T22:13:20.000042Z\"}");
    assert_string_equal(answer_header(&answer, "Content-Type"), "application/json");
    assert_string_equal(answer_header(&answer, "Cache-Control"), "no-store");
    assert_int_equal(serving.client.request.order.event, 3);
    assert_int_equal(serving.client.request.order.sequence, 1025);
    assert_true(serving.client.request.order.token == ORDER.token);
}

/* An id is found in upper case, with a query, percent-encoded and in a target of absolute form. */
static void test_order_in_other_forms(void **state)
{
    static const char *const targets[] = {
        "/api/v1/orders/" ORDER_ID "?x=/y",
        "/api/v1/orders/%30%30030000-0001-8007-8000-000000000009",
        "http://a/api/v1/orders/" ORDER_ID,
        "/api/v1/x/../orders/" ORDER_ID,
    };

    (void)state;
    answer_with_order();
    for (size_t i = 0; i < COUNT(targets); ++i) {
        struct answer answer = serving_ask(false, "GET", targets[i], "", NULL);
        assert_int_equal(answer.status, 200);
        assert_int_equal(serving.client.request.order.sequence, 1025);
    }
    assert_int_equal(serving.client.asked, COUNT(targets));
}

/* What is no id is no order, and nobody is asked for it; the same is said of one that is not there.
 */
static void test_no_order(void **state)
{
    static const char *const ids[] = {"1",
                                      "00030000-0001-8007-8000-00000000000",
                                      "00030000-0001-8007-8000-0000000000090",
                                      "00030000-0001-4007-8000-000000000009",
                                      "%00",
                                      "{id}"};
    struct answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT(ids); ++i) {
        char path[128];
        (void)snprintf(path, sizeof(path), "/api/v1/orders/%s", ids[i]);
        answer = serving_ask(false, "GET", path, "", NULL);
        expect_problem(&answer, 404, "order_not_found");
    }
    assert_int_equal(serving.client.asked, 0);
    serving.client.answer.status = TICKETD_NOT_FOUND;
    answer = serving_ask(false, "GET", "/api/v1/orders/" ORDER_ID, "", NULL);
    expect_problem(&answer, 404, "order_not_found");
    assert_int_equal(serving.client.asked, 1);
}

/* Around the paths with an id there is nothing. */
static void test_paths_around_orders(void **state)
{
    static const char *const paths[] = {
        "/api/v1/orders",
        "/api/v1/orders/",
        "/api/v1/orders//",
        "/api/v1/orders/a/b",
        "/api/v1/orders/00030000-0001-8007-8000-000000000009/",
        "/api/v1/orders/%2f",
        "http://a/api/v1/orders/",
        "http://a/api/v1/orders/a/b",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(paths); ++i) {
        struct answer answer = serving_ask(false, "GET", paths[i], "", NULL);
        expect_problem(&answer, 404, "not_found");
    }
    assert_int_equal(serving.client.asked, 0);
}

/* A path with a parameter has its methods like any other. */
static void test_methods_of_order(void **state)
{
    struct answer answer;
    char length[32];

    (void)state;
    answer_with_order();
    answer = serving_ask(false, "GET", "/api/v1/orders/" ORDER_ID, "", NULL);
    (void)snprintf(length, sizeof(length), "%zu", strlen(answer.body));
    answer = serving_ask(false, "HEAD", "/api/v1/orders/" ORDER_ID, "", NULL);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "Content-Length"), length);
    answer = serving_ask(false, "OPTIONS", "/api/v1/orders/" ORDER_ID, "", NULL);
    assert_int_equal(answer.status, 204);
    assert_string_equal(answer_header(&answer, "Allow"), "GET, HEAD, OPTIONS");
    answer = serving_ask(false, "POST", "/api/v1/orders/" ORDER_ID, "", ONE);
    expect_problem(&answer, 405, "method_not_allowed");
    assert_string_equal(answer_header(&answer, "Allow"), "GET, HEAD, OPTIONS");
}

/* The first and the last microsecond of a second are in it. */
static void test_times(void **state)
{
    static const struct {
        int64_t time_us;
        const char *text;
    } times[] = {
        {0, "\"1970-01-01T00:00:00.000000Z\""},
        {1, "\"1970-01-01T00:00:00.000001Z\""},
        {INT64_C(1709251199999999), "\"2024-02-29T23:59:59.999999Z\""},
        {INT64_C(1709251200000000), "\"2024-03-01T00:00:00.000000Z\""},
    };

    (void)state;
    answer_with_order();
    for (size_t i = 0; i < COUNT(times); ++i) {
        struct answer answer;
        serving.client.answer.time_us = times[i].time_us;
        answer = serving_ask(false, "GET", "/api/v1/orders/" ORDER_ID, "", NULL);
        assert_non_null(strstr(answer.body, times[i].text));
    }
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

/* ------------------------------------------------------------------ metrics */

/* Sends one request as it stands, and turns until its answer is there; its status. */
static int send_raw(const char *bytes)
{
    struct answer answer;
    int fd = serving_connect(false);

    serving_send(fd, bytes, strlen(bytes));
    serving_receive(fd, false, &answer);
    (void)close(fd);
    return answer.status;
}

/* Every answer is counted, once, by path, method and status, whoever makes it: a route, the router,
 * what judges the framing, libh2o itself. */
static void test_answers_are_counted(void **state)
{
    static const struct {
        const char *request;
        enum metrics_method method;
        const char *path; /* NULL: none */
        int status;
    } cases[] = {
        {"POST /api/v1/purchase HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"qty\":1}",
         METRICS_METHOD_POST, PURCHASE, 200},
        {"POST /api/v1/purchase HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
         METRICS_METHOD_POST, PURCHASE, 400},
        {"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", METRICS_METHOD_GET, "/health", 200},
        {"GET http://a/health HTTP/1.1\r\nHost: a\r\n\r\n", METRICS_METHOD_GET, "/health", 200},
        {"OPTIONS /health HTTP/1.1\r\nHost: a\r\n\r\n", METRICS_METHOD_OPTIONS, "/health", 204},
        {"DELETE /health HTTP/1.1\r\nHost: a\r\n\r\n", METRICS_METHOD_OTHER, "/health", 405},
        {"GET /api/v1/orders/" ORDER_ID " HTTP/1.1\r\nHost: a\r\n\r\n", METRICS_METHOD_GET,
         "/api/v1/orders/{id}", 200},
        {"GET /healthy HTTP/1.1\r\nHost: a\r\n\r\n", METRICS_METHOD_GET, NULL, 404},
        {"GET /health HTTP/1.1\r\n\r\n", METRICS_METHOD_GET, NULL, 400},
        {"POST /api/v1/purchase HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
         METRICS_METHOD_POST, NULL, 413},
        {"POST /api/v1/purchase HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n",
         METRICS_METHOD_POST, NULL, 417},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        unsigned status = (unsigned)cases[i].status;
        uint64_t before = serving_answers(cases[i].method, cases[i].path, status);
        serving.client.answer =
            (struct vacancy_result){.quantity = 1, .order = ORDER, .event = TEXT("default")};
        assert_int_equal(send_raw(cases[i].request), cases[i].status);
        assert_int_equal(serving_answers(cases[i].method, cases[i].path, status), before + 1);
    }
}

/* HEAD is not counted as GET. */
static void test_head_is_counted(void **state)
{
    uint64_t heads = serving_answers(METRICS_METHOD_HEAD, "/health", 200);
    uint64_t gets = serving_answers(METRICS_METHOD_GET, "/health", 200);

    (void)state;
    assert_int_equal(serving_ask(false, "HEAD", "/health", "", NULL).status, 200);
    assert_int_equal(serving_answers(METRICS_METHOD_HEAD, "/health", 200), heads + 1);
    assert_int_equal(serving_answers(METRICS_METHOD_GET, "/health", 200), gets);
}

/* Both sites tell; what they tell is for Prometheus, and kept by no cache. */
static void test_metrics(void **state)
{
    (void)state;
    for (int control = 0; control < 2; ++control) {
        struct answer answer = serving_ask(control, "GET", "/metrics", "", NULL);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer_header(&answer, "Content-Type"),
                            "text/plain; version=0.0.4; charset=utf-8");
        assert_string_equal(answer_header(&answer, "Cache-Control"), "no-store");
        assert_non_null(
            strstr(answer.body, "\nticketd_build_info{version=\"" TICKETD_VERSION "\"} 1\n"));
    }
}

/* A path has one number, the same on both sites, and the number leads back to it. */
static void test_route_numbers(void **state)
{
    const struct route *const tables[] = {route_table, route_control_table};

    (void)state;
    for (size_t i = 0; i < COUNT(tables); ++i)
        for (const struct route *route = tables[i]; route->path != NULL; ++route) {
            uint32_t number = route_number_of(route->path);
            assert_int_not_equal(number, 0);
            assert_string_equal(route_of_number(number), route->path);
        }
    assert_int_equal(route_number_of("/nowhere"), 0);
    assert_string_equal(route_of_number(0), "");
    assert_string_equal(route_of_number(UINT32_MAX), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_key_is_passed_on),
        CASE(test_key_is_refused),
        CASE(test_replay),
        CASE(test_longest_sale),
        CASE(test_sold_out),
        CASE(test_failures),
        CASE(test_retry_after_is_spread),
        CASE(test_unknown_outcome_tells_the_key),
        CASE(test_traceparent),
        CASE(test_order),
        CASE(test_order_in_other_forms),
        CASE(test_no_order),
        CASE(test_paths_around_orders),
        CASE(test_methods_of_order),
        CASE(test_times),
        CASE(test_answers_are_counted),
        CASE(test_head_is_counted),
        CASE(test_metrics),
        CASE(test_route_numbers),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
