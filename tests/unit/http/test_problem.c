#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/problem.h"
#include "util/json.h"

static int set_up(void **state)
{
    (void)state;
    return json_init();
}

/* A document as problem_print left it, in a buffer that ends where it says. */
static struct json_document print(enum problem_code code, const char *detail, const char *pointer,
                                  char buffer[PROBLEM_BODY_MAX])
{
    struct json_document document;
    size_t len = problem_print(buffer, code, detail, pointer);

    assert_in_range(len, 1, PROBLEM_BODY_MAX);
    if (json_parse(&document, buffer, len) != JSON_DONE)
        fail_msg("%s: %.*s", document.reason, (int)len, buffer);
    return document;
}

static void expect_member(const struct json_document *document, const char *name,
                          const char *expected)
{
    const char *found = NULL;

    assert_int_equal(json_get_string(document, name, &found), JSON_DONE);
    assert_string_equal(found, expected);
}

/* Each row of the table makes a document that has RFC 9457's members and the code, and no list of
 * errors. */
static void test_every_row(void **state)
{
    char buffer[PROBLEM_BODY_MAX];
    const char *errors;

    (void)state;
    for (int code = 0; code < PROBLEM_COUNT; ++code) {
        const struct problem_kind *kind = problem_kind((enum problem_code)code);
        struct json_document document =
            print((enum problem_code)code, "what went wrong", NULL, buffer);
        int64_t status = 0;
        expect_member(&document, "type", "about:blank");
        expect_member(&document, "title", kind->title);
        assert_int_equal(json_get_integer(&document, "status", 100, 599, &status), JSON_DONE);
        assert_int_equal(status, kind->status);
        expect_member(&document, "detail", "what went wrong");
        expect_member(&document, "code", kind->code);
        assert_int_equal(json_get_string(&document, "errors", &errors), JSON_MISSING);
        json_release(&document);
    }
}

/* The words of a document, in the order in which they are written, are stable. */
static void test_whole_document(void **state)
{
    static const char expected[] =
        "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
        "\"detail\":\"there is nothing\",\"code\":\"not_found\"}";
    char buffer[PROBLEM_BODY_MAX];

    (void)state;
    assert_int_equal(problem_print(buffer, PROBLEM_not_found, "there is nothing", NULL),
                     sizeof(expected) - 1);
    assert_memory_equal(buffer, expected, sizeof(expected) - 1);
}

/* A pointer adds one error that says what is wrong and where. */
static void test_pointer(void **state)
{
    static const char expected[] =
        "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
        "\"detail\":\"too few\",\"code\":\"invalid_quantity\","
        "\"errors\":[{\"detail\":\"too few\",\"pointer\":\"#/qty\"}]}";
    char buffer[PROBLEM_BODY_MAX];

    (void)state;
    for (int code = 0; code < PROBLEM_COUNT; ++code) {
        struct json_document document = print((enum problem_code)code, "detail", "#/qty", buffer);
        expect_member(&document, "code", problem_kind((enum problem_code)code)->code);
        json_release(&document);
    }
    assert_int_equal(problem_print(buffer, PROBLEM_invalid_quantity, "too few", "#/qty"),
                     sizeof(expected) - 1);
    assert_memory_equal(buffer, expected, sizeof(expected) - 1);
}

/* A detail's quotes, backslashes and control characters stay inside its string. */
static void test_detail_is_escaped(void **state)
{
    static const char detail[] = "\"quoted\", \\, \n, \t and \x01 \",\"code\":\"forged";
    char buffer[PROBLEM_BODY_MAX];

    (void)state;
    struct json_document document = print(PROBLEM_malformed_json, detail, "#/\"", buffer);
    expect_member(&document, "detail", detail);
    expect_member(&document, "code", "malformed_json");
    json_release(&document);
}

/* The longest detail still makes a document in a buffer of PROBLEM_BODY_MAX bytes. */
static void test_longest_detail(void **state)
{
    char buffer[PROBLEM_BODY_MAX], detail[PROBLEM_DETAIL_MAX + 1];

    (void)state;
    memset(detail, '"', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    struct json_document document = print(PROBLEM_invalid_quantity, detail, "#/qty", buffer);
    expect_member(&document, "code", "invalid_quantity");
    json_release(&document);
}

/* A code is one row's own word, in snake_case: clients tell problems apart by it. */
static void test_codes_are_unique(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; ++i) {
        const char *code = problem_kind((enum problem_code)i)->code;
        assert_non_null(code);
        assert_true(*code != '\0' && strspn(code, "abcdefghijklmnopqrstuvwxyz_") == strlen(code));
        for (int j = 0; j < i; ++j)
            assert_string_not_equal(code, problem_kind((enum problem_code)j)->code);
    }
}

/* A status is an error's, and everywhere has the same phrase. */
static void test_statuses(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; ++i) {
        const struct problem_kind *kind = problem_kind((enum problem_code)i);
        assert_in_range(kind->status, 400, 599);
        assert_true(kind->title[0] != '\0');
        for (int j = 0; j < i; ++j) {
            const struct problem_kind *other = problem_kind((enum problem_code)j);
            if (kind->status == other->status)
                assert_string_equal(kind->title, other->title);
            else
                assert_string_not_equal(kind->title, other->title);
        }
    }
}

/* Codes that clients were once told are never renamed. */
static void test_published_codes(void **state)
{
    static const struct problem_kind published[] = {
        {"malformed_request", 400, "Bad Request"},
        {"malformed_json", 400, "Bad Request"},
        {"origin_not_allowed", 403, "Forbidden"},
        {"not_found", 404, "Not Found"},
        {"method_not_allowed", 405, "Method Not Allowed"},
        {"body_too_large", 413, "Content Too Large"},
        {"unsupported_media_type", 415, "Unsupported Media Type"},
        {"expectation_failed", 417, "Expectation Failed"},
        {"invalid_quantity", 422, "Unprocessable Content"},
        {"header_too_large", 431, "Request Header Fields Too Large"},
        {"internal_error", 500, "Internal Server Error"},
        {"overloaded", 503, "Service Unavailable"},
        {"vacancy_unavailable", 503, "Service Unavailable"},
        {"invalid_idempotency_key", 400, "Bad Request"},
        {"order_not_found", 404, "Not Found"},
        {"event_unknown", 404, "Not Found"},
        {"idempotency_key_in_flight", 409, "Conflict"},
        {"idempotency_key_reused", 422, "Unprocessable Content"},
        {"invalid_batch", 422, "Unprocessable Content"},
        {"invalid_event", 422, "Unprocessable Content"},
        {"ledger_unavailable", 503, "Service Unavailable"},
        {"outcome_unknown", 503, "Service Unavailable"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); ++i) {
        const struct problem_kind *found = NULL;
        for (int j = 0; j < PROBLEM_COUNT; ++j)
            if (strcmp(problem_kind((enum problem_code)j)->code, published[i].code) == 0)
                found = problem_kind((enum problem_code)j);
        if (found == NULL)
            fail_msg("gone: %s", published[i].code);
        assert_int_equal(found->status, published[i].status);
        assert_string_equal(found->title, published[i].title);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),      cmocka_unit_test(test_whole_document),
        cmocka_unit_test(test_pointer),        cmocka_unit_test(test_detail_is_escaped),
        cmocka_unit_test(test_longest_detail), cmocka_unit_test(test_codes_are_unique),
        cmocka_unit_test(test_statuses),       cmocka_unit_test(test_published_codes),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
