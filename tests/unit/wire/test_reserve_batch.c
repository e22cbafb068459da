/* wire/reserve_batch.h: both directions, and what must not be believed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ticketd/error.h"
#include "ticketd/key.h"
#include "wire/reserve_batch.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define MOST         8
#define TRACE        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define ORDER_ID     "00030000-0001-8007-8000-000000000009"

static struct reserve_batch_request requests[MOST];
static struct json_document document;
static uint32_t count;
static uint64_t timeout_ms;
static struct reserve_batch_fault fault;

static int group_set_up(void **state)
{
    (void)state;
    return json_init();
}

static int tear_down(void **state)
{
    (void)state;
    json_release(&document);
    return 0;
}

static int read_text(const char *text, size_t len)
{
    json_release(&document);
    memset(requests, 0xaa, sizeof(requests));
    count = 4711;
    timeout_ms = 4711;
    fault = (struct reserve_batch_fault){.why = NULL};
    assert_int_equal(json_parse(&document, text, len), 0);
    return reserve_batch_read(&document, requests, MOST, &count, &timeout_ms, &fault);
}

static void expect_text(struct text is, const char *wanted)
{
    if (!text_equal(is, (struct text){.base = wanted, .len = strlen(wanted)}))
        fail_msg("\"%.*s\" instead of \"%s\"", (int)is.len, is.base, wanted);
}

/* ------------------------------------------------------------------ requests */

/* A batch is written as its header says, and what is empty is left out. */
static void test_text_of_a_batch(void **state)
{
    char text[RESERVE_BATCH_ENVELOPE_SIZE + 2 * RESERVE_BATCH_REQUEST_SIZE];
    char *end = reserve_batch_begin(text, 1900);

    (void)state;
    end = reserve_batch_add(end,
                            &(struct reserve_batch_request){.quantity = 2,
                                                            .key = TEXT("k"),
                                                            .fresh = true,
                                                            .request_id = TEXT("r"),
                                                            .traceparent = TEXT(TRACE)},
                            true);
    end = reserve_batch_add(end, &(struct reserve_batch_request){.quantity = 1}, false);
    *reserve_batch_end(end) = '\0';
    assert_string_equal(text, "{\"timeout_ms\":1900,\"requests\":[{\"qty\":2,\"idempotency_key\":"
                              "\"k\",\"fresh\":true,\"request_id\":\"r\",\"traceparent\":\"" TRACE
                              "\"},{\"qty\":1}]}");
    *reserve_batch_end(reserve_batch_begin(text, 0)) = '\0';
    assert_string_equal(text, "{\"requests\":[]}");
}

/* Every visible character comes through in a key and in an id, the longest ones whole; the room
 * that the header promises holds the longest request of all. */
static void test_round_trip(void **state)
{
    static char text[RESERVE_BATCH_ENVELOPE_SIZE + MOST * RESERVE_BATCH_REQUEST_SIZE];
    char all['~' - '!' + 1], longest[KEY_TEXT_MAX];
    struct reserve_batch_request written[] = {
        {.quantity = INT32_MAX, .key = {all, sizeof(all)}, .request_id = {all, sizeof(all)}},
        {.quantity = UINT32_MAX,
         .key = {longest, sizeof(longest)},
         .fresh = true,
         .request_id = {longest, RESERVE_BATCH_REQUEST_ID_MAX},
         .traceparent = TEXT(TRACE)},
        {.quantity = 1},
    };
    char *end = reserve_batch_begin(text, UINT64_MAX), *begin;

    (void)state;
    assert_true(end - text <= RESERVE_BATCH_ENVELOPE_SIZE - 3);
    for (size_t i = 0; i < sizeof(all); ++i)
        all[i] = (char)('!' + i);
    memset(longest, '"', sizeof(longest));
    for (size_t i = 0; i < COUNT(written); ++i) {
        begin = end;
        end = reserve_batch_add(end, &written[i], i == 0);
        assert_true(end - begin <= RESERVE_BATCH_REQUEST_SIZE);
    }
    end = reserve_batch_end(end);
    assert_int_equal(read_text(text, (size_t)(end - text)), 0);
    assert_int_equal(count, COUNT(written));
    assert_int_equal(timeout_ms, RESERVE_BATCH_TIMEOUT_MAX_MS);
    for (size_t i = 0; i < COUNT(written); ++i) {
        assert_int_equal(requests[i].quantity,
                         written[i].quantity <= INT32_MAX ? written[i].quantity : 0);
        assert_true(text_equal(requests[i].key, written[i].key));
        assert_int_equal(requests[i].fresh, written[i].fresh);
        assert_true(text_equal(requests[i].request_id, written[i].request_id));
        assert_true(text_equal(requests[i].traceparent, written[i].traceparent));
        assert_false(requests[i].key_is_invalid);
    }
}

/* What a batch may leave out is none, and members that nobody knows are passed over. */
static void test_least_batch(void **state)
{
    static const char text[] = " { \"x\":[{\"qty\":9}], \"requests\":[ {\"qty\":3,\"y\":{}} ] } ";

    (void)state;
    assert_int_equal(read_text(text, sizeof(text) - 1), 0);
    assert_int_equal(count, 1);
    assert_int_equal(timeout_ms, 0);
    assert_int_equal(requests[0].quantity, 3);
    assert_int_equal(requests[0].key.len + requests[0].request_id.len, 0);
    assert_int_equal(requests[0].traceparent.len, 0);
    assert_false(requests[0].key_is_invalid);
}

/* A quantity that is none is 0, for the rules to refuse, and touches no other request. */
static void test_invalid_quantities(void **state)
{
    static const char *const values[] = {
        "0",     "-1",    "1.0",  "1e0",  "2147483648", "18446744073709551617",
        "1e999", "\"1\"", "true", "null", "[1]",        "{}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); ++i) {
        char text[128];
        int len = snprintf(text, sizeof(text),
                           "{\"requests\":[{\"qty\":1},{\"qty\":%s},{},{\"qty\":2}]}", values[i]);
        assert_int_equal(read_text(text, (size_t)len), 0);
        assert_int_equal(count, 4);
        assert_int_equal(requests[0].quantity, 1);
        assert_int_equal(requests[1].quantity, 0);
        assert_int_equal(requests[2].quantity, 0);
        assert_int_equal(requests[3].quantity, 2);
    }
}

/* A key that is none is its request's own fault; an id that is none is as good as left out. */
static void test_invalid_texts(void **state)
{
    static const char *const values[] = {
        "\"\"",         "\" \"", "\"a b\"", "\"a\\n\"", "\"\\u007f\"",
        "\"\xc3\xa9\"", "1",     "null",    "[]",       "{}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); ++i) {
        char text[256];
        int len = snprintf(text, sizeof(text),
                           "{\"requests\":[{\"qty\":1,\"idempotency_key\":%s,\"request_id\":%s,"
                           "\"traceparent\":%s},{\"qty\":2,\"idempotency_key\":\"k\"}]}",
                           values[i], values[i], values[i]);
        assert_int_equal(read_text(text, (size_t)len), 0);
        assert_true(requests[0].key_is_invalid);
        assert_int_equal(requests[0].key.len + requests[0].request_id.len, 0);
        assert_int_equal(requests[0].traceparent.len, 0);
        assert_false(requests[1].key_is_invalid);
        expect_text(requests[1].key, "k");
    }
}

/* One character beyond the longest key or id, and a traceparent that is not sane. */
static void test_too_long(void **state)
{
    char text[1024], filler[KEY_TEXT_MAX + 2];
    int len;

    (void)state;
    memset(filler, 'k', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    len = snprintf(text, sizeof(text),
                   "{\"requests\":[{\"qty\":1,\"idempotency_key\":\"%s\",\"request_id\":\"%.*s\","
                   "\"traceparent\":\"01%s\"},"
                   "{\"qty\":1,\"idempotency_key\":\"%.*s\",\"request_id\":\"%.*s\"}]}",
                   filler, RESERVE_BATCH_REQUEST_ID_MAX + 1, filler, &TRACE[2], KEY_TEXT_MAX,
                   filler, RESERVE_BATCH_REQUEST_ID_MAX, filler);
    assert_int_equal(read_text(text, (size_t)len), 0);
    assert_true(requests[0].key_is_invalid);
    assert_int_equal(requests[0].request_id.len, 0);
    assert_int_equal(requests[0].traceparent.len, 0);
    assert_false(requests[1].key_is_invalid);
    assert_int_equal(requests[1].key.len, KEY_TEXT_MAX);
    assert_int_equal(requests[1].request_id.len, RESERVE_BATCH_REQUEST_ID_MAX);
}

/* What is no batch says where, and touches no output. */
static void test_no_batch(void **state)
{
    static const struct {
        const char *text;
        const char *pointer;
    } cases[] = {
        {"[]", "#"},
        {"1", "#"},
        {"null", "#"},
        {"{}", "#/requests"},
        {"{\"requests\":[]}", "#/requests"},
        {"{\"requests\":{}}", "#/requests"},
        {"{\"requests\":null}", "#/requests"},
        {"{\"requests\":[1]}", "#/requests"},
        {"{\"requests\":[{\"qty\":1},[]]}", "#/requests"},
        {"{\"requests\":[{},{},{},{},{},{},{},{},{}]}", "#/requests"},
        {"{\"timeout_ms\":0,\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
        {"{\"timeout_ms\":-5,\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
        {"{\"timeout_ms\":1.5,\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
        {"{\"timeout_ms\":3600001,\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
        {"{\"timeout_ms\":99999999999999999999,\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
        {"{\"timeout_ms\":null,\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
        {"{\"timeout_ms\":\"5\",\"requests\":[{\"qty\":1}]}", "#/timeout_ms"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        int result = read_text(cases[i].text, strlen(cases[i].text));
        if (result != TICKETD_INVALID)
            fail_msg("%d for %s", result, cases[i].text);
        assert_string_equal(fault.pointer, cases[i].pointer);
        assert_non_null(fault.why);
        assert_int_equal(fault.too_many, strstr(cases[i].text, "{},{},{}") != NULL);
        assert_int_equal(count, 4711);
        assert_int_equal(timeout_ms, 4711);
    }
}

/* As many requests as may be, and the same key in each: the sales judge that, one by one. */
static void test_most_and_duplicates(void **state)
{
    static char text[1024];
    char *end = reserve_batch_begin(text, 1);

    (void)state;
    for (int i = 0; i < MOST; ++i)
        end = reserve_batch_add(
            end, &(struct reserve_batch_request){.quantity = 1, .key = TEXT("same")}, i == 0);
    end = reserve_batch_end(end);
    assert_int_equal(read_text(text, (size_t)(end - text)), 0);
    assert_int_equal(count, MOST);
    assert_int_equal(timeout_ms, 1);
    for (int i = 0; i < MOST; ++i)
        expect_text(requests[i].key, "same");
}

/* ------------------------------------------------------------------ results */

static struct reserve_batch_result results[MOST];
static const char *error;

static int read_results(const char *text, uint32_t wanted)
{
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len);
    int answer;

    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(results, 0xaa, sizeof(results));
    error = NULL;
    answer = reserve_batch_read_results((struct text){.base = copy, .len = len}, results, wanted,
                                        &error);
    free(copy);
    return answer;
}

#define SOLD      "{\"success\":true,\"remaining\":998,\"message\":\"m\",\"order_id\":\"" ORDER_ID "\"}"
#define NONE_LEFT "{\"success\":false,\"remaining\":0,\"message\":\"m\"}"
#define SOLD_OUT  "{\"success\":false,\"remaining\":1,\"message\":\"Insufficient inventory\"}"

/* A sale, a replay and a sold-out one say what they are, in the order of the requests. */
static void test_results(void **state)
{
    (void)state;
    assert_int_equal(read_results("{\"results\":[" SOLD "," SOLD_OUT
                                  ",{\"success\":true,\"remaining\":"
                                  "4294967295,\"order_id\":\"" ORDER_ID "\",\"replayed\":true}]}",
                                  3),
                     0);
    assert_int_equal(results[0].status, TICKETD_DONE);
    assert_int_equal(results[0].remaining, 998);
    assert_false(results[0].replayed);
    assert_int_equal(results[0].order.event, 3);
    assert_int_equal(results[0].order.sequence, 1025);
    assert_int_equal(results[1].status, TICKETD_SOLD_OUT);
    assert_int_equal(results[1].remaining, 1);
    assert_int_equal(results[2].status, TICKETD_DONE);
    assert_int_equal(results[2].remaining, UINT32_MAX);
    assert_true(results[2].replayed);
}

/* Each code stands for what the sale ended with; one that nobody knows must not be taken for
 * "nothing was sold". */
static void test_error_codes(void **state)
{
    static const struct {
        const char *code;
        int status;
    } cases[] = {
        {"overloaded", TICKETD_BUSY},
        {"vacancy_unavailable", TICKETD_UNAVAILABLE},
        {"ledger_unavailable", TICKETD_LEDGER_FAULT},
        {"idempotency_key_reused", TICKETD_KEY_REUSED},
        {"idempotency_key_in_flight", TICKETD_KEY_IN_FLIGHT},
        {"outcome_unknown", TICKETD_OUTCOME_UNKNOWN},
        {"invalid_quantity", TICKETD_INVALID},
        {"invalid_idempotency_key", TICKETD_INVALID},
        {"internal_error", -EIO},
        {"a_code_to_come", TICKETD_OUTCOME_UNKNOWN},
        {"", TICKETD_OUTCOME_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "{\"results\":[{\"error\":{\"type\":\"about:blank\",\"status\":503,"
                       "\"code\":\"%s\"}}," SOLD "]}",
                       cases[i].code);
        assert_int_equal(read_results(text, 2), 0);
        assert_int_equal(results[0].status, cases[i].status);
        assert_int_equal(results[1].status, TICKETD_DONE);
    }
}

/* An answer that is not whole, or that says two things, is not believed in any of its parts. */
static void test_no_results(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"results\":{}}",
        "{\"results\":[]}",
        "{\"results\":[" SOLD "]}",
        "{\"results\":[" SOLD "," SOLD "," SOLD "]}",
        "{\"results\":[" SOLD "," SOLD "],\"results\":[" SOLD "," SOLD "]}",
        "{\"results\":[" SOLD "," SOLD "]} x",
        "{\"results\":[" SOLD ",null]}",
        "{\"results\":[" SOLD ",[]]}",
        "{\"results\":[" SOLD ",{}]}",
        "{\"results\":[" SOLD ",{\"success\":1,\"remaining\":1}]}",
        "{\"results\":[" SOLD ",{\"success\":false}]}",
        "{\"results\":[" SOLD ",{\"success\":false,\"remaining\":-1}]}",
        "{\"results\":[" SOLD ",{\"success\":false,\"remaining\":4294967296}]}",
        "{\"results\":[" SOLD ",{\"success\":true,\"remaining\":1}]}",
        "{\"results\":[" SOLD ",{\"success\":true,\"remaining\":1,\"order_id\":\"1\"}]}",
        "{\"results\":[" SOLD ",{\"success\":true,\"remaining\":1,\"order_id\":7}]}",
        "{\"results\":[" SOLD ",{\"success\":true,\"remaining\":1,\"replayed\":1,"
        "\"order_id\":\"" ORDER_ID "\"}]}",
        "{\"results\":[" SOLD ",{\"success\":true,\"order_id\":\"" ORDER_ID "\"}]}",
        "{\"results\":[" SOLD ",{\"error\":null}]}",
        "{\"results\":[" SOLD ",{\"error\":{}}]}",
        "{\"results\":[" SOLD ",{\"error\":{\"code\":5}}]}",
        "{\"results\":[" SOLD ",{\"error\":\"overloaded\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); ++i) {
        if (read_results(texts[i], 2) != TICKETD_INVALID)
            fail_msg("believed: %s", texts[i]);
        assert_non_null(error);
    }
}

/* ------------------------------------------------------------------ scanned */

/* A body that ends where its memory ends, so that a sanitizer sees who reads on. */
static struct text cut(const char *base, size_t len)
{
    char *copy = malloc(len == 0 ? 1 : len);

    assert_non_null(copy);
    memcpy(copy, base, len);
    return (struct text){.base = copy, .len = len};
}

static void release(struct text body)
{
    free((char *)(uintptr_t)body.base);
}

static bool same_request(const struct reserve_batch_request *a,
                         const struct reserve_batch_request *b)
{
    return a->quantity == b->quantity && text_equal(a->key, b->key) && a->fresh == b->fresh &&
           text_equal(a->request_id, b->request_id) && text_equal(a->traceparent, b->traceparent) &&
           a->key_is_invalid == b->key_is_invalid;
}

/* Whether the body is scanned: then the reader of trees must say the same of it. */
static bool scans(const char *text, size_t len)
{
    struct reserve_batch_request scanned[MOST];
    struct text body = cut(text, len);
    uint32_t scanned_count;
    uint64_t scanned_ms;
    bool answer = reserve_batch_scan(body, scanned, MOST, &scanned_count, &scanned_ms);

    if (answer) {
        if (read_text(text, len) != 0)
            fail_msg("scanned, but no batch: %.*s", (int)len, text);
        assert_int_equal(scanned_count, count);
        assert_int_equal(scanned_ms, timeout_ms);
        for (uint32_t i = 0; i < count; ++i)
            if (!same_request(&scanned[i], &requests[i]))
                fail_msg("request %u is scanned otherwise: %.*s", i, (int)len, text);
    }
    release(body);
    return answer;
}

static bool same_result(const struct reserve_batch_result *a, const struct reserve_batch_result *b)
{
    return a->status == b->status && a->remaining == b->remaining && a->replayed == b->replayed &&
           a->order.event == b->order.event && a->order.sequence == b->order.sequence &&
           a->order.token == b->order.token;
}

/* The results as the reader of trees has them: with a blank in front nothing is scanned. */
static int read_tree(const char *text, size_t len, uint32_t wanted)
{
    char spaced[1024];

    assert_true(len < sizeof(spaced) - 1);
    (void)snprintf(spaced, sizeof(spaced), " %.*s", (int)len, text);
    assert_false(reserve_batch_scan_results((struct text){.base = spaced, .len = strlen(spaced)},
                                            results, wanted));
    return read_results(spaced, wanted);
}

static bool scans_results(const char *text, size_t len)
{
    struct reserve_batch_result scanned[3];
    struct text body = cut(text, len);
    bool answer = reserve_batch_scan_results(body, scanned, COUNT(scanned));

    if (answer) {
        if (read_tree(text, len, COUNT(scanned)) != 0)
            fail_msg("scanned, but not believed: %.*s", (int)len, text);
        for (size_t i = 0; i < COUNT(scanned); ++i)
            if (!same_result(&scanned[i], &results[i]))
                fail_msg("result %zu is scanned otherwise: %.*s", i, (int)len, text);
    }
    release(body);
    return answer;
}

/* Every text that differs from a good one in one byte, lacks one, or has one more, is scanned as
 * the reader of trees reads it, or is left to that.  Returns how many were scanned. */
static size_t scan_neighbours(const char *good, bool (*scan)(const char *text, size_t len))
{
    static const char bytes[] = "09a{}[]\",:\\ -.eE+~\x1f\x7f\xc3\n";
    size_t len = strlen(good), scanned = 0;
    char changed[1024];

    assert_true(len + 2 < sizeof(changed) && scan(good, len));
    for (size_t at = 0; at < len; ++at) {
        memcpy(changed, good, at);
        memcpy(changed + at, good + at + 1, len - at - 1);
        scanned += scan(changed, len - 1);
        memcpy(changed + at + 1, good + at, len - at);
        for (size_t i = 0; i < sizeof(bytes); ++i) {
            changed[at] = bytes[i];
            scanned += scan(changed, len + 1);
        }
        memcpy(changed, good, len);
        for (size_t i = 0; i < sizeof(bytes); ++i) {
            changed[at] = bytes[i];
            scanned += scan(changed, len);
        }
        assert_false(scan(good, at));
    }
    return scanned;
}

/* What this pool writes is scanned, and nothing is scanned that is read otherwise. */
static void test_scan(void **state)
{
    char text[RESERVE_BATCH_ENVELOPE_SIZE + 3 * RESERVE_BATCH_REQUEST_SIZE];
    char *end = reserve_batch_begin(text, 1900);

    (void)state;
    end = reserve_batch_add(end,
                            &(struct reserve_batch_request){.quantity = 20,
                                                            .key = TEXT("ticketd.k1"),
                                                            .fresh = true,
                                                            .request_id = TEXT("r1"),
                                                            .traceparent = TEXT(TRACE)},
                            true);
    end = reserve_batch_add(end, &(struct reserve_batch_request){.quantity = INT32_MAX}, false);
    end = reserve_batch_add(
        end, &(struct reserve_batch_request){.quantity = 1, .request_id = TEXT("~")}, false);
    *reserve_batch_end(end) = '\0';
    assert_true(scan_neighbours(text, scans) > 100);
    assert_true(scan_neighbours("{\"requests\":[{\"qty\":1}]}", scans) > 0);
}

#define ONE "{\"qty\":1}"

/* What has another form is left to the reader of trees: more than asked for, none, escapes, numbers
 * and texts beyond their limits. */
static void test_not_scanned(void **state)
{
    static const char *const texts[] = {
        "",
        "{\"requests\":[]}",
        "{\"requests\":[{\"qty\":0}]}",
        "{\"requests\":[{\"qty\":01}]}",
        "{\"requests\":[{\"qty\":2147483648}]}",
        "{\"requests\":[{\"qty\":18446744073709551617}]}",
        "{\"requests\":[{\"qty\":1,\"idempotency_key\":\"\"}]}",
        "{\"requests\":[{\"qty\":1,\"idempotency_key\":\"\\u0041\"}]}",
        "{\"requests\":[{\"qty\":1,\"traceparent\":\"1\"}]}",
        "{\"timeout_ms\":0,\"requests\":[{\"qty\":1}]}",
        "{\"timeout_ms\":3600001,\"requests\":[{\"qty\":1}]}",
        "{\"requests\":[" ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "]}",
    };
    char text[KEY_TEXT_MAX + 64], key[KEY_TEXT_MAX + 2];

    (void)state;
    for (size_t i = 0; i < COUNT(texts); ++i)
        if (scans(texts[i], strlen(texts[i])))
            fail_msg("scanned: %s", texts[i]);
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    for (size_t len = KEY_TEXT_MAX; len <= KEY_TEXT_MAX + 1; ++len) {
        (void)snprintf(text, sizeof(text),
                       "{\"requests\":[{\"qty\":1,\"idempotency_key\":\"%.*s\"}]}", (int)len, key);
        assert_int_equal(scans(text, strlen(text)), len == KEY_TEXT_MAX);
    }
}

/* The same of an answer, and one with an error in it is left to the reader of trees. */
static void test_scan_results(void **state)
{
    static const char text[] = "{\"results\":[" SOLD "," SOLD_OUT
                               ",{\"success\":true,\"remaining\":4294967295,\"message\":\"m\","
                               "\"order_id\":\"" ORDER_ID "\",\"replayed\":true}]}";
    static const char failed[] =
        "{\"results\":[" SOLD "," SOLD_OUT ",{\"error\":{\"code\":\"overloaded\"}}]}";

    (void)state;
    assert_true(scan_neighbours(text, scans_results) > 100);
    assert_true(scan_neighbours("{\"results\":[" NONE_LEFT "," NONE_LEFT "," NONE_LEFT "]}",
                                scans_results) > 10);
    assert_false(scans_results(failed, sizeof(failed) - 1));
    assert_false(scans_results("", 0));
}

#define CASE(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_text_of_a_batch),    CASE(test_round_trip),          CASE(test_least_batch),
        CASE(test_invalid_quantities), CASE(test_invalid_texts),       CASE(test_too_long),
        CASE(test_no_batch),           CASE(test_most_and_duplicates), CASE(test_results),
        CASE(test_error_codes),        CASE(test_no_results),          CASE(test_scan),
        CASE(test_not_scanned),        CASE(test_scan_results),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
