/* util/append.h: numbers and texts put one after another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "util/append.h"

/* Every number reads as printf would write it, at each length and on both sides of each power. */
static void test_numbers(void **state)
{
    char expected[APPEND_U32_MAX + 1], written[APPEND_U32_MAX + 1];

    (void)state;
    for (uint64_t power = 1; power <= UINT32_MAX; power *= 10) {
        for (int64_t off = -1; off <= 1; ++off) {
            uint32_t number = (uint32_t)((int64_t)power + off);
            (void)snprintf(expected, sizeof(expected), "%u", number);
            *append_u32(written, number) = '\0';
            assert_string_equal(written, expected);
        }
    }
    *append_u32(written, UINT32_MAX) = '\0';
    assert_string_equal(written, "4294967295");
}

/* Texts follow each other without a gap or an end, and an empty one changes nothing. */
static void test_texts(void **state)
{
    char written[8] = "xxxxxxx";
    char *end = append_text(written, TEXT("ab"));

    (void)state;
    end = append_text(end, TEXT(""));
    end = append_text(end, TEXT("c"));
    assert_ptr_equal(end, written + 3);
    assert_string_equal(written, "abcxxxx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
