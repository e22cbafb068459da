#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/content_coding.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void check(const struct text *values, size_t count, bool wanted)
{
    for (size_t i = 0; i < count; ++i)
        if (content_coding_takes_gzip(values[i]) != wanted)
            fail_msg("%s", values[i].base == NULL ? "(none)" : values[i].base);
}

/* Whoever names gzip, in whatever form, or takes anything, gets it. */
static void test_takes(void **state)
{
    static const struct text values[] = {
        TEXT("gzip"),
        TEXT("gzip, deflate, br, zstd"),
        TEXT("br;q=1.0,GZip;q=0.001"),
        TEXT("deflate ,\tx-gzip ; q=0.5"),
        TEXT("*"),
        TEXT("identity;q=0, *;q=0.1"),
        TEXT("*;q=0, gzip"),
        TEXT(",,gzip,"),
    };

    (void)state;
    check(values, COUNT(values), true);
}

/* Whoever does not name it, refuses it by a weight of zero, or names something that it only looks
 * like, gets the bytes as they are. */
static void test_takes_not(void **state)
{
    static const struct text values[] = {
        {.base = NULL},   TEXT(""),
        TEXT("identity"), TEXT("br, deflate"),
        TEXT("gzip;q=0"), TEXT("gzip ; Q=0.000, br"),
        TEXT("*;q=0"),    TEXT("*, gzip;q=0"),
        TEXT("gzipped"),  TEXT("gzi"),
        TEXT("br;gzip"),  TEXT(" , ;"),
    };

    (void)state;
    check(values, COUNT(values), false);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes),
        cmocka_unit_test(test_takes_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
