#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/request_id.h"

/* Ids made in the test of uniqueness, from each of two sources. */
#define MADE ((size_t)2000)

/* 1 … REQUEST_ID_MAX characters are taken over, none or one more are not. */
static void test_length_of_a_sane_id(void **state)
{
    char id[REQUEST_ID_MAX + 1];

    (void)state;
    memset(id, 'x', sizeof(id));
    assert_false(request_id_is_sane((struct text){.base = NULL}));
    assert_false(request_id_is_sane((struct text){.base = id, .len = 0}));
    for (size_t len = 1; len <= REQUEST_ID_MAX; ++len)
        assert_true(request_id_is_sane((struct text){.base = id, .len = len}));
    assert_false(request_id_is_sane((struct text){.base = id, .len = REQUEST_ID_MAX + 1}));
}

/* Only visible ASCII is taken over, in every place: an id goes into logs and answers. */
static void test_bytes_of_a_sane_id(void **state)
{
    (void)state;
    for (size_t at = 0; at < 3; ++at) {
        for (int c = 0; c < 256; ++c) {
            char id[3] = {'a', 'b', 'c'};
            id[at] = (char)c;
            if (request_id_is_sane((struct text){.base = id, .len = 3}) != (c > ' ' && c < 0x7f))
                fail_msg("byte 0x%02x at %zu", (unsigned)c, at);
        }
    }
}

static void expect_hexadecimal(const char *id)
{
    for (size_t i = 0; i < REQUEST_ID_MADE_LEN; ++i)
        if (id[i] == '\0' || strchr("0123456789abcdef", id[i]) == NULL)
            fail_msg("byte 0x%02x in an id", (unsigned char)id[i]);
}

/* An id made here is 32 hexadecimal digits, no byte more, and would itself be taken over. */
static void test_form_of_a_made_id(void **state)
{
    struct request_id_source source;
    char id[REQUEST_ID_MADE_LEN + 1];

    (void)state;
    assert_int_equal(request_id_source_init(&source), 0);
    for (int i = 0; i < 100; ++i) {
        id[REQUEST_ID_MADE_LEN] = '!';
        request_id_make(&source, id);
        expect_hexadecimal(id);
        assert_int_equal(id[REQUEST_ID_MADE_LEN], '!');
        assert_true(request_id_is_sane((struct text){.base = id, .len = REQUEST_ID_MADE_LEN}));
    }
}

/* No id is made twice, by one worker or by two. */
static void test_made_ids_are_unique(void **state)
{
    static char ids[2 * MADE][REQUEST_ID_MADE_LEN];
    struct request_id_source first, second;

    (void)state;
    assert_int_equal(request_id_source_init(&first), 0);
    assert_int_equal(request_id_source_init(&second), 0);
    assert_memory_not_equal(first.prefix, second.prefix, sizeof(first.prefix));
    for (size_t i = 0; i < 2 * MADE; i += 2) {
        request_id_make(&first, ids[i]);
        request_id_make(&second, ids[i + 1]);
    }
    for (size_t i = 0; i < 2 * MADE; ++i)
        for (size_t j = 0; j < i; ++j)
            if (memcmp(ids[i], ids[j], REQUEST_ID_MADE_LEN) == 0)
                fail_msg("the ids %zu and %zu are equal", i, j);
}

/* The counter's carry reaches its highest digit. */
static void test_counter_carries(void **state)
{
    struct request_id_source source = {.next = UINT64_MAX - 1};
    char id[REQUEST_ID_MADE_LEN];

    (void)state;
    memset(source.prefix, 'a', sizeof(source.prefix));
    request_id_make(&source, id);
    assert_memory_equal(id, "aaaaaaaaaaaaaaaafffffffffffffffe", REQUEST_ID_MADE_LEN);
    request_id_make(&source, id);
    assert_memory_equal(id, "aaaaaaaaaaaaaaaaffffffffffffffff", REQUEST_ID_MADE_LEN);
    source.next = 0x0123456789abcdef;
    request_id_make(&source, id);
    assert_memory_equal(id, "aaaaaaaaaaaaaaaa0123456789abcdef", REQUEST_ID_MADE_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_of_a_sane_id), cmocka_unit_test(test_bytes_of_a_sane_id),
        cmocka_unit_test(test_form_of_a_made_id),   cmocka_unit_test(test_made_ids_are_unique),
        cmocka_unit_test(test_counter_carries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
