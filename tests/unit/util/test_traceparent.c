/* util/traceparent.h: what is handed on, and what is taken for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/traceparent.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Judges a copy that ends where the value does, so that reading on is found. */
static bool is_sane(const char *value, size_t len)
{
    char *copy = malloc(len == 0 ? 1 : len);
    bool sane;

    assert_non_null(copy);
    memcpy(copy, value, len);
    sane = traceparent_is_sane((struct text){.base = copy, .len = len});
    free(copy);
    return sane;
}

/* The standard's own examples, sampled or not, and the least that is not zero. */
static void test_sane(void **state)
{
    static const char *const values[] = {
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-00000000000000000000000000000001-0000000000000001-ff",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); ++i)
        assert_true(is_sane(values[i], strlen(values[i])));
}

/* Another version, another length, upper case, a wrong separator, a digit that is none, and ids of
 * zeros alone are refused. */
static void test_not_sane(void **state)
{
    static const char *const values[] = {
        "",
        "00",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333:-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0/",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); ++i)
        if (is_sane(values[i], strlen(values[i])))
            fail_msg("%s passed", values[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sane),
        cmocka_unit_test(test_not_sane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
