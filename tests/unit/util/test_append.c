/* util/append.h: numbers and texts put one after another. */
#include <inttypes.h>
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

/* Likewise a number of 64 bits, on both sides of where it no longer fits 32. */
static void test_long_numbers(void **state)
{
    static const uint64_t numbers[] = {
        0,          9,           UINT32_MAX, (uint64_t)UINT32_MAX + 1,
        9999999999, 10000000000, UINT64_MAX, UINT64_MAX / 10};
    char expected[APPEND_U64_MAX + 1], written[APPEND_U64_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); ++i) {
        (void)snprintf(expected, sizeof(expected), "%" PRIu64, numbers[i]);
        *append_u64(written, numbers[i]) = '\0';
        assert_string_equal(written, expected);
    }
}

/* Every digit is written right in each of its sixteen places, with the zeros in front of it. */
static void test_hexadecimal(void **state)
{
    char expected[APPEND_HEX_LEN + 1], written[APPEND_HEX_LEN + 1];

    (void)state;
    for (unsigned place = 0; place < APPEND_HEX_LEN; ++place) {
        for (uint64_t digit = 0; digit < 16; ++digit) {
            uint64_t number = digit << 4 * place;
            (void)snprintf(expected, sizeof(expected), "%016" PRIx64, number);
            *append_hex_u64(written, number) = '\0';
            assert_string_equal(written, expected);
            (void)snprintf(expected, sizeof(expected), "%016" PRIx64, ~number);
            *append_hex_u64(written, ~number) = '\0';
            assert_string_equal(written, expected);
        }
    }
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
        cmocka_unit_test(test_long_numbers),
        cmocka_unit_test(test_hexadecimal),
        cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
