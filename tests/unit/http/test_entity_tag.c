#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/entity_tag.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void check(const struct text *values, size_t count, bool wanted)
{
    for (size_t i = 0; i < count; ++i)
        if (entity_tag_matches(values[i], TEXT("\"abc\"")) != wanted)
            fail_msg("%s", values[i].base);
}

/* The tag alone, weak, in a list, or any at all: the client has it. */
static void test_has(void **state)
{
    static const struct text values[] = {
        TEXT("\"abc\""),
        TEXT("W/\"abc\""),
        TEXT("*"),
        TEXT(" \"abc\" "),
        TEXT("\"x\", \"abc\""),
        TEXT("\"x\",W/\"y\" , W/\"abc\",\"z\""),
        TEXT(",, \"abc\",,"),
        TEXT("\"a,\", \"\", \"abc\""),
    };

    (void)state;
    check(values, COUNT(values), true);
}

/* Another tag, none, or what is no tag: the client gets the whole answer. */
static void test_has_not(void **state)
{
    static const struct text values[] = {
        {.base = NULL},   TEXT(""),       TEXT("abc"),   TEXT("\"abd\""),   TEXT("\"abc"),
        TEXT("abc\""),    TEXT("W/"),     TEXT("W/abc"), TEXT("\"ABC\""),   TEXT("w/\"abc\""),
        TEXT("\"abcd\""), TEXT("\"ab\""), TEXT("\"\""),  TEXT("x \"abc\""),
    };

    (void)state;
    check(values, COUNT(values), false);
}

/* A weak tag of ours is had by whoever names it, weak or not. */
static void test_weak(void **state)
{
    (void)state;
    assert_true(entity_tag_matches(TEXT("\"abc\""), TEXT("W/\"abc\"")));
    assert_true(entity_tag_matches(TEXT("W/\"abc\""), TEXT("W/\"abc\"")));
    assert_false(entity_tag_matches(TEXT("\"ab\""), TEXT("W/\"abc\"")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_has_not),
        cmocka_unit_test(test_weak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
