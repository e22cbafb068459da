#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/idempotency_key.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define UUID         "8e03978e-40d5-43dd-bc93-6894a57f9324"

/* One word of each reason that no other reason has. */
#define EMPTY     "is empty"
#define TOO_LONG  "longer than 255"
#define INVISIBLE "visible ASCII"
#define NO_END    "closing quote of Idempotency-Key is missing"
#define ESCAPE    "backslash"
#define PARAMETER "parameters"
#define AFTER     "nothing may follow"

/* Decodes a copy on the heap that ends where the value does, so that reading on is found. */
static const char *decode(struct text value, char room[IDEMPOTENCY_KEY_MAX], struct text *ret_key)
{
    static char kept[4 * IDEMPOTENCY_KEY_MAX];
    char *copy = malloc(value.len == 0 ? 1 : value.len);
    const char *fault;

    assert_non_null(copy);
    assert_true(value.len <= sizeof(kept));
    memcpy(copy, value.base, value.len);
    memset(room, '?', IDEMPOTENCY_KEY_MAX);
    fault = idempotency_key_decode((struct text){.base = copy, .len = value.len}, room, ret_key);
    if (fault == NULL) {
        memcpy(kept, ret_key->base, ret_key->len);
        ret_key->base = kept;
    }
    free(copy);
    return fault;
}

static void expect_key(struct text value, struct text expected)
{
    char room[IDEMPOTENCY_KEY_MAX];
    struct text key = {.base = NULL};
    const char *fault = decode(value, room, &key);

    if (fault != NULL)
        fail_msg("refused for \"%s\": %.*s", fault, (int)value.len, value.base);
    if (!text_equal(key, expected))
        fail_msg("%.*s became %.*s", (int)value.len, value.base, (int)key.len, key.base);
}

static void expect_refused(struct text value, const char *reason)
{
    char room[IDEMPOTENCY_KEY_MAX];
    struct text key = {.base = "untouched", .len = 9};
    const char *fault = decode(value, room, &key);

    if (fault == NULL)
        fail_msg("accepted: %.*s", (int)value.len, value.base);
    else if (strstr(fault, reason) == NULL)
        fail_msg("refused for \"%s\" instead of \"%s\": %.*s", fault, reason, (int)value.len,
                 value.base);
    assert_string_equal(key.base, "untouched");
}

/* The quoted and the bare form of one key are one key, with blanks around them or not. */
static void test_two_forms(void **state)
{
    (void)state;
    expect_key(TEXT("\"" UUID "\""), TEXT(UUID));
    expect_key(TEXT(UUID), TEXT(UUID));
    expect_key(TEXT(" \t\"" UUID "\"\t "), TEXT(UUID));
    expect_key(TEXT("\t " UUID " \t"), TEXT(UUID));
    expect_key(TEXT("\"a\""), TEXT("a"));
    expect_key(TEXT("a"), TEXT("a"));
}

/* Inside quotes, and only there, a backslash takes the special meaning of a quote and of itself. */
static void test_escapes(void **state)
{
    (void)state;
    expect_key(TEXT("\"a\\\"b\""), TEXT("a\"b"));
    expect_key(TEXT("\"a\\\\b\""), TEXT("a\\b"));
    expect_key(TEXT("\"\\\"\""), TEXT("\""));
    expect_key(TEXT("\"\\\\\""), TEXT("\\"));
    expect_key(TEXT("\"\\\\\\\"\""), TEXT("\\\""));
    expect_key(TEXT("a\\b"), TEXT("a\\b"));
    expect_key(TEXT("a\"b\""), TEXT("a\"b\""));
    expect_refused(TEXT("\"a\\b\""), ESCAPE);
    expect_refused(TEXT("\"a\\ b\""), ESCAPE);
    expect_refused(TEXT("\"\\u0041\""), ESCAPE);
}

/* Each byte is taken or refused for what it is, in both forms. */
static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; ++c) {
        char quoted[] = {'"', 'x', (char)c, 'y', '"'}, bare[] = {'x', (char)c, 'y'};
        struct text in_quotes = {.base = quoted, .len = sizeof(quoted)};
        struct text alone = {.base = bare, .len = sizeof(bare)};
        if (c <= ' ' || c >= 0x7f) {
            expect_refused(in_quotes, INVISIBLE);
            expect_refused(alone, INVISIBLE);
            continue;
        }
        expect_key(alone, alone);
        if (c == '"')
            expect_refused(in_quotes, AFTER);
        else if (c == '\\')
            expect_refused(in_quotes, ESCAPE);
        else
            expect_key(in_quotes, alone);
    }
}

/* 1 … 255 characters after decoding, however many bytes they took. */
static void test_lengths(void **state)
{
    char value[2 * IDEMPOTENCY_KEY_MAX + 4], key[IDEMPOTENCY_KEY_MAX];

    (void)state;
    memset(value, 'k', sizeof(value));
    memset(key, 'k', sizeof(key));
    for (size_t len = 1; len <= IDEMPOTENCY_KEY_MAX; ++len)
        expect_key((struct text){.base = value, .len = len},
                   (struct text){.base = key, .len = len});
    expect_refused((struct text){.base = value, .len = IDEMPOTENCY_KEY_MAX + 1}, TOO_LONG);
    value[0] = value[1 + IDEMPOTENCY_KEY_MAX] = '"';
    expect_key((struct text){.base = value, .len = IDEMPOTENCY_KEY_MAX + 2},
               (struct text){.base = key, .len = IDEMPOTENCY_KEY_MAX});
    value[1 + IDEMPOTENCY_KEY_MAX] = 'k';
    value[2 + IDEMPOTENCY_KEY_MAX] = '"';
    expect_refused((struct text){.base = value, .len = IDEMPOTENCY_KEY_MAX + 3}, TOO_LONG);

    memset(value, '\\', sizeof(value));
    memset(key, '\\', sizeof(key));
    value[0] = value[1 + 2 * IDEMPOTENCY_KEY_MAX] = '"';
    expect_key((struct text){.base = value, .len = 2 * IDEMPOTENCY_KEY_MAX + 2},
               (struct text){.base = key, .len = sizeof(key)});
}

struct refusal {
    struct text value;
    const char *reason;
};

/* Each malformed value is refused for what is wrong with it. */
static void test_malformed(void **state)
{
    static const struct refusal refusals[] = {
        {TEXT(""), EMPTY},
        {TEXT(" \t "), EMPTY},
        {TEXT("\"\""), EMPTY},
        {TEXT("\""), NO_END},
        {TEXT("\"abc"), NO_END},
        {TEXT("\"abc\\\""), NO_END},
        {TEXT("\"abc\\"), NO_END},
        {TEXT("\"abc\";a=1"), PARAMETER},
        {TEXT("\"abc\";"), PARAMETER},
        {TEXT("\"\";a"), PARAMETER},
        {TEXT("\"abc\" ;a"), AFTER},
        {TEXT("\"abc\"def"), AFTER},
        {TEXT("\"abc\"\""), AFTER},
        {TEXT("\"abc\", \"def\""), AFTER},
        {TEXT("\"abc\",\"def\""), AFTER},
        {TEXT("\"a c\""), INVISIBLE},
        {TEXT("a c"), INVISIBLE},
        {TEXT("abc, def"), INVISIBLE},
        {TEXT("caf\xc3\xa9"), INVISIBLE},
        {TEXT("a\0b"), INVISIBLE},
        {TEXT("\"a\0b\""), INVISIBLE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(refusals); ++i)
        expect_refused(refusals[i].value, refusals[i].reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_forms),  cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
