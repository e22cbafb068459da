#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "serving.h"
#include "ticketd/error.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define STATUS       "/control/v1/status"
#define STOCK        "/control/v1/stock"
#define RELOAD       "/control/v1/reload"
#define ADD          "{\"event\":\"default\",\"add\":5}"

static struct control_status told;
static uint32_t event_count;
static uint64_t reloads;

static void status(void *context, struct control_status *ret_status)
{
    assert_ptr_equal(context, &told);
    *ret_status = told;
}

static int event(void *context, uint32_t index, struct control_event *ret_event)
{
    assert_ptr_equal(context, &told);
    if (index >= event_count)
        return TICKETD_EVENT_UNKNOWN;
    *ret_event = (struct control_event){
        .capacity = UINT32_MAX + UINT64_C(10),
        .available = index,
        .sequence = UINT64_C(1) << 42,
        .published_sequence = 41,
        .published_available = 42,
    };
    (void)snprintf(ret_event->id, sizeof(ret_event->id), "event-%u", index);
    return TICKETD_DONE;
}

static uint64_t reload(void *context)
{
    assert_ptr_equal(context, &told);
    return ++reloads;
}

static const struct control_source source = {
    .context = &told, .status = status, .event = event, .reload = reload};

static int group_set_up(void **state)
{
    (void)state;
    serving_start(&source);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    scripted_init(&serving.client);
    serving.router.control = &source;
    told = (struct control_status){.master_pid = 77};
    event_count = 1;
    reloads = 0;
    return 0;
}

/* Status tells all that the source knows, and who answers. */
static void test_status(void **state)
{
    static const char *const words[] = {
        [METRICS_KEEPER_absent] = "absent",
        [METRICS_KEEPER_loading] = "loading",
        [METRICS_KEEPER_running] = "running",
        [METRICS_KEEPER_fault] = "fault",
    };
    char expected[512];

    (void)state;
    told.reloads_asked = 3;
    told.reloads_done = 2;
    told.reloads_refused = 1;
    told.keeper_lag = 1000000;
    for (size_t i = 0; i < COUNT(words); ++i) {
        struct answer answer;
        told.keeper = (enum metrics_keeper_state)i;
        answer = serving_ask(true, "GET", STATUS, "", NULL);
        (void)snprintf(expected, sizeof(expected),
                       "{\"version\":\"%s\",\"role\":\"monolith\",\"service\":\"%s\","
                       "\"master_pid\":77,\"reload\":{\"asked\":3,\"done\":2,\"refused\":1},"
                       "\"keeper\":{\"state\":\"%s\",\"lag\":1000000}}",
                       TICKETD_VERSION, serving.settings.service_name, words[i]);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, expected);
        assert_string_equal(answer_header(&answer, "Cache-Control"), "no-store");
    }
}

/* The stock lists each event, with numbers beyond 32 bits, also when there is none. */
static void test_stock(void **state)
{
    struct answer answer;

    (void)state;
    event_count = 0;
    answer = serving_ask(true, "GET", STOCK, "", NULL);
    assert_string_equal(answer.body, "{\"events\":[]}");
    event_count = 2;
    answer = serving_ask(true, "GET", STOCK, "", NULL);
    assert_string_equal(
        answer.body,
        "{\"events\":[{\"event\":\"event-0\",\"capacity\":4294967305,\"available\":0,"
        "\"sequence\":4398046511104,\"published\":{\"sequence\":41,\"available\":42}},"
        "{\"event\":\"event-1\",\"capacity\":4294967305,\"available\":1,"
        "\"sequence\":4398046511104,\"published\":{\"sequence\":41,\"available\":42}}]}");
}

/* A listing is bounded, and says so where it was cut. */
static void test_stock_is_bounded(void **state)
{
    static struct answer answer;

    (void)state;
    event_count = CONTROL_EVENTS_MAX;
    answer = serving_ask(true, "GET", STOCK, "", NULL);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "\"event-1023\""));
    assert_null(strstr(answer.body, "\"cut\""));
    event_count = CONTROL_EVENTS_MAX + 1;
    answer = serving_ask(true, "GET", STOCK, "", NULL);
    assert_null(strstr(answer.body, "\"event-1024\""));
    assert_non_null(strstr(answer.body, "\"cut\":true"));
}

/* A restock is asked of the stock as it was sent, and answered when it is done. */
static void test_restock(void **state)
{
    struct answer answer;

    (void)state;
    serving.client.answer.remaining = 1005;
    answer = serving_ask(true, "POST", STOCK, "", ADD);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"event\":\"default\",\"available\":1005}");
    assert_string_equal(serving.client.event, "default");
    assert_int_equal(serving.client.request.quantity, 5);
    assert_int_equal(serving.client.request.key.len, 0);
}

struct refusal {
    const char *body;
    int status;
    const char *code;
};

/* What is no restock never reaches the stock. */
static void test_restock_is_refused(void **state)
{
    static const struct refusal refusals[] = {
        {"", 400, "malformed_json"},
        {"{\"event\":\"default\",\"add\":5", 400, "malformed_json"},
        {"5", 422, "invalid_event"},
        {"{\"add\":5}", 422, "invalid_event"},
        {"{\"event\":7,\"add\":5}", 422, "invalid_event"},
        {"{\"event\":\"a-name-that-is-longer-than-the-forty-seven-of-an-event\",\"add\":5}", 404,
         "event_unknown"},
        {"{\"event\":\"default\"}", 422, "invalid_quantity"},
        {"{\"event\":\"default\",\"add\":0}", 422, "invalid_quantity"},
        {"{\"event\":\"default\",\"add\":-1}", 422, "invalid_quantity"},
        {"{\"event\":\"default\",\"add\":2147483648}", 422, "invalid_quantity"},
        {"{\"event\":\"default\",\"add\":1.5}", 422, "invalid_quantity"},
        {"{\"event\":\"default\",\"add\":\"5\"}", 422, "invalid_quantity"},
    };
    struct answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT(refusals); ++i) {
        answer = serving_ask(true, "POST", STOCK, "", refusals[i].body);
        expect_problem(&answer, refusals[i].status, refusals[i].code);
    }
    answer = serving_ask(true, "POST", STOCK, "Content-Type: text/plain\r\n", ADD);
    expect_problem(&answer, 415, "unsupported_media_type");
    assert_int_equal(serving.client.asked, 0);
}

/* A restock that failed says so, in words that do not speak of sales, and whether to repeat it. */
static void test_restock_fails(void **state)
{
    static const struct {
        int status;
        int http_status;
        const char *code, *advice;
    } failings[] = {
        {TICKETD_EVENT_UNKNOWN, 404, "event_unknown", "no event"},
        {TICKETD_INVALID, 422, "invalid_quantity", "none were added"},
        {TICKETD_BUSY, 503, "overloaded", "no tickets were added"},
        {TICKETD_UNAVAILABLE, 503, "vacancy_unavailable", "no tickets were added"},
        {TICKETD_TIMED_OUT, 503, "overloaded", "no tickets were added"},
        {TICKETD_LEDGER_FAULT, 503, "ledger_unavailable", "no tickets were added"},
        {TICKETD_OUTCOME_UNKNOWN, 503, "outcome_unknown", "look at the stock"},
        {-EIO, 500, "internal_error", "no tickets were added"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(failings); ++i) {
        struct answer answer;
        serving.client.answer.status = failings[i].status;
        answer = serving_ask(true, "POST", STOCK, "", ADD);
        expect_problem(&answer, failings[i].http_status, failings[i].code);
        assert_non_null(strstr(answer.body, failings[i].advice));
    }
}

/* A reload is asked for once a request, and its number is told. */
static void test_reload(void **state)
{
    struct answer answer;

    (void)state;
    answer = serving_ask(true, "POST", RELOAD, "", NULL);
    assert_int_equal(answer.status, 202);
    assert_string_equal(answer.body, "{\"reload\":1}");
    answer = serving_ask(true, "POST", RELOAD, "", "{}");
    assert_string_equal(answer.body, "{\"reload\":2}");
    answer = serving_ask(true, "GET", RELOAD, "", NULL);
    expect_problem(&answer, 405, "method_not_allowed");
    assert_int_equal(reloads, 2);
}

/* Without a source the control site says 503, and a restock, which needs none, still works. */
static void test_no_source(void **state)
{
    struct answer answer;

    (void)state;
    serving.router.control = NULL;
    answer = serving_ask(true, "GET", STATUS, "", NULL);
    expect_problem(&answer, 503, "vacancy_unavailable");
    answer = serving_ask(true, "GET", STOCK, "", NULL);
    expect_problem(&answer, 503, "vacancy_unavailable");
    answer = serving_ask(true, "POST", RELOAD, "", NULL);
    expect_problem(&answer, 503, "vacancy_unavailable");
    answer = serving_ask(true, "POST", STOCK, "", ADD);
    assert_int_equal(answer.status, 200);
}

/* Neither site shows the other's paths, whatever Host or target is named. */
static void test_sites_are_apart(void **state)
{
    static const char *const control_paths[] = {STATUS, STOCK, "http://control/control/v1/status"};
    static const char *const public_paths[] = {"/health", "/api/v1/available",
                                               "http://default/health"};
    struct answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT(control_paths); ++i) {
        answer = serving_ask(false, "GET", control_paths[i], "", NULL);
        expect_problem(&answer, 404, "not_found");
    }
    answer = serving_ask(false, "POST", RELOAD, "", "{}");
    expect_problem(&answer, 404, "not_found");
    for (size_t i = 0; i < COUNT(public_paths); ++i) {
        answer = serving_ask(true, "GET", public_paths[i], "", NULL);
        expect_problem(&answer, 404, "not_found");
    }
    answer = serving_ask(false, "GET", "/", "", NULL);
    assert_int_equal(answer.status, 200);
    assert_null(strstr(answer.body, "control"));
    answer = serving_ask(true, "GET", "/", "", NULL);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, STATUS));
    assert_null(strstr(answer.body, "/api/"));
    assert_int_equal(reloads, 0);
}

static void exchange(int fd, const char *request, struct answer *ret_answer)
{
    serving_send(fd, request, strlen(request));
    serving_receive(fd, false, ret_answer);
}

/* The Host of one site, sent to the other, leads nowhere else. */
static void test_host_does_not_choose(void **state)
{
    int fd = serving_connect(false);
    struct answer answer;

    (void)state;
    exchange(fd, "GET /control/v1/status HTTP/1.1\r\nHost: control\r\n\r\n", &answer);
    expect_problem(&answer, 404, "not_found");
    (void)close(fd);
    fd = serving_connect(true);
    exchange(fd, "GET /health HTTP/1.1\r\nHost: default\r\n\r\n", &answer);
    expect_problem(&answer, 404, "not_found");
    exchange(fd, "GET /control/v1/status HTTP/1.1\r\nHost: default\r\n\r\n", &answer);
    assert_int_equal(answer.status, 200);
    (void)close(fd);
}

/* No page may call the control site, and it tells browsers nothing. */
static void test_no_origin(void **state)
{
    static const char *const methods[] = {"GET", "POST", "OPTIONS"};
    struct answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT(methods); ++i) {
        answer = serving_ask(true, methods[i], STOCK, "Origin: http://a\r\n", ADD);
        expect_problem(&answer, 403, "origin_not_allowed");
        assert_null(answer_header(&answer, "Access-Control-Allow-Origin"));
    }
    answer = serving_ask(true, "GET", "/nothing", "Origin: null\r\n", NULL);
    expect_problem(&answer, 403, "origin_not_allowed");
    answer = serving_ask(true, "GET", STATUS, "", NULL);
    assert_null(answer_header(&answer, "Access-Control-Allow-Origin"));
    assert_null(answer_header(&answer, "Vary"));
    assert_int_equal(serving.client.asked, 0);
}

/* The control site judges framing and size like the public one. */
static void test_limits(void **state)
{
    static char body[20000];
    struct answer answer;

    (void)state;
    answer = serving_ask(true, "GET", STATUS, "Host: b\r\n", NULL);
    expect_problem(&answer, 400, "malformed_request");
    assert_string_equal(answer_header(&answer, "Connection"), "close");
    memset(body, ' ', sizeof(body) - 1);
    int fd = serving_connect(true);
    exchange(fd, "POST /control/v1/stock HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n",
             &answer);
    expect_problem(&answer, 413, "body_too_large");
    (void)close(fd);
}

/* Control connections are no part of the public's count; beyond their own limit they wait until one
 * has ended. */
static void test_connections(void **state)
{
    static const char request[] = "GET " STATUS " HTTP/1.1\r\nHost: a\r\n\r\n";
    int fds[HTTP_CONTROL_CONNECTIONS_MAX], one_more;
    struct answer answer;

    (void)state;
    serving_await_no_connection();
    for (size_t i = 0; i < COUNT(fds); ++i) {
        fds[i] = serving_connect(true);
        exchange(fds[i], request, &answer);
        assert_int_equal(answer.status, 200);
    }
    assert_int_equal(serving.server.control_connections, COUNT(fds));
    assert_int_equal(serving.server.connections, 0);
    one_more = serving_connect(true);
    serving_send(one_more, request, sizeof(request) - 1);
    answer = serving_ask(false, "GET", "/health", "", NULL);
    assert_int_equal(answer.status, 200);
    assert_int_equal(serving.server.control_connections, COUNT(fds));
    (void)close(fds[0]);
    serving_receive(one_more, false, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(serving.server.control_connections, COUNT(fds));
    (void)close(one_more);
    for (size_t i = 1; i < COUNT(fds); ++i)
        (void)close(fds[i]);
}

/* A draining server waits for its control connections, and ends them.  (Last: nothing is served
 * after it.) */
static void test_drain(void **state)
{
    int fd = serving_connect(true);
    struct answer answer;

    (void)state;
    exchange(fd, "GET " STATUS " HTTP/1.1\r\nHost: a\r\n\r\n", &answer);
    http_server_drain(&serving.server, true, 0, 60000);
    assert_false(http_server_drained(&serving.server));
    serving_receive(fd, false, &answer);
    assert_int_equal(answer.status, 0);
    serving_await_no_connection();
    assert_true(http_server_drained(&serving.server));
    (void)close(fd);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_status),
        CASE(test_stock),
        CASE(test_stock_is_bounded),
        CASE(test_restock),
        CASE(test_restock_is_refused),
        CASE(test_restock_fails),
        CASE(test_reload),
        CASE(test_no_source),
        CASE(test_sites_are_apart),
        CASE(test_host_does_not_choose),
        CASE(test_no_origin),
        CASE(test_limits),
        CASE(test_connections),
        CASE(test_drain),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
