#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ticketd/error.h"
#include "util/time_text.h"

static void check(int64_t time_us, const char *expected)
{
    char text[TIME_TEXT_SIZE];
    int64_t back = 1;

    time_text_format(time_us, text);
    assert_string_equal(text, expected);
    assert_int_equal(time_text_parse(text, &back), TICKETD_DONE);
    assert_int_equal(back, time_us);
}

/* A moment is written in UTC to the microsecond, and read back to the same. */
static void test_there_and_back(void **state)
{
    (void)state;
    check(0, "1970-01-01T00:00:00.000000Z");
    check(-1, "1969-12-31T23:59:59.999999Z");
    check(1709164800000007, "2024-02-29T00:00:00.000007Z");
    check(1790190245123456, "2026-09-23T19:04:05.123456Z");
}

/* People may leave out what they do not care about, and nothing else. */
static void test_what_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_us; /* -1: refused */
    } cases[] = {
        {"1970-01-02", 86400000000},
        {"1970-01-01T00:00:01", 1000000},
        {"1970-01-01T00:00:01Z", 1000000},
        {"1970-01-01T00:00:01.5Z", 1500000},
        {"1970-01-01T00:00:01.25", 1250000},
        {"", -1},
        {"1970", -1},
        {"1970-02-31", -1},
        {"1970-13-01", -1},
        {"1970-01-01T", -1},
        {"1970-01-01T25:00:00Z", -1},
        {"1970-01-01T00:00Z", -1},
        {"1970-01-01T00:00:01+02:00", -1},
        {"1970-01-01T00:00:01.1234567Z", -1},
        {"1970-01-01 ", -1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t time_us = -1;
        int answer = time_text_parse(cases[i].text, &time_us);

        assert_int_equal(answer, cases[i].time_us < 0 ? TICKETD_INVALID : TICKETD_DONE);
        assert_int_equal(time_us, cases[i].time_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_what_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
