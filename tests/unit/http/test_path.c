#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/path.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool matches(const char *pattern, struct text path, struct text *ret_parameter)
{
    struct path_pattern read = path_pattern_of(pattern);

    return path_matches(&read, path, ret_parameter);
}

/* A pattern without a parameter is that path and no other, and has an empty parameter. */
static void test_exact(void **state)
{
    static const char *const others[] = {"",         "/",       "/healt",    "/health/",
                                         "/healthy", "/Health", "/health/x", "health"};
    struct text parameter = TEXT("untouched");

    (void)state;
    for (size_t i = 0; i < COUNT(others); ++i)
        if (matches("/health", (struct text){.base = others[i], .len = strlen(others[i])},
                    &parameter))
            fail_msg("matched: %s", others[i]);
    assert_true(text_equal(parameter, TEXT("untouched")));
    assert_true(matches("/health", TEXT("/health"), &parameter));
    assert_int_equal(parameter.len, 0);
    assert_true(matches("/", TEXT("/"), &parameter));
}

/* A parameter is one segment of one byte or more, whatever bytes they are. */
static void test_parameter(void **state)
{
    static const struct text good[] = {TEXT("1"), TEXT("a-b_c.d~"), TEXT("{id}"), TEXT("a\0b"),
                                       TEXT(" \xff%")};
    struct text parameter;
    char path[64] = "/api/v1/orders/";
    size_t prefix_len = strlen(path);

    (void)state;
    for (size_t i = 0; i < COUNT(good); ++i) {
        memcpy(path + prefix_len, good[i].base, good[i].len);
        assert_true(matches("/api/v1/orders/{id}",
                            (struct text){.base = path, .len = prefix_len + good[i].len},
                            &parameter));
        assert_true(text_equal(parameter, good[i]));
        assert_ptr_equal(parameter.base, path + prefix_len);
    }
}

/* Without a segment, with two, or with a slash after it, a path is not of the pattern. */
static void test_no_parameter(void **state)
{
    static const char *const others[] = {
        "",           "/",        "/orders",   "/orders/", "/orders//", "/orders/a/", "/orders/a/b",
        "/orders//a", "/order/a", "/Orders/a", "/ordersa",
    };
    struct text parameter = TEXT("untouched");

    (void)state;
    for (size_t i = 0; i < COUNT(others); ++i)
        if (matches("/orders/{id}", (struct text){.base = others[i], .len = strlen(others[i])},
                    &parameter))
            fail_msg("matched: %s", others[i]);
    assert_true(text_equal(parameter, TEXT("untouched")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_parameter),
        cmocka_unit_test(test_no_parameter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
