/* util/key_hash.h: keys of both kinds, told apart by what is kept of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "util/key_hash.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct key_hasher *hasher;

static int group_set_up(void **state)
{
    (void)state;
    hasher = key_hasher_new();
    return hasher == NULL ? -1 : 0;
}

static int group_tear_down(void **state)
{
    (void)state;
    key_hasher_free(hasher);
    return 0;
}

static struct ledger_key hash(const char *text)
{
    struct ledger_key key;

    key_hash(hasher, (struct text){.base = text, .len = strlen(text)}, &key);
    return key;
}

/* A client's key is the hash as the standard has it (FIPS 180-4's example "abc"), cut. */
static void test_key_of_a_client(void **state)
{
    static const struct ledger_key abc = {{0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41,
                                           0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23}};
    struct ledger_key key = hash("abc");

    (void)state;
    assert_true(ledger_key_equal(&key, &abc));
    assert_false(ledger_key_is_transient(&key));
    assert_int_equal(ledger_key_ttl_s(&key, 4711), 4711);
}

/* The prefix alone decides, in its own case and at the beginning. */
static void test_kind(void **state)
{
    static const struct {
        const char *text;
        bool transient;
    } cases[] = {
        {KEY_TRANSIENT_PREFIX, true},
        {KEY_TRANSIENT_PREFIX "x", true},
        {"ticketd", false},
        {"ticketdx", false},
        {"Ticketd.x", false},
        {"xticketd.", false},
        {"t", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        struct ledger_key key = hash(cases[i].text);
        assert_false(ledger_key_is_none(&key));
        assert_int_equal(ledger_key_is_transient(&key), cases[i].transient);
        assert_int_equal(ledger_key_ttl_s(&key, 4711),
                         cases[i].transient ? KEY_TRANSIENT_TTL_S : 4711);
    }
}

/* Transient keys differ from each other in what their mark leaves of the hash. */
static void test_transient_keys_differ(void **state)
{
    enum { MANY = 200 };
    struct ledger_key keys[MANY];

    (void)state;
    for (int i = 0; i < MANY; ++i) {
        char text[32];
        (void)snprintf(text, sizeof(text), KEY_TRANSIENT_PREFIX "%d", i);
        keys[i] = hash(text);
        for (int j = 0; j < i; ++j)
            assert_false(ledger_key_equal(&keys[i], &keys[j]));
    }
}

/* A client's key whose hash begins like a transient one becomes none; no other byte changes, and no
 * byte at all of a hash that begins otherwise, however little. */
static void test_hash_that_begins_with_zeros(void **state)
{
    struct ledger_key key = {{0, 0, 0, 0, 9, 8}};

    (void)state;
    key_mark(TEXT("abc"), &key);
    assert_memory_equal(key.bytes, ((uint8_t[16]){1, 0, 0, 0, 9, 8}), 16);
    for (int i = 0; i < KEY_KIND_BYTES; ++i) {
        struct ledger_key other = {{0}}, marked;
        other.bytes[i] = 7;
        marked = other;
        key_mark(TEXT("abc"), &marked);
        assert_true(ledger_key_equal(&marked, &other));
    }
}

/* A hash of which the mark leaves only zeros is still a key. */
static void test_hash_of_zeros(void **state)
{
    struct ledger_key key = {{1, 2, 3, 4}};

    (void)state;
    key_mark(TEXT(KEY_TRANSIENT_PREFIX "x"), &key);
    assert_true(ledger_key_is_transient(&key));
    assert_false(ledger_key_is_none(&key));
    key = (struct ledger_key){{0}};
    key_mark(TEXT("abc"), &key);
    assert_false(ledger_key_is_transient(&key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_of_a_client),
        cmocka_unit_test(test_kind),
        cmocka_unit_test(test_transient_keys_differ),
        cmocka_unit_test(test_hash_that_begins_with_zeros),
        cmocka_unit_test(test_hash_of_zeros),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
