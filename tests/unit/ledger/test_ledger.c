/* What a ledger in a file gives back: keys to start-up, rows to an operator, and how its log grows.
 * What every store does is in test_ledger_stores.c. */
#include "fixture.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "ledger/sqlite_checkpoint.h"
#include "mixed.h"
#include "ticketd/order_id.h"

struct seen {
    struct ledger_keyed_sale sales[8];
    unsigned sale_count;
};

static int on_event(void *context, const struct ledger_event *event)
{
    struct ledger_event *last = context;

    *last = *event;
    return 0;
}

static int on_sale(void *context, const struct ledger_keyed_sale *found)
{
    struct seen *seen = context;

    assert_true(seen->sale_count < 8);
    seen->sales[seen->sale_count++] = *found;
    return 0;
}

static int refuse_sale(void *context, const struct ledger_keyed_sale *found)
{
    (void)context;
    (void)found;
    return 42;
}

static struct ledger *open_mixed(const char *path)
{
    struct ledger *ledger = must_open(path);

    fill_mixed(ops, ledger);
    return ledger;
}

/* Start-up hears of keyed sales alone, from the asked moment on, and may stop. */
static void test_keys(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger *ledger = open_mixed(scratch->ledger);
    struct seen seen = {0};

    assert_int_equal(ops->each_key(ledger, 0, on_sale, &seen), 0);
    assert_int_equal(seen.sale_count, 2);
    assert_int_equal(seen.sales[0].sequence, 1);
    assert_int_equal(seen.sales[0].token, UINT64_MAX);
    assert_int_equal(seen.sales[0].quantity, 2);
    assert_int_equal(seen.sales[0].available, 98);
    assert_int_equal(seen.sales[0].time_us, 1000000);
    assert_memory_equal(&seen.sales[0].key, &mixed[0].key, sizeof(mixed[0].key));
    assert_int_equal(seen.sales[1].sequence, 5);

    seen.sale_count = 0;
    assert_int_equal(ops->each_key(ledger, 1000001, on_sale, &seen), 0);
    assert_int_equal(seen.sale_count, 1);
    seen.sale_count = 0;
    assert_int_equal(ops->each_key(ledger, 5000001, on_sale, &seen), 0);
    assert_int_equal(seen.sale_count, 0);
    assert_int_equal(ops->each_key(ledger, INT64_MIN, refuse_sale, &seen), 42);
    ops->close(ledger);
}

/* An operator with the sqlite3 shell reads words, the API's order ids, and balances. */
static void test_views(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger *ledger = open_mixed(scratch->ledger);
    char text[ORDER_ID_LEN + 1];
    struct order_id id = {.event = 0, .sequence = 1, .token = UINT64_MAX};

    order_id_format(&id, text);
    expect_sql(scratch->ledger, "SELECT order_id FROM orders WHERE sequence = 1 AND key NOT NULL",
               text);
    id = (struct order_id){.event = 1, .sequence = 1, .token = 7};
    order_id_format(&id, text);
    expect_sql(scratch->ledger, "SELECT order_id FROM orders WHERE event = 'concert'", text);
    expect_sql(scratch->ledger, "SELECT count(*) FROM orders", "3");
    expect_sql(scratch->ledger, "SELECT time FROM orders WHERE event = 'concert'",
               "1970-01-01T00:00:02.500000Z");
    expect_sql(scratch->ledger,
               "SELECT group_concat(kind) FROM journal WHERE event = 'default' ORDER BY n",
               "restock,sale,duplicate,void,return,sale");
    expect_sql(scratch->ledger, "SELECT key FROM journal WHERE n = 2",
               "abcd0000000000000000000000000000");
    expect_sql(scratch->ledger,
               "SELECT concat_all FROM (SELECT event || ' ' || entries || ' ' || capacity || ' ' ||"
               " available || ' ' || sold || ' ' || owed || ' ' || continuous || balanced"
               " AS concat_all FROM balances WHERE event = 'default')",
               "default 6 100 96 3 1 11");
    expect_sql(scratch->ledger, "SELECT sum(continuous + balanced) FROM balances", "4");
    expect_sql(scratch->ledger, "SELECT event || ':' || sequence FROM entries WHERE kind = 4",
               "0:4");
    ops->close(ledger);
    sql(scratch->ledger, "DELETE FROM entries WHERE id = 3", NULL, 0);
    expect_sql(scratch->ledger, "SELECT continuous + balanced FROM balances", "2");
    expect_sql(scratch->ledger, "SELECT continuous FROM balances WHERE event = 'default'", "0");
    expect_sql(scratch->ledger, "SELECT balanced FROM balances WHERE event = 'default'", "0");
}

/* Sequences go past 32 bits, up to what an order's id can hold and no further. */
static void test_long_sequences(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger *ledger = must_open(scratch->ledger);
    struct ledger_entry entries[2];
    struct ledger_event told = {0};
    struct ledger_entry found;
    struct order_id id;
    char text[ORDER_ID_LEN + 1];

    assert_int_equal(ops->create_event(ledger, "default", 100, 1), 0);
    ops->close(ledger);
    sql(scratch->ledger,
        "UPDATE entries SET id = 4294967294 WHERE id = 0; UPDATE events SET entries = 4294967295",
        NULL, 0);
    ledger = must_open(scratch->ledger);
    entries[0] = sale(UINT64_C(4294967295), 99, 2);
    entries[1] = sale(UINT64_C(4294967296), 98, 3);
    assert_int_equal(ops->append(ledger, entries, 2), 0);
    assert_int_equal(ops->find(ledger, 0, entries[1].sequence, &found), 0);
    assert_int_equal(found.token, entries[1].token);
    ops->close(ledger);

    sql(scratch->ledger,
        "UPDATE entries SET id = 4398046511102 WHERE id = 4294967296;"
        "UPDATE events SET entries = 4398046511103",
        NULL, 0);
    ledger = must_open(scratch->ledger);
    entries[0] = sale(LEDGER_SEQUENCE_MAX, 97, 4);
    entries[1] = sale(LEDGER_SEQUENCE_MAX + 1, 96, 5);
    assert_int_equal(ops->append(ledger, entries, 2), -EINVAL);
    assert_int_equal(ops->append(ledger, entries, 1), 0);
    assert_int_equal(ops->each_event(ledger, on_event, &told), 0);
    assert_int_equal(told.next_sequence, LEDGER_SEQUENCE_MAX + 1);
    ops->close(ledger);
    id = (struct order_id){.sequence = LEDGER_SEQUENCE_MAX, .token = entries[0].token};
    order_id_format(&id, text);
    expect_sql(scratch->ledger, "SELECT order_id FROM orders ORDER BY sequence DESC LIMIT 1", text);
}

/* A reader makes no ledger where there is none; the message names the place. */
static void test_reader_makes_nothing(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger *reader = NULL;
    char error[512] = "";

    assert_int_equal(ops->open_reader(&reader, scratch->ledger, -1, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, scratch->ledger));
    assert_int_not_equal(access(scratch->ledger, F_OK), 0);
}

/* Appending without a pause does not let the log grow without a bound. */
static void test_log_is_bounded(void **state)
{
    enum {
        BATCH = 64,
        BATCHES = 5000,
    };
    const struct scratch *scratch = *state;
    struct ledger *ledger = must_open(scratch->ledger);
    struct ledger_entry entries[BATCH];
    uint64_t sequence = 1;
    uint32_t available = 1000000;
    off_t largest = 0;
    char log[128];

    (void)snprintf(log, sizeof(log), "%s-wal", scratch->ledger);
    assert_int_equal(ops->create_event(ledger, "default", available, 1), 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct stat status;

        for (unsigned j = 0; j < BATCH; j++, sequence++)
            entries[j] = sale(sequence, --available, (int64_t)sequence);
        assert_int_equal(ops->append(ledger, entries, BATCH), 0);
        assert_int_equal(stat(log, &status), 0);
        if (status.st_size > largest)
            largest = status.st_size;
    }
    ops->close(ledger);
    print_message("# the log had up to %lld KiB\n", (long long)largest / 1024);
    assert_true(largest <= (CHECKPOINT_LIMIT + CHECKPOINT_STEP) * 4120LL);
    expect_sql(scratch->ledger, "SELECT entries FROM balances WHERE continuous AND balanced",
               "320001");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_keys),           CASE(test_views),
        CASE(test_long_sequences), CASE(test_reader_makes_nothing),
        CASE(test_log_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
