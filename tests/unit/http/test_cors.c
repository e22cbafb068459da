#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/cors.h"

static bool allows(const char *origins, const char *origin)
{
    struct cors cors;

    cors_init(&cors, origins);
    return cors_allows(&cors, (struct text){.base = origin, .len = strlen(origin)});
}

/* The star allows every origin, the opaque one of a sandbox or a file too. */
static void test_star(void **state)
{
    (void)state;
    assert_true(allows("*", "https://shop.example"));
    assert_true(allows("*", "null"));
    assert_true(allows("*", ""));
}

/* Without a setting no page of another origin may call. */
static void test_none(void **state)
{
    (void)state;
    assert_false(allows("", "https://shop.example"));
    assert_false(allows("", "null"));
    assert_false(allows("", "*"));
    assert_false(allows("", ""));
}

/* Each origin of a list is allowed: the first, the middle and the last. */
static void test_list(void **state)
{
    static const char list[] = "https://a.example,http://b.example:8000,https://c.example";

    (void)state;
    assert_true(allows(list, "https://a.example"));
    assert_true(allows(list, "http://b.example:8000"));
    assert_true(allows(list, "https://c.example"));
    assert_true(allows("https://a.example", "https://a.example"));
}

/* An origin that differs in one character, or is only part of one, is not that origin. */
static void test_near_misses(void **state)
{
    static const char list[] = "https://shop.example,http://shop.example:8000";
    static const char *const wrong[] = {
        "",
        "*",
        "null",
        "https://shop.exampl",
        "https://shop.example.evil.example",
        "https://shop.example:443",
        "https://shop.example/",
        "https://shop.example,http://shop.example:8000",
        "https://shop.example,",
        "http://shop.example",
        "http://shop.example:80",
        "http://shop.example:80000",
        "HTTPS://shop.example",
        "https://Shop.example",
        "https://evil-shop.example",
        "ttps://shop.example",
        " https://shop.example",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); ++i)
        if (allows(list, wrong[i]))
            fail_msg("allowed: %s", wrong[i]);
}

/* A NUL in what a client sent does not cut it to an origin that is allowed. */
static void test_nul_inside(void **state)
{
    struct cors cors;

    (void)state;
    cors_init(&cors, "https://a.example");
    assert_false(cors_allows(&cors, TEXT("https://a.example\0.evil.example")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_star),       cmocka_unit_test(test_none),
        cmocka_unit_test(test_list),       cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_nul_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
