/* The rules of an event's entries: a right event has no difference, and each fault is told once, in
 * its place. */
#include "memory_entries.h"

#include <errno.h>

#define KEY(first)                                                                                 \
    {                                                                                              \
        .bytes = {(first) }                                                                        \
    }

/* 100 put in; 2 sold; a duplicate of that, returned; a void of 1, still owed; 10 put in. */
static const struct ledger_entry right[] = {
    {.sequence = 0, .kind = LEDGER_RESTOCK, .quantity = -100, .available = 100, .time_us = 10},
    {.sequence = 1,
     .kind = LEDGER_SALE,
     .quantity = 2,
     .available = 98,
     .time_us = 11,
     .key = KEY(1)},
    {.sequence = 2,
     .kind = LEDGER_DUPLICATE,
     .quantity = 2,
     .available = 96,
     .time_us = 11,
     .origin = 1,
     .key = KEY(1)},
    {.sequence = 3, .kind = LEDGER_VOID, .quantity = 1, .available = 95, .time_us = 12},
    {.sequence = 4, .kind = LEDGER_RETURN, .quantity = -2, .available = 97, .time_us = 13},
    {.sequence = 5, .kind = LEDGER_RESTOCK, .quantity = -10, .available = 107, .time_us = 14},
};
enum { COUNT = sizeof(right) / sizeof(right[0]) };

static const struct ledger_event totals = {
    .id = "default", .next_sequence = 6, .available = 107, .capacity = 110, .owed = 1};
static const struct control_event served = {.capacity = 110,
                                            .available = 107,
                                            .sequence = 6,
                                            .published_sequence = 6,
                                            .published_available = 107};

/* What there is to say about these entries, totals and (if given) server. */
static void expect(const struct ledger_entry *entries, size_t count,
                   const struct ledger_event *event, const struct control_event *published,
                   const char *expected)
{
    struct ledger ledger = {.entries = entries, .count = count};
    struct audit audit;
    struct told told;

    told_init(&told);
    audit_begin(&audit, event, published, &memory_ops, &ledger, &told.sink);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(audit_entry(&audit, &entries[i]), 0);
    audit_end(&audit);
    assert_string_equal(told.text, expected);
}

/* One entry of the right ones replaced. */
static void expect_with(const struct ledger_entry *entry, const char *expected)
{
    struct ledger_entry entries[COUNT];

    memcpy(entries, right, sizeof(right));
    entries[entry->sequence] = *entry;
    expect(entries, COUNT, &totals, NULL, expected);
}

/* Nothing is told of an event that keeps every rule, with and without a server. */
static void test_right(void **state)
{
    (void)state;
    expect(right, COUNT, &totals, NULL, "");
    expect(right, COUNT, &totals, &served, "");
}

/* A missing entry is a gap; the rest is judged from behind it. */
static void test_missing_entry(void **state)
{
    struct ledger_entry entries[COUNT - 1];

    (void)state;
    memcpy(entries, right, 3 * sizeof(right[0]));
    memcpy(entries + 3, right + 4, 2 * sizeof(right[0]));
    expect(entries, COUNT - 1, &totals, NULL,
           "4 sequence: 4, 3\n4 available: 97, 98\n- capacity: 110, 109\n"
           "- owed in the table of events: 1, 0\n");
    expect(right, COUNT - 1, &totals, NULL,
           "- entries in the table of events: 6, 5\n"
           "- capacity in the table of events: 110, 100\n"
           "- available in the table of events: 107, 97\n");
}

/* A wrong balance differs from the entry before and makes the next one differ, and that is all. */
static void test_wrong_available(void **state)
{
    struct ledger_entry entry = right[3];

    (void)state;
    entry.available = 94;
    expect_with(&entry, "3 available: 94, 95\n4 available: 97, 96\n");
    entry.available = UINT32_MAX;
    expect_with(&entry, "3 available: 4294967295, 95\n"
                        "3 available: 4294967295, at most 2147483647\n"
                        "4 available: 97, 4294967297\n");
}

/* A kind has its sign, and returns never give more than is owed. */
static void test_kinds(void **state)
{
    struct ledger_entry entry = right[3];

    (void)state;
    entry.kind = 9;
    expect_with(&entry, "3 kind: 9, one of 1 to 5\n- capacity: 110, 109\n"
                        "- owed in the table of events: 1, 0\n");
    entry.kind = LEDGER_RETURN;
    expect_with(&entry, "3 quantity: 1, at most 0\n");
    entry = right[2];
    entry.kind = LEDGER_SALE;
    expect_with(&entry, "4 owed: -1, at least 0\n- owed in the table of events: 1, -1\n"
                        "- sold in the table of events: 2, 4\n");
}

/* Time stands still at most. */
static void test_time(void **state)
{
    struct ledger_entry entry = right[4];

    (void)state;
    entry.time_us = 11;
    expect_with(&entry, "4 time_us: 11, at least 12\n");
}

/* A duplicate's origin is a sale, there, earlier, and of the same key. */
static void test_origin(void **state)
{
    static const struct {
        uint64_t origin;
        struct ledger_key key;
        const char *expected;
    } cases[] = {
        {0, KEY(1), "2 origin: 0, an earlier sale with the same key\n"},
        {2, KEY(1), "2 origin: 2, an earlier sale with the same key\n"},
        {99, KEY(1), "2 origin: 99, an earlier sale with the same key\n"},
        {1, KEY(2), "2 origin: 1, an earlier sale with the same key\n"},
        {1, KEY(0), "2 origin: 1, an earlier sale with the same key\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ledger_entry entry = right[2];

        entry.origin = cases[i].origin;
        entry.key = cases[i].key;
        expect_with(&entry, cases[i].expected);
    }
}

/* Each of the totals is compared. */
static void test_totals(void **state)
{
    struct ledger_event event = totals;

    (void)state;
    event.available = 106;
    event.owed = 2;
    expect(right, COUNT, &event, NULL,
           "- available in the table of events: 106, 107\n"
           "- owed in the table of events: 2, 1\n");
    event = totals;
    event.capacity = 111;
    expect(right, COUNT, &event, NULL,
           "- capacity in the table of events: 111, 110\n"
           "- sold in the table of events: 3, 2\n");
}

/* The server is compared as of what it has published, wherever the ledger is by now. */
static void test_server(void **state)
{
    struct control_event published = {.capacity = 100,
                                      .available = 90,
                                      .sequence = 4,
                                      .published_sequence = 2,
                                      .published_available = 98};

    (void)state;
    expect(right, COUNT, &totals, &published, "");
    published.capacity = 110; /* it has heard of the restock that it has not published */
    expect(right, COUNT, &totals, &published, "");
    published.capacity = 111;
    expect(right, COUNT, &totals, &published, "- server's capacity: 111, at most 110\n");
    published.capacity = 99;
    expect(right, COUNT, &totals, &published, "- server's capacity: 99, at least 100\n");
    published.capacity = 100;
    published.published_available = 97;
    expect(right, COUNT, &totals, &published, "1 server's published available: 97, 98\n");
    published = served;
    published.available = 108;
    expect(right, COUNT, &totals, &published, "5 server's available: 108, 107\n");
    published = served;
    published.published_sequence = published.sequence = 7;
    expect(right, COUNT, &totals, &published,
           "- server's published sequence: 7, at most the ledger's 6\n");
}

/* A ledger that cannot be read is no difference but a fault. */
static void test_fault(void **state)
{
    struct ledger ledger = {.entries = right, .count = COUNT, .fault = -EIO};
    struct audit audit;
    struct told told;

    (void)state;
    told_init(&told);
    audit_begin(&audit, &totals, NULL, &memory_ops, &ledger, &told.sink);
    assert_int_equal(audit_entry(&audit, &right[0]), 0);
    assert_int_equal(audit_entry(&audit, &right[1]), 0);
    assert_int_equal(audit_entry(&audit, &right[2]), -EIO);
    assert_int_equal(told.sink.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_missing_entry),
        cmocka_unit_test(test_wrong_available),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
