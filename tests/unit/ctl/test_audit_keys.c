/* Keys that were sold twice are found with any limit of memory, and only those. */
#include "memory_entries.h"

#include <errno.h>

#include "ctl/audit_keys.h"

enum { TTL_S = 1, TTL_US = TTL_S * 1000000, MANY = 300 };

static struct ledger_entry keyed(uint64_t sequence, uint32_t key, int64_t time_us)
{
    struct ledger_entry entry = {
        .sequence = sequence, .kind = LEDGER_SALE, .quantity = 1, .time_us = time_us};

    if (key != 0)
        entry.key.bytes[0] = 1;                                  /* a client's */
    memcpy(entry.key.bytes + KEY_KIND_BYTES, &key, sizeof(key)); /* what slices go by */
    memcpy(entry.key.bytes + 8, &key, sizeof(key));
    return entry;
}

/* Judges the entries with so much room; what is told stays in *told. */
static int judge(struct ledger *ledger, size_t limit, const struct ledger_key_clock *clock,
                 struct told *told)
{
    const struct ledger_event event = {.id = "default", .next_sequence = ledger->count};
    const struct audit_keys_judge judge = {.told = &event,
                                           .clock = clock,
                                           .ttl_s = TTL_S,
                                           .ops = &memory_ops,
                                           .ledger = ledger,
                                           .sink = &told->sink};
    struct audit_keys keys;
    int result = 0;

    told_init(told);
    audit_keys_begin(&keys, limit);
    for (size_t i = 0; i < ledger->count && result == 0; i++)
        result = audit_keys_entry(&keys, &ledger->entries[i]);
    if (result == 0)
        result = audit_keys_end(&keys, &judge);
    audit_keys_free(&keys);
    return result;
}

/* Two pairs among many are found whether all keys fit at once or in forty slices. */
static void test_sold_twice(void **state)
{
    static const size_t limits[] = {AUDIT_KEYS_A_PASS, MANY, MANY - 1, 50, 7};
    static struct ledger_key_clock clock = {.newest_us = MANY};
    struct ledger_entry entries[MANY];
    struct ledger ledger = {.entries = entries, .count = MANY};
    struct told told;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        entries[i] = keyed(i, i + 1, i);
    entries[200] = keyed(200, 11, 200);
    entries[250] = keyed(250, 1, 250);
    entries[100] = keyed(100, 1, 100);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        assert_int_equal(judge(&ledger, limits[i], &clock, &told), 0);
        assert_int_equal(told.sink.count, 3);
        assert_non_null(strstr(told.text, "200 key: that of the sale 10, sold once\n"));
        assert_non_null(strstr(told.text, "100 key: that of the sale 0, sold once\n"));
        assert_non_null(strstr(told.text, "250 key: that of the sale 100, sold once\n"));
    }
}

/* When all keys differ, one walk is all that it takes. */
static void test_no_second_walk(void **state)
{
    static struct ledger_key_clock clock = {.newest_us = MANY};
    struct ledger_entry entries[MANY];
    struct ledger ledger = {.entries = entries, .count = MANY};
    struct told told;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        entries[i] = keyed(i, i + 1, i);
    assert_int_equal(judge(&ledger, MANY, &clock, &told), 0);
    assert_int_equal(told.sink.count, 0);
    assert_int_equal(ledger.walks, 0);
}

/* Sales without a key, duplicates, and keys of which only one half is the same are no repetition.
 */
static void test_others_do_not_count(void **state)
{
    static struct ledger_key_clock clock = {.newest_us = 10};
    struct ledger_entry entries[] = {keyed(0, 0, 0), keyed(1, 0, 1), keyed(2, 5, 2),
                                     keyed(3, 5, 3), keyed(4, 6, 4), keyed(5, 6, 5)};
    struct ledger ledger = {.entries = entries, .count = 6};
    struct told told;

    (void)state;
    entries[3].kind = LEDGER_DUPLICATE;
    entries[5].key.bytes[15] = 1;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "");
}

/* A key may be sold again when it has been forgotten, and a clock that was set does not age it. */
static void test_forgotten_keys(void **state)
{
    static struct ledger_key_clock clock = {.newest_us = 5 * TTL_US};
    struct ledger_entry entries[] = {keyed(0, 5, 0), keyed(1, 5, TTL_US)};
    struct ledger ledger = {.entries = entries, .count = 2};
    struct told told;

    (void)state;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "");
    entries[1].time_us = TTL_US - 1;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "1 key: that of the sale 0, sold once\n");
    entries[1].time_us = 4 * TTL_US;
    clock.count = 1;
    clock.steps[0].time_us = 4 * TTL_US - TTL_US / 2;
    clock.steps[0].step_us = 4 * TTL_US - TTL_US / 2 - TTL_US / 10;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "1 key: that of the sale 0, sold once\n");
}

/* A transient key may be sold again after its own time, whatever the setting says for others. */
static void test_transient_keys(void **state)
{
    const int64_t ttl_us = KEY_TRANSIENT_TTL_S * INT64_C(1000000);
    static struct ledger_key_clock clock;
    struct ledger_entry entries[] = {keyed(0, 5, 0), keyed(1, 5, ttl_us - 1)};
    struct ledger ledger = {.entries = entries, .count = 2};
    struct told told;

    (void)state;
    clock.newest_us = ttl_us;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "");
    entries[0].key.bytes[0] = entries[1].key.bytes[0] = 0;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "1 key: that of the sale 0, sold once\n");
    entries[1].time_us = ttl_us;
    assert_int_equal(judge(&ledger, 100, &clock, &told), 0);
    assert_string_equal(told.text, "");
}

/* A ledger that cannot be read again is a fault. */
static void test_fault(void **state)
{
    static struct ledger_key_clock clock = {.newest_us = 10};
    struct ledger_entry entries[] = {keyed(0, 5, 0), keyed(1, 5, 1)};
    struct ledger ledger = {.entries = entries, .count = 2, .fault = -EIO};
    struct told told;

    (void)state;
    assert_int_equal(judge(&ledger, 100, &clock, &told), -EIO);
    assert_int_equal(judge(&ledger, 1, &clock, &told), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sold_twice),          cmocka_unit_test(test_no_second_walk),
        cmocka_unit_test(test_others_do_not_count), cmocka_unit_test(test_forgotten_keys),
        cmocka_unit_test(test_transient_keys),      cmocka_unit_test(test_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
