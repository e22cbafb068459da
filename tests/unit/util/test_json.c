#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/json.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A literal with its length, so that a NUL inside counts. */
#define TEXT(literal) literal, sizeof(literal) - 1

struct text_case {
    const char *text;
    size_t len;
    /* part of the reason expected; NULL: any */
    const char *reason;
};

static void expect_malformed(const char *text, size_t len, const char *reason)
{
    struct json_document document;
    int r = json_parse(&document, text, len);
    if (r != JSON_MALFORMED)
        fail_msg("answer %d for: %.*s", r, (int)len, text);
    assert_null(document.root);
    assert_non_null(document.reason);
    if (reason && !strstr(document.reason, reason))
        fail_msg("reason \"%s\" instead of \"%s\" for: %.*s", document.reason, reason, (int)len,
                 text);
    json_release(&document);
}

static void expect_accepted(const char *text, size_t len)
{
    struct json_document document;
    int r = json_parse(&document, text, len);
    if (r != 0)
        fail_msg("answer %d (%s) for: %.*s", r, document.reason, (int)len, text);
    assert_non_null(document.root);
    assert_null(document.reason);
    json_release(&document);
    json_release(&document);
}

static const struct text_case valid_texts[] = {
    {TEXT("{}"), NULL},
    {TEXT("[]"), NULL},
    {TEXT(" \t\r\n{ \"qty\" :\t2\n}\r "), NULL},
    {TEXT("null"), NULL},
    {TEXT("true"), NULL},
    {TEXT("\"text\""), NULL},
    {TEXT("0"), NULL},
    {TEXT("-0"), NULL},
    {TEXT("-0.0e-0"), NULL},
    {TEXT("1E400"), NULL},
    {TEXT("1e+5"), NULL},
    {TEXT("[1,-2.5,true,false,null,\"\",{},[]]"), NULL},
    {TEXT("{\"\":1}"), NULL},
    {TEXT("{\"a\":1,\"A\":2}"), NULL},
    {TEXT("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}"), NULL},
    {TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\uD83D\\uDE00\""), NULL},
    {TEXT("\"\x7f\""), NULL},
    {TEXT("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\""), NULL},
    {TEXT("\"0 - 1e5 [}\""), NULL},
    {TEXT("1234567890123456789012345678901234567890123456789012345678901234567890"), NULL},
    {TEXT("[0.0000000000000000000000000000000000000000000000000000000000000001,1]"), NULL},
    {TEXT("1.234567890123456789012345678901234567e12345678901234567890123456789"), NULL},
    {TEXT("-11111111111111111111111111111111111111.2222222222222222222222222222222222"), NULL},
};

/* Everything that RFC 8259 allows is accepted, long numbers included. */
static void test_valid_json_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid_texts); i++)
        expect_accepted(valid_texts[i].text, valid_texts[i].len);
}

/* cJSON 1.7.15 accepts every one of these. */
static const struct text_case lax_texts[] = {
    {TEXT("{\"qty\":01}"), "number"},
    {TEXT("00"), "number"},
    {TEXT("-01"), "number"},
    {TEXT("-00"), "number"},
    {TEXT("1."), "number"},
    {TEXT("0."), "number"},
    {TEXT("1.e5"), "number"},
    {TEXT("-.5"), "number"},
    {TEXT("\x01{}"), "unexpected character"},
    {TEXT("{\x0b\"a\":1}"), "unexpected character"},
    {TEXT("{}\x0c"), "unexpected character"},
    {TEXT("{}\x1f"), "unexpected character"},
    {TEXT("{}\0"), "unexpected character"},
    {TEXT("{}\0{}"), "unexpected character"},
    {TEXT("{\"a\":1\0}"), "unexpected character"},
    {TEXT("\"a\0b\""), "control character"},
    {TEXT("\"a\x01\""), "control character"},
    {TEXT("\"\n\""), "control character"},
    {TEXT("\"\t\""), "control character"},
    {TEXT("\"\\u0000\""), "NUL"},
    {TEXT("{\"qty\\u0000x\":1}"), "NUL"},
    {TEXT("\"\\uu123\""), "\\u"},
    {TEXT("\"\\u 123\""), "\\u"},
    {TEXT("\"\\u+123\""), "\\u"},
    {TEXT("\"\\u00-1\""), "\\u"},
    {TEXT("\"\xff\""), "UTF-8"},
    {TEXT("\"\x80\""), "UTF-8"},
    {TEXT("\"\xc0\x80\""), "UTF-8"},
    {TEXT("\"\xc3\""), "UTF-8"},
    {TEXT("\"\xe0\x80\xaf\""), "UTF-8"},
    {TEXT("\"\xed\xa0\x80\""), "UTF-8"},
    {TEXT("\"\xed\xb0\x80\""), "UTF-8"},
    {TEXT("\"\xf4\x90\x80\x80\""), "UTF-8"},
    {TEXT("\"\xf5\x80\x80\x80\""), "UTF-8"},
    {TEXT("\"\xf8\x88\x80\x80\x80\""), "UTF-8"},
    {TEXT("\"\xfc\x84\x80\x80\x80\x80\""), "UTF-8"},
    {TEXT("\xef\xbb\xbf{}"), "unexpected character"},
    {TEXT("{\"a\":1,\"a\":1}"), "duplicate"},
    {TEXT("{\"qty\":1,\"x\":null,\"qty\":2}"), "duplicate"},
    {TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate"},
    {TEXT("{\"\":1,\"\":2}"), "duplicate"},
    {TEXT("[[{\"x\":{\"b\":1,\"b\":2}}]]"), "duplicate"},
};

/* What cJSON lets through although it is not JSON, or means two things, is refused by name. */
static void test_what_cjson_lets_through_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lax_texts); i++)
        expect_malformed(lax_texts[i].text, lax_texts[i].len, lax_texts[i].reason);
}

static const struct text_case broken_texts[] = {
    {TEXT(""), "empty"},
    {TEXT(" "), "empty"},
    {TEXT("{} x"), NULL},
    {TEXT("{} {}"), NULL},
    {TEXT("1 2"), NULL},
    {TEXT("{}]"), NULL},
    {TEXT("]"), NULL},
    {TEXT("[}"), NULL},
    {TEXT("{"), NULL},
    {TEXT("["), NULL},
    {TEXT("[1"), NULL},
    {TEXT("{\"a\":1"), NULL},
    {TEXT("{\"a\""), NULL},
    {TEXT("{\"a\":"), NULL},
    {TEXT("\""), NULL},
    {TEXT("\"abc"), NULL},
    {TEXT("\"\\"), NULL},
    {TEXT("\"\\\""), NULL},
    {TEXT("\"\\u12"), NULL},
    {TEXT("\"\\u12\""), NULL},
    {TEXT("\"\\ud800\""), NULL},
    {TEXT("\"\\udc00\""), NULL},
    {TEXT("\"\\ud800\\u0041\""), NULL},
    {TEXT("\"\\ud800x\""), NULL},
    {TEXT("\"\\udc00\\ud800\""), NULL},
    {TEXT("\"\\ud800\\ud800\""), NULL},
    {TEXT("\"\\x41\""), NULL},
    {TEXT("\"\\a\""), NULL},
    {TEXT("\"\\'\""), NULL},
    {TEXT("\"\\U0041\""), NULL},
    {TEXT("[1,]"), NULL},
    {TEXT("[,1]"), NULL},
    {TEXT("[1,,2]"), NULL},
    {TEXT("[1 2]"), NULL},
    {TEXT("[1:2]"), NULL},
    {TEXT("{\"a\":1,}"), NULL},
    {TEXT("{,}"), NULL},
    {TEXT("{\"a\" 1}"), NULL},
    {TEXT("{\"a\":1 \"b\":2}"), NULL},
    {TEXT("{\"a\",1}"), NULL},
    {TEXT("{\"a\":}"), NULL},
    {TEXT("{a:1}"), NULL},
    {TEXT("{'a':1}"), NULL},
    {TEXT("{1:2}"), NULL},
    {TEXT("{null:2}"), NULL},
    {TEXT("/**/1"), NULL},
    {TEXT("1//x"), NULL},
    {TEXT("+1"), NULL},
    {TEXT(".5"), NULL},
    {TEXT("-"), NULL},
    {TEXT("--1"), NULL},
    {TEXT("1-2"), NULL},
    {TEXT("1+2"), NULL},
    {TEXT("1e"), NULL},
    {TEXT("1e+"), NULL},
    {TEXT("1.5e"), NULL},
    {TEXT("1.2.3"), NULL},
    {TEXT("1e5e5"), NULL},
    {TEXT("1e5.5"), NULL},
    {TEXT("0x10"), NULL},
    {TEXT("1_000"), NULL},
    {TEXT("1,000"), NULL},
    {TEXT("\xd9\xa1"), NULL},
    {TEXT("nan"), NULL},
    {TEXT("NaN"), NULL},
    {TEXT("Infinity"), NULL},
    {TEXT("-Infinity"), NULL},
    {TEXT("-inf"), NULL},
    {TEXT("True"), NULL},
    {TEXT("TRUE"), NULL},
    {TEXT("nul"), NULL},
    {TEXT("Null"), NULL},
    {TEXT("undefined"), NULL},
    {TEXT("truex"), NULL},
    {TEXT("truefalse"), NULL},
    {TEXT("true1"), NULL},
    {TEXT("\xc2\xa0{}"), NULL},
    {TEXT("\xfe\xff\0{\0}"), NULL},
    {TEXT("qty=2"), NULL},
};

/* What nobody takes for JSON is refused too, wherever it ends. */
static void test_broken_json_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(broken_texts); i++)
        expect_malformed(broken_texts[i].text, broken_texts[i].len, broken_texts[i].reason);
}

/* Every prefix of a valid object is refused: nothing reads beyond the given length. */
static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"qty\":-12.5e3,\"s\":\"\\u00e9\xc3\xa9\",\"l\":[true,null]}";
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        char *exact = len ? malloc(len) : NULL;
        if (exact)
            memcpy(exact, text, len);
        expect_malformed(exact ? exact : "", len, NULL);
        free(exact);
    }
    expect_accepted(text, sizeof(text) - 1);
}

/* Builds `count` times `open`, then `middle`, then `count` times `close`. */
static char *nested(const char *open, const char *middle, const char *close, size_t count)
{
    char *text = calloc(1, count * (strlen(open) + strlen(close)) + strlen(middle) + 1);
    assert_non_null(text);
    char *at = text;
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, close);
    return text;
}

static void expect_nested(const char *open, const char *close, size_t depth, const char *reason)
{
    char *text = nested(open, "1", close, depth);
    if (reason)
        expect_malformed(text, strlen(text), reason);
    else
        expect_accepted(text, strlen(text));
    free(text);
}

/* Depth is bounded before anything recurses: a bomb is refused, the limit itself is not. */
static void test_depth_is_bounded(void **state)
{
    (void)state;
    expect_nested("[", "]", JSON_DEPTH_MAX, NULL);
    expect_nested("[", "]", JSON_DEPTH_MAX + 1, "deep");
    expect_nested("{\"a\":", "}", JSON_DEPTH_MAX, NULL);
    expect_nested("{\"a\":", "}", JSON_DEPTH_MAX + 1, "deep");
    expect_nested("[", "", 500000, "deep");
    expect_nested("{\"a\":[", "", 100000, "deep");
}

static char *object_with_members(size_t count)
{
    char *text = malloc(count * 24 + 3);
    assert_non_null(text);
    char *at = stpcpy(text, "{");
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%s\"m%zu\":%zu", i ? "," : "", i, i);
    stpcpy(at, "}");
    return text;
}

/* The number of an object's members is bounded, because names are compared pairwise. */
static void test_members_are_bounded(void **state)
{
    (void)state;
    char *text = object_with_members(JSON_MEMBERS_MAX);
    expect_accepted(text, strlen(text));
    free(text);
    text = object_with_members(JSON_MEMBERS_MAX + 1);
    expect_malformed(text, strlen(text), "too many members");
    free(text);
}

static void expect_array(size_t values, const char *reason)
{
    char *text = nested("0,", "0", "", values - 1);
    char *array = malloc(strlen(text) + 3);
    assert_non_null(array);
    stpcpy(stpcpy(stpcpy(array, "["), text), "]");
    if (reason)
        expect_malformed(array, strlen(array), reason);
    else
        expect_accepted(array, strlen(array));
    free(array);
    free(text);
}

/* The number of values is bounded; up to there they outgrow the arena and still work. */
static void test_values_are_bounded(void **state)
{
    (void)state;
    expect_array(8000, NULL);
    expect_array(JSON_TOKENS_MAX - 1, NULL);
    expect_array(JSON_TOKENS_MAX, "too many values");
    expect_array(524288, "too many values");
}

/* A hostile body that outgrows the arena leaves it fit for the next document, valid or not. */
static void test_arena_survives_large_bodies(void **state)
{
    (void)state;
    static const size_t sizes[] = {16384, 1048576, JSON_TEXT_SIZE_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *text = malloc(sizes[i]);
        assert_non_null(text);
        memset(text, 'x', sizes[i]);
        text[0] = '"';
        expect_malformed(text, sizes[i], "unfinished string");
        text[sizes[i] - 1] = '"';
        expect_accepted(text, sizes[i]);
        memset(text, '[', sizes[i]);
        expect_malformed(text, sizes[i], "deep");
        memset(text, ' ', sizes[i]);
        expect_malformed(text, sizes[i], "empty");
        free(text);
    }
    expect_malformed("", JSON_TEXT_SIZE_MAX + (size_t)1, "too long");
    expect_accepted(TEXT("{\"qty\":2}"));
}

/* Documents that live at the same time do not share memory, inside the arena or beyond it. */
static void test_documents_do_not_overlap(void **state)
{
    (void)state;
    enum { DOCUMENTS = 2000 };
    struct json_document *documents = calloc(DOCUMENTS, sizeof(*documents));
    assert_non_null(documents);
    for (int i = 0; i < DOCUMENTS; i++) {
        char text[64];
        int len = snprintf(text, sizeof(text), "{\"n\":%d,\"s\":\"text %d\"}", i, i);
        assert_int_equal(json_parse(&documents[i], text, (size_t)len), 0);
    }
    for (int i = DOCUMENTS - 1; i >= 0; i--) {
        char expected[32];
        int64_t n = -1;
        const char *s = NULL;
        (void)snprintf(expected, sizeof(expected), "text %d", i);
        assert_int_equal(json_get_integer(&documents[i], "n", 0, DOCUMENTS, &n), 0);
        assert_int_equal(n, i);
        assert_int_equal(json_get_string(&documents[i], "s", &s), 0);
        assert_string_equal(s, expected);
        json_release(&documents[i]);
    }
    free(documents);
}

struct integer_case {
    const char *text;
    int answer;
    int64_t value;
};

static const struct integer_case quantities[] = {
    {"{\"qty\":1}", 0, 1},
    {"{\"qty\":2147483647}", 0, 2147483647},
    {"{\"x\":[1.5,\"7\",{\"qty\":9}],\"qty\": 3 ,\"y\":4e1}", 0, 3},
    {"{\"7\":8,\"\\\"9\":\"\\\\\",\"qty\":5}", 0, 5},
    {"{\"qt\\u0079\":6}", 0, 6},
    {"{\"qty\":0}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":-0}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":-1}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":2147483648}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":4294967297}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":9007199254740993}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":9223372036854775808}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":18446744073709551617}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":-18446744073709551615}", JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":10000000000000000000000000000000000000000000000000000000000000000000000000000}",
     JSON_OUT_OF_BOUNDS, 0},
    {"{\"qty\":1.0}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":1.5}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":1e0}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":1E1}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":1e400}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":1e-400}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":1.0000000000000000000000000000000000000000000000000000000000000000000000}",
     JSON_WRONG_TYPE, 0},
    {"{\"qty\":\"1\"}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":\"\"}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":true}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":null}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":[1]}", JSON_WRONG_TYPE, 0},
    {"{\"qty\":{\"qty\":1}}", JSON_WRONG_TYPE, 0},
    {"{}", JSON_MISSING, 0},
    {"{\"Qty\":1}", JSON_MISSING, 0},
    {"{\"QTY\":1,\"qty \":1}", JSON_MISSING, 0},
    {"{\"x\":{\"qty\":1}}", JSON_MISSING, 0},
    {"[{\"qty\":1}]", JSON_MISSING, 0},
    {"[1]", JSON_MISSING, 0},
    {"1", JSON_MISSING, 0},
    {"\"qty\"", JSON_MISSING, 0},
};

/* Only a whole number within the bounds is a quantity; nothing is rounded or converted into one. */
static void test_only_integers_within_bounds_are_quantities(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(quantities); i++) {
        struct json_document document;
        int64_t value = -7;
        assert_int_equal(json_parse(&document, quantities[i].text, strlen(quantities[i].text)), 0);
        int r = json_get_integer(&document, "qty", 1, INT32_MAX, &value);
        if (r != quantities[i].answer)
            fail_msg("answer %d for: %s", r, quantities[i].text);
        assert_int_equal(value, r == 0 ? quantities[i].value : -7);
        json_release(&document);
    }
}

/* Integers are exact to the ends of int64_t, far beyond what a double holds. */
static void test_integers_are_exact(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":9223372036854775807,\"b\":-9223372036854775808,"
                               "\"c\":9007199254740993}";
    struct json_document document;
    int64_t value = 0;
    assert_int_equal(json_parse(&document, TEXT(text)), 0);
    assert_int_equal(json_get_integer(&document, "a", INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(json_get_integer(&document, "b", INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(json_get_integer(&document, "c", INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_C(9007199254740993));
    assert_int_equal(json_get_integer(&document, "c", 0, INT64_C(9007199254740992), &value),
                     JSON_OUT_OF_BOUNDS);
    json_release(&document);
}

/* Strings and truths are borrowed as they are; another type is told from a missing member. */
static void test_strings_and_truths(void **state)
{
    (void)state;
    static const char text[] =
        "{\"s\":\"a\\u00e9\\uD83D\\uDE00\\n\",\"t\":true,\"f\":false,\"n\":1}";
    struct json_document document;
    const char *string = NULL;
    bool truth = false;
    assert_int_equal(json_parse(&document, TEXT(text)), 0);
    assert_true(json_is_object(&document));
    assert_int_equal(json_get_string(&document, "s", &string), 0);
    assert_string_equal(string, "a\xc3\xa9\xf0\x9f\x98\x80\n");
    assert_int_equal(json_get_string(&document, "n", &string), JSON_WRONG_TYPE);
    assert_int_equal(json_get_string(&document, "S", &string), JSON_MISSING);
    assert_int_equal(json_get_bool(&document, "t", &truth), 0);
    assert_true(truth);
    assert_int_equal(json_get_bool(&document, "f", &truth), 0);
    assert_false(truth);
    assert_int_equal(json_get_bool(&document, "n", &truth), JSON_WRONG_TYPE);
    assert_int_equal(json_get_bool(&document, "x", &truth), JSON_MISSING);
    json_release(&document);
}

struct rows {
    int64_t sum;
    int count, stop_at;
};

static int on_row(void *context, const struct json_document *item)
{
    struct rows *rows = context;
    int64_t number = 0;

    rows->count++;
    if (json_get_integer(item, "n", INT64_MIN, INT64_MAX, &number) == 0)
        rows->sum += number;
    return rows->count == rows->stop_at ? 42 : 0;
}

/* What is inside objects and arrays is read as exactly as what is outermost. */
static void test_nested_values_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":7,\"rows\":[{\"n\":9007199254740993},{\"n\":-1},3,{}],\"o\":{\"a\":{\"n\":5}},"
        "\"none\":[]}";
    struct json_document document, outer, inner = {0};
    struct rows rows = {0};
    int64_t number = 0;

    assert_int_equal(json_parse(&document, text, sizeof(text) - 1), 0);
    assert_int_equal(json_get_each(&document, "rows", on_row, &rows), 0);
    assert_int_equal(rows.count, 4);
    assert_int_equal(rows.sum, 9007199254740992);
    rows = (struct rows){.stop_at = 2};
    assert_int_equal(json_get_each(&document, "rows", on_row, &rows), 42);
    assert_int_equal(rows.count, 2);
    rows = (struct rows){0};
    assert_int_equal(json_get_each(&document, "none", on_row, &rows), 0);
    assert_int_equal(rows.count, 0);
    assert_int_equal(json_get_each(&document, "o", on_row, &rows), JSON_WRONG_TYPE);
    assert_int_equal(json_get_each(&document, "p", on_row, &rows), JSON_MISSING);

    assert_int_equal(json_get_object(&document, "o", &outer), 0);
    assert_int_equal(json_get_object(&outer, "a", &inner), 0);
    assert_int_equal(json_get_integer(&inner, "n", 0, 9, &number), 0);
    assert_int_equal(number, 5);
    assert_int_equal(json_get_object(&inner, "n", &outer), JSON_WRONG_TYPE);
    assert_int_equal(json_get_object(&inner, "m", &outer), JSON_MISSING);
    json_release(&document);
}

static struct json_value *sample_value(void)
{
    struct json_value *value = json_object_new();
    json_add_bool(value, "success", true);
    json_add_integer(value, "max", INT64_MAX);
    json_add_integer(value, "min", INT64_MIN);
    json_add_string(value, "quoted", "\"\\\n\x01");
    json_add_string(value, "bytes", "\xff\xc3\xa9\"");
    json_add_string(json_add_object(value, "dependencies"), "vacancy", "healthy");
    struct json_value *errors = json_add_array(value, "errors");
    json_add_string(json_append_object(errors), "pointer", "/qty");
    json_append_object(errors);
    return value;
}

/* A built body is printed exactly, integers unrounded and foreign bytes made valid. */
static void test_built_bodies_are_exact(void **state)
{
    (void)state;
    static const char expected[] =
        "{\"success\":true,\"max\":9223372036854775807,\"min\":-9223372036854775808,"
        "\"quoted\":\"\\\"\\\\\\n\\u0001\",\"bytes\":\"\\ufffd\xc3\xa9\\\"\","
        "\"dependencies\":{\"vacancy\":\"healthy\"},\"errors\":[{\"pointer\":\"/qty\"},{}]}";
    char buffer[512];
    struct json_value *value = sample_value();
    assert_int_equal(json_print(value, buffer, sizeof(buffer)), sizeof(expected) - 1);
    assert_string_equal(buffer, expected);
    json_free(value);
    expect_accepted(expected, sizeof(expected) - 1);
}

/* A decimal is written exactly, without zeros that say nothing, and read back as the same number.
 */
static void test_decimals_are_exact(void **state)
{
    (void)state;
    static const struct {
        int64_t number;
        unsigned decimals;
        const char *expected;
    } cases[] = {
        {0, 3, "{\"n\":0}"},
        {1250, 3, "{\"n\":1.25}"},
        {10, 1, "{\"n\":1}"},
        {5, 9, "{\"n\":0.000000005}"},
        {-1250, 3, "{\"n\":-1.25}"},
        {7, 0, "{\"n\":7}"},
        {-5, 1, "{\"n\":-0.5}"},
        {1000, 2, "{\"n\":10}"},
        {1795653319123, 3, "{\"n\":1795653319.123}"},
        {INT64_MIN, 9, "{\"n\":-9223372036.854775808}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char buffer[64];
        double value = 0, unit = 1;
        struct json_document document;
        struct json_value *object = json_object_new();
        json_add_decimal(object, "n", cases[i].number, cases[i].decimals);
        int len = json_print(object, buffer, sizeof(buffer));
        json_free(object);
        assert_string_equal(buffer, cases[i].expected);
        assert_int_equal(json_parse(&document, buffer, (size_t)len), 0);
        assert_int_equal(json_get_number(&document, "n", &value), 0);
        for (unsigned j = 0; j < cases[i].decimals; j++)
            unit *= 10;
        assert_true(value == (double)cases[i].number / unit);
        assert_int_equal(json_get_number(&document, "m", &value), JSON_MISSING);
        json_release(&document);
    }
}

/* A buffer of any smaller size is reported, never overrun; eight spare bytes are enough. */
static void test_small_buffers_are_reported(void **state)
{
    (void)state;
    char full[512];
    struct json_value *value = sample_value();
    int len = json_print(value, full, sizeof(full));
    assert_true(len > 0);
    for (int size = 0; size <= len; size++) {
        char *exact = malloc((size_t)size + 1);
        assert_non_null(exact);
        assert_int_equal(json_print(value, exact, (size_t)size), -ENOSPC);
        free(exact);
    }
    assert_int_equal(json_print(value, full, (size_t)len + 8), len);
    json_free(value);
}

/* What could not be built is reported when it is printed, and freed like anything else. */
static void test_failed_values_are_reported(void **state)
{
    (void)state;
    char buffer[16];
    json_add_integer(NULL, "a", 1);
    json_add_string(NULL, "a", "\xff");
    json_add_bool(json_add_object(NULL, "a"), "b", true);
    json_add_integer(json_append_object(json_add_array(NULL, "a")), "b", 1);
    assert_int_equal(json_print(NULL, buffer, sizeof(buffer)), -ENOMEM);
    json_free(NULL);
    json_release(NULL);
}

static int start(void **state)
{
    (void)state;
    return json_init();
}

/* A decoded document is walked in order, loses what is taken out, and is printed with the rest. */
static void test_documents_are_edited(void **state)
{
    static const char source[] =
        "{\"a\":1,\"b\":{\"x\":[\"one\",2.5,null]},\"c\":\"\\u00e9\",\"d\":2147483648}";
    struct json_document document;
    struct json_value *root, *items;
    char printed[256];

    (void)state;
    assert_int_equal(json_parse(&document, TEXT(source)), 0);
    root = json_root(&document);
    assert_string_equal(json_name(json_first(root)), "a");
    assert_string_equal(json_name(json_next(json_first(root))), "b");
    assert_string_equal(json_text(json_member(root, "c")), "\u00e9");
    assert_null(json_text(json_member(root, "a")));
    assert_null(json_member(root, "A"));

    items = json_member(json_member(root, "b"), "x");
    assert_string_equal(json_text(json_first(items)), "one");
    assert_null(json_name(json_first(items)));
    assert_null(json_next(json_next(json_next(json_first(items)))));
    json_remove(root, json_first(root));
    json_remove(items, json_first(items));
    json_append_string(items, "two");
    json_add_integer(root, "e", 3);
    assert_true(json_print(root, printed, sizeof(printed)) > 0);
    assert_string_equal(printed, "{\"b\":{\"x\":[2.5,null,\"two\"]},\"c\":\"\u00e9\","
                                 "\"d\":2147483648,\"e\":3}");
    json_release(&document);
}

/* What is not there has no parts either, and taking it away changes nothing. */
static void test_edits_of_nothing(void **state)
{
    struct json_document document;
    struct json_value *root;
    char printed[8];

    (void)state;
    assert_int_equal(json_parse(&document, TEXT("[]")), 0);
    root = json_root(&document);
    assert_null(json_member(json_member(root, "a"), "b"));
    assert_null(json_first(json_next(json_first(root))));
    assert_null(json_name(NULL));
    assert_null(json_text(NULL));
    json_remove(root, json_member(root, "a"));
    json_remove(NULL, NULL);
    json_append_string(NULL, "lost");
    assert_int_equal(json_print(root, printed, sizeof(printed)), 2);
    json_release(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_json_is_accepted),
        cmocka_unit_test(test_what_cjson_lets_through_is_refused),
        cmocka_unit_test(test_broken_json_is_refused),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_members_are_bounded),
        cmocka_unit_test(test_values_are_bounded),
        cmocka_unit_test(test_arena_survives_large_bodies),
        cmocka_unit_test(test_documents_do_not_overlap),
        cmocka_unit_test(test_only_integers_within_bounds_are_quantities),
        cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_strings_and_truths),
        cmocka_unit_test(test_nested_values_are_read),
        cmocka_unit_test(test_built_bodies_are_exact),
        cmocka_unit_test(test_decimals_are_exact),
        cmocka_unit_test(test_small_buffers_are_reported),
        cmocka_unit_test(test_failed_values_are_reported),
        cmocka_unit_test(test_documents_are_edited),
        cmocka_unit_test(test_edits_of_nothing),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
