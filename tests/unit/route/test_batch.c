/* route/batch.c: many reserves in one request, over a scripted stock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serving.h"
#include "ticketd/error.h"
#include "util/clock.h"
#include "wire/reserve_batch.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define BATCH        "/api/v1/reserve/batch"
#define TRACE        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define OTHER_TRACE  "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define ORDER_ID     "00030000-0001-8007-8000-000000000009"
#define ORDER        ((struct order_id){.event = 3, .sequence = 1025, .token = UINT64_C(3) << 62 | 9})
/* What the stock's client is told of ORDER, with 7 remaining. */
#define SOLD(quantity)                                                                             \
    "{\"success\":true,\"remaining\":7,\"message\":\"Reserved " quantity                           \
    " tickets\",\"order_id\":\"" ORDER_ID "\"}"

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
    serving.client.answer = (struct vacancy_result){.remaining = 7, .order = ORDER};
    return 0;
}

static struct answer ask(const char *body)
{
    return serving_ask(false, "POST", BATCH, "", body);
}

static void expect_answer(const struct answer *answer, const char *body)
{
    assert_int_equal(answer->status, 200);
    assert_string_equal(answer_header(answer, "Content-Type"), "application/json");
    assert_string_equal(answer->body, body);
}

/* ------------------------------------------------------------------ judged on their own */

/* Each request gets the answer that it would have had alone, in its own place. */
static void test_sales(void **state)
{
    uint64_t sales = serving_counted(METRICS_EVENT_sales);
    uint64_t requests = serving_answers(METRICS_METHOD_POST, "/api/v1/reserve/batch", 200);
    struct answer answer = ask("{\"requests\":[{\"qty\":2},{\"qty\":31}]}");

    (void)state;
    expect_answer(&answer, "{\"results\":[" SOLD("2") "," SOLD("31") "]}");
    assert_int_equal(serving.client.asked, 2);
    assert_int_equal(serving_counted(METRICS_EVENT_sales), sales + 2);
    assert_int_equal(serving_answers(METRICS_METHOD_POST, "/api/v1/reserve/batch", 200),
                     requests + 1);
}

/* A replay says so in its result, since it has no headers; sold out has its three fields. */
static void test_replay_and_sold_out(void **state)
{
    uint64_t replays = serving_counted(METRICS_EVENT_replays);
    uint64_t sold_outs = serving_counted(METRICS_EVENT_sold_outs);
    uint64_t sales = serving_counted(METRICS_EVENT_sales);
    struct answer answer;

    (void)state;
    serving.client.answer.replayed = true;
    answer = ask("{\"requests\":[{\"qty\":2,\"idempotency_key\":\"k\"}]}");
    expect_answer(&answer,
                  "{\"results\":[{\"success\":true,\"remaining\":7,\"message\":"
                  "\"Reserved 2 tickets\",\"order_id\":\"" ORDER_ID "\",\"replayed\":true}]}");
    assert_null(answer_header(&answer, "Idempotent-Replayed"));
    serving.client.answer =
        (struct vacancy_result){.status = TICKETD_SOLD_OUT, .remaining = 1, .order = ORDER};
    answer = ask("{\"requests\":[{\"qty\":2}]}");
    expect_answer(&answer, "{\"results\":[{\"success\":false,\"remaining\":1,\"message\":"
                           "\"Insufficient inventory\"}]}");
    assert_int_equal(serving_counted(METRICS_EVENT_replays), replays + 1);
    assert_int_equal(serving_counted(METRICS_EVENT_sold_outs), sold_outs + 1);
    assert_int_equal(serving_counted(METRICS_EVENT_sales), sales);
}

/* A quantity or a key that is none is refused in its place, with a pointer to it, and the others
 * sell. */
static void test_one_is_wrong(void **state)
{
    struct answer answer = ask("{\"requests\":[{\"qty\":1},{\"qty\":0},{\"qty\":1,"
                               "\"idempotency_key\":\"a b\"},{\"qty\":3}]}");

    (void)state;
    expect_answer(
        &answer,
        "{\"results\":[" SOLD(
            "1") ","
                 "{\"error\":{\"type\":\"about:blank\",\"title\":\"Unprocessable "
                 "Content\",\"status\":422,"
                 "\"detail\":\"qty must be a whole number from 1 to 2147483647\",\"code\":"
                 "\"invalid_quantity\",\"errors\":[{\"detail\":\"qty must be a whole number from 1 "
                 "to "
                 "2147483647\",\"pointer\":\"#/requests/1/qty\"}]}},"
                 "{\"error\":{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                 "\"detail\":\"idempotency_key must be 1 to 255 visible ASCII "
                 "characters\",\"code\":"
                 "\"invalid_idempotency_key\",\"errors\":[{\"detail\":\"idempotency_key must be 1 "
                 "to 255 "
                 "visible ASCII "
                 "characters\",\"pointer\":\"#/requests/2/idempotency_key\"}]}}," SOLD("3") "]}");
    assert_int_equal(serving.client.asked, 2);
}

struct failing {
    int status;
    const char *code;
};

/* Whatever a sale can fail with is read by the other pool as what it was; those that are the
 * service's are counted, each. */
static void test_failures(void **state)
{
    static const struct failing failings[] = {
        {TICKETD_BUSY, "overloaded"},
        {TICKETD_UNAVAILABLE, "vacancy_unavailable"},
        {TICKETD_LEDGER_FAULT, "ledger_unavailable"},
        {TICKETD_OUTCOME_UNKNOWN, "outcome_unknown"},
        {TICKETD_KEY_REUSED, "idempotency_key_reused"},
        {TICKETD_KEY_IN_FLIGHT, "idempotency_key_in_flight"},
        {-EIO, "internal_error"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(failings); ++i) {
        struct reserve_batch_result results[2];
        uint64_t before = serving_refused();
        const char *error;
        struct answer answer;
        bool server_failed =
            failings[i].status != TICKETD_KEY_REUSED && failings[i].status != TICKETD_KEY_IN_FLIGHT;
        serving.client.answer = (struct vacancy_result){.status = failings[i].status};
        answer = ask("{\"requests\":[{\"qty\":1},{\"qty\":1}]}");
        assert_int_equal(answer.status, 200);
        assert_null(answer_header(&answer, "Retry-After"));
        assert_non_null(strstr(answer.body, failings[i].code));
        assert_int_equal(
            reserve_batch_read_results(
                (struct text){.base = answer.body, .len = strlen(answer.body)}, results, 2, &error),
            0);
        assert_int_equal(results[0].status, failings[i].status);
        assert_int_equal(results[1].status, failings[i].status);
        assert_int_equal(serving_refused() - before, server_failed ? 2 : 0);
    }
}

/* The longest batch is answered whole, whatever its sales end with, and each answer keeps within
 * the room that the other pool has for it. */
static void test_longest_batch(void **state)
{
    static const int statuses[] = {0, TICKETD_SOLD_OUT, TICKETD_KEY_IN_FLIGHT,
                                   TICKETD_OUTCOME_UNKNOWN, TICKETD_INVALID};
    int64_t most = serving.settings.batch_max;
    size_t room = route_batch_body_max(&serving.settings);
    char *body = malloc(room), *end = reserve_batch_begin(body, 1);
    char key[KEY_TEXT_MAX], id[RESERVE_BATCH_REQUEST_ID_MAX], head[128];
    static struct answer answer;

    (void)state;
    memset(key, '"', sizeof(key));
    memset(id, '\\', sizeof(id));
    for (int64_t i = 0; i < most; ++i)
        end = reserve_batch_add(end,
                                &(struct reserve_batch_request){.quantity = INT32_MAX,
                                                                .key = {key, sizeof(key)},
                                                                .request_id = {id, sizeof(id)},
                                                                .traceparent = TEXT(TRACE)},
                                i == 0);
    end = reserve_batch_end(end);
    assert_true((size_t)(end - body) > (size_t)serving.settings.max_body_bytes);
    for (size_t i = 0; i < COUNT(statuses); ++i) {
        struct reserve_batch_result results[RESERVE_BATCH_MAX];
        const char *error;
        int fd = serving_connect(false);
        serving.client.answer.status = statuses[i];
        (void)snprintf(head, sizeof(head),
                       "POST " BATCH " HTTP/1.1\r\nHost: a\r\nContent-Length: %td\r\n\r\n",
                       end - body);
        serving_send(fd, head, strlen(head));
        serving_send(fd, body, (size_t)(end - body));
        serving_receive(fd, false, &answer);
        assert_int_equal(answer.status, 200);
        assert_int_equal(reserve_batch_read_results(
                             (struct text){.base = answer.body, .len = strlen(answer.body)},
                             results, (uint32_t)most, &error),
                         0);
        assert_int_equal(results[most - 1].status, statuses[i]);
        (void)close(fd);
    }
    assert_int_equal(serving.client.asked, (uint64_t)most * COUNT(statuses));
    free(body);
}

/* ------------------------------------------------------------------ what the stock is asked */

/* Key, id and trace of each request go along; what it lacks is the batch's own. */
static void test_texts_are_passed_on(void **state)
{
    struct answer answer;

    (void)state;
    answer =
        serving_ask(false, "POST", BATCH, "X-Request-ID: batch\r\ntraceparent: " OTHER_TRACE "\r\n",
                    "{\"requests\":[{\"qty\":1},{\"qty\":3,\"idempotency_key\":\"k\\\"\\\\\","
                    "\"request_id\":\"r\",\"traceparent\":\"" TRACE "\"}]}");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "X-Request-ID"), "batch");
    assert_string_equal(serving.client.key, "k\"\\");
    assert_string_equal(serving.client.request_id, "r");
    assert_string_equal(serving.client.traceparent, TRACE);
    assert_int_equal(serving.client.request.quantity, 3);
    assert_string_equal(serving.client.event, STOCK_DEFAULT_EVENT);
    (void)serving_ask(false, "POST", BATCH,
                      "X-Request-ID: batch\r\ntraceparent: " OTHER_TRACE "\r\n",
                      "{\"requests\":[{\"qty\":1}]}");
    assert_int_equal(serving.client.request.key.len, 0);
    assert_string_equal(serving.client.request_id, "batch");
    assert_string_equal(serving.client.traceparent, OTHER_TRACE);
}

/* A sale's deadline is the batch's time when that is the shorter one, else SALE_TIMEOUT's. */
static void test_deadline(void **state)
{
    char body[128];
    uint64_t before_ms = clock_monotonic_ms();
    uint64_t sale_timeout_ms = (uint64_t)serving.settings.sale_timeout_ms;

    (void)state;
    (void)snprintf(body, sizeof(body), "{\"timeout_ms\":%d,\"requests\":[{\"qty\":1}]}",
                   (int)sale_timeout_ms - 1);
    (void)ask(body);
    assert_in_range(serving.client.request.deadline_ms, before_ms + sale_timeout_ms - 1,
                    clock_monotonic_ms() + sale_timeout_ms - 1);
    (void)snprintf(body, sizeof(body), "{\"timeout_ms\":%d,\"requests\":[{\"qty\":1}]}",
                   (int)sale_timeout_ms);
    (void)ask(body);
    assert_int_equal(serving.client.request.deadline_ms, 0);
    (void)ask("{\"requests\":[{\"qty\":1}]}");
    assert_int_equal(serving.client.request.deadline_ms, 0);
}

/* ------------------------------------------------------------------ later, and gone */

static int begin_late(const char *body, size_t waiting)
{
    char request[1024];
    int fd = serving_connect(false);
    int len = snprintf(request, sizeof(request),
                       "POST " BATCH " HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);

    serving.client.late = true;
    serving_send(fd, request, (size_t)len);
    serving_await_waiting(waiting);
    return fd;
}

/* Nothing is answered before the last sale is judged; whichever comes last, each answer stands in
 * its request's place. */
static void test_answered_with_the_last(void **state)
{
    static const char body[] = "{\"requests\":[{\"qty\":1},{\"qty\":0},{\"qty\":3}]}";
    struct vacancy_call *first;
    struct answer answer;
    char byte;
    int fd = begin_late(body, 2);

    (void)state;
    first = serving.client.waiting[0];
    serving.client.waiting[0] = serving.client.waiting[1];
    serving.client.waiting[1] = first;
    serving.client.answer = (struct vacancy_result){.status = TICKETD_SOLD_OUT, .remaining = 2};
    scripted_answer_next(&serving.client);
    serving_turn();
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    serving.client.answer = (struct vacancy_result){.remaining = 7, .order = ORDER};
    scripted_answer_next(&serving.client);
    serving_receive(fd, false, &answer);
    assert_int_equal(answer.status, 200);
    assert_memory_equal(answer.body, "{\"results\":[" SOLD("1") ",{\"error\":",
                        strlen("{\"results\":[" SOLD("1") ",{\"error\":"));
    assert_non_null(strstr(answer.body, "{\"success\":false,\"remaining\":2,\"message\":"
                                        "\"Insufficient inventory\"}]}"));
    (void)close(fd);
}

/* A client that leaves takes all its sales with it that are not judged, and no other's. */
static void test_client_leaves(void **state)
{
    struct answer answer;
    int stays = begin_late("{\"requests\":[{\"qty\":1}]}", 1);
    int leaves = begin_late("{\"requests\":[{\"qty\":1},{\"qty\":2},{\"qty\":3}]}", 4);
    struct vacancy_call *first = serving.client.waiting[0];

    (void)state;
    serving.client.waiting[0] = serving.client.waiting[1];
    serving.client.waiting[1] = first;
    scripted_answer_next(&serving.client); /* the first of those that will be left */
    (void)close(leaves);
    serving_await_waiting(1);
    assert_int_equal(serving.client.cancelled, 2);
    scripted_answer_next(&serving.client);
    serving_receive(stays, false, &answer);
    expect_answer(&answer, "{\"results\":[" SOLD("1") "]}");
    (void)close(stays);
}

/* A client that has closed only its own half hears that nothing is known: what it asked for may
 * have been sold by then, which no other answer may deny. */
static void test_client_leaves_half(void **state)
{
    struct answer answer;
    int fd = begin_late("{\"requests\":[{\"qty\":1},{\"qty\":2}]}", 2);

    (void)state;
    scripted_answer_next(&serving.client); /* sold */
    (void)shutdown(fd, SHUT_WR);
    serving_receive(fd, false, &answer);
    expect_problem(&answer, 503, "outcome_unknown");
    assert_int_equal(serving.client.cancelled, 1);
    (void)close(fd);
}

/* A batch whose client has left before it was looked at sells nothing, wholly closed or half. */
static void test_client_had_left(void **state)
{
    static const char request[] = "POST " BATCH " HTTP/1.1\r\nHost: a\r\nContent-Length: "
                                  "24\r\n\r\n{\"requests\":[{\"qty\":1}]}";
    struct answer answer;
    int fd;

    (void)state;
    serving_await_no_connection();
    fd = serving_connect(false);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    (void)close(fd);
    while (serving.server.connections == 0)
        serving_turn();
    serving_await_no_connection();
    assert_int_equal(serving.client.asked, 0);

    fd = serving_connect(false);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    (void)shutdown(fd, SHUT_WR);
    serving_receive(fd, false, &answer);
    expect_problem(&answer, 400, "malformed_request");
    (void)close(fd);
    assert_int_equal(serving.client.asked, 0);
}

/* ------------------------------------------------------------------ no batch */

/* What is no batch sells nothing, and the answer points to what is wrong. */
static void test_no_batch(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *code, *pointer;
    } cases[] = {
        {"", 400, "malformed_json", NULL},
        {"{\"requests\":[{\"qty\":1}]", 400, "malformed_json", NULL},
        {"[]", 422, "invalid_batch", "\"pointer\":\"#\""},
        {"{\"qty\":1}", 422, "invalid_batch", "\"pointer\":\"#/requests\""},
        {"{\"requests\":[]}", 422, "invalid_batch", "\"pointer\":\"#/requests\""},
        {"{\"requests\":[{\"qty\":1},7]}", 422, "invalid_batch", "\"pointer\":\"#/requests\""},
        {"{\"timeout_ms\":0,\"requests\":[{\"qty\":1}]}", 422, "invalid_batch",
         "\"pointer\":\"#/timeout_ms\""},
    };
    struct answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        answer = ask(cases[i].body);
        expect_problem(&answer, cases[i].status, cases[i].code);
        if (cases[i].pointer != NULL)
            assert_non_null(strstr(answer.body, cases[i].pointer));
    }
    answer = serving_ask(false, "POST", BATCH, "Content-Type: text/plain\r\n",
                         "{\"requests\":[{\"qty\":1}]}");
    expect_problem(&answer, 415, "unsupported_media_type");
    answer = serving_ask(false, "GET", BATCH, "", NULL);
    expect_problem(&answer, 405, "method_not_allowed");
    assert_int_equal(serving.client.asked, 0);
}

/* One request more than BATCH_MAX sells nothing, and the answer says how many may be. */
static void test_too_many(void **state)
{
    int64_t most = serving.settings.batch_max;
    char *body = malloc((size_t)most * 16), *end = body, limit[64];
    struct answer answer;

    (void)state;
    end += sprintf(end, "{\"requests\":[{\"qty\":1}");
    for (int64_t i = 1; i < most; ++i)
        end += sprintf(end, ",{\"qty\":1}");
    memcpy(end, "]}", 3);
    answer = ask(body);
    assert_int_equal(answer.status, 200);
    assert_int_equal(serving.client.asked, most);
    (void)sprintf(end, ",{\"qty\":1}]}");
    answer = ask(body);
    expect_problem(&answer, 422, "invalid_batch");
    (void)snprintf(limit, sizeof(limit), "at most %d requests", (int)most);
    assert_non_null(strstr(answer.body, limit));
    assert_int_equal(serving.client.asked, most);
    free(body);
}

/* ------------------------------------------------------------------ long bodies */

static int begin_body(const char *path, size_t len)
{
    char head[256];
    int fd = serving_connect(false);

    (void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                   path, len);
    serving_send(fd, head, strlen(head));
    return fd;
}

static void send_blanks(int fd, size_t len)
{
    char *blanks = malloc(len);

    memset(blanks, ' ', len);
    serving_send(fd, blanks, len);
    free(blanks);
}

static void expect_too_large(int fd)
{
    struct answer answer;

    serving_receive(fd, false, &answer);
    expect_problem(&answer, 413, "body_too_large");
    assert_string_equal(answer_header(&answer, "Connection"), "close");
    (void)close(fd);
}

/* Other paths keep their limit, for a body that is there and for one that is only announced, of
 * which nothing need come; so does a path that is none. */
static void test_other_paths_keep_their_limit(void **state)
{
    static const char *const paths[] = {"/api/v1/reserve", "/api/v1/purchase", "/nowhere",
                                        BATCH "x", BATCH "/x"};
    size_t most = (size_t)serving.settings.max_body_bytes;

    (void)state;
    for (size_t i = 0; i < COUNT(paths); ++i) {
        int fd = begin_body(paths[i], most + 1);
        expect_too_large(fd);
        fd = begin_body(paths[i], most + 1);
        send_blanks(fd, most + 1);
        expect_too_large(fd);
    }
    assert_int_equal(serving.client.asked, 0);
}

/* A batch may be longer than other bodies, up to a limit of its own, and take its time to come. */
static void test_limit_of_a_batch(void **state)
{
    static const char text[] = "{\"requests\":[{\"qty\":1}]}";
    size_t most = route_batch_body_max(&serving.settings);
    uint64_t swept_ms = serving.server.now_ms;
    struct answer answer;
    int fd = begin_body(BATCH, most + 1);

    (void)state;
    expect_too_large(fd);
    fd = begin_body(BATCH "?x=y", most);
    send_blanks(fd, most - (sizeof(text) - 1));
    while (serving.server.now_ms < swept_ms + 3ULL * HTTP_SWEEP_MS)
        serving_turn();
    serving_send(fd, text, sizeof(text) - 1);
    serving_receive(fd, false, &answer);
    expect_answer(&answer, "{\"results\":[" SOLD("1") "]}");
    (void)close(fd);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_sales),
        CASE(test_replay_and_sold_out),
        CASE(test_one_is_wrong),
        CASE(test_failures),
        CASE(test_longest_batch),
        CASE(test_texts_are_passed_on),
        CASE(test_deadline),
        CASE(test_answered_with_the_last),
        CASE(test_client_leaves),
        CASE(test_client_leaves_half),
        CASE(test_client_had_left),
        CASE(test_no_batch),
        CASE(test_too_many),
        CASE(test_other_paths_keep_their_limit),
        CASE(test_limit_of_a_batch),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
