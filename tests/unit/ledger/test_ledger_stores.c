/* What every store does, held against each of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../crash/cmocka_first.h"

#include "../../crash/scratch.h"
#include "mixed.h"
#include "ticketd/ledger.h"

/* A store with a place of its own, locked for the test. */
struct store {
    const struct ledger_ops *ops;
    struct scratch scratch;
    const char *location;
    int hold_fd;
    bool keeps_keys;
};

static int set_up(void **state, const struct ledger_ops *ops)
{
    struct store *store = calloc(1, sizeof(*store));
    char error[512] = "";

    assert_non_null(store);
    scratch_make(&store->scratch);
    store->ops = ops;
    store->keeps_keys = ops == &ledger_sqlite_ops;
    store->location = store->keeps_keys ? store->scratch.ledger : "";
    if (ops->lock(&store->hold_fd, store->location, 0, error, sizeof(error)) != 0)
        fail_msg("lock: %s", error);
    *state = store;
    return 0;
}

static int set_up_sqlite(void **state)
{
    return set_up(state, &ledger_sqlite_ops);
}

static int set_up_memory(void **state)
{
    return set_up(state, &ledger_memory_ops);
}

static int tear_down(void **state)
{
    struct store *store = *state;

    (void)close(store->hold_fd);
    scratch_remove(&store->scratch);
    free(store);
    return 0;
}

static struct ledger *open_store(const struct store *store)
{
    struct ledger *ledger = NULL;
    char error[512] = "";

    if (store->ops->open(&ledger, store->location, store->hold_fd, error, sizeof(error)) != 0)
        fail_msg("open: %s", error);
    return ledger;
}

static struct ledger *open_reader(const struct store *store)
{
    struct ledger *ledger = NULL;
    char error[512] = "";

    if (store->ops->open_reader(&ledger, store->location, store->hold_fd, error, sizeof(error)) !=
        0)
        fail_msg("open for reading: %s", error);
    return ledger;
}

struct told_events {
    struct ledger_event events[4];
    unsigned count;
};

static int on_event(void *context, const struct ledger_event *event)
{
    struct told_events *told = context;

    assert_true(told->count < 4);
    told->events[told->count++] = *event;
    return 0;
}

static void check_entry(const struct store *store, struct ledger *ledger,
                        const struct ledger_entry *expected)
{
    struct ledger_entry entry;

    assert_int_equal(store->ops->find(ledger, expected->event, expected->sequence, &entry), 0);
    assert_int_equal(entry.event, expected->event);
    assert_int_equal(entry.sequence, expected->sequence);
    assert_int_equal(entry.kind, expected->kind);
    assert_int_equal(entry.quantity, expected->quantity);
    assert_int_equal(entry.available, expected->available);
    assert_int_equal(entry.token, expected->token);
    assert_int_equal(entry.origin, expected->origin);
    assert_int_equal(entry.time_us, expected->time_us);
    if (store->keeps_keys)
        assert_memory_equal(&entry.key, &expected->key, sizeof(entry.key));
}

/* What was appended is found and told at the next start, exactly. */
static void test_round_trip(void **state)
{
    const struct store *store = *state;
    const struct ledger_ops *ops = store->ops;
    struct ledger *ledger = open_store(store);
    struct told_events told = {0};
    struct ledger_entry entry;

    fill_mixed(ops, ledger);
    ops->close(ledger);
    ledger = open_store(store);
    assert_int_equal(ops->each_event(ledger, on_event, &told), 0);
    assert_int_equal(told.count, 2);
    assert_string_equal(told.events[0].id, "default");
    assert_int_equal(told.events[0].next_sequence, 6);
    assert_int_equal(told.events[0].available, 96);
    assert_int_equal(told.events[0].capacity, 100);
    assert_int_equal(told.events[0].owed, 1);
    assert_int_equal(told.events[0].time_us, 5000000);
    assert_string_equal(told.events[1].id, "concert");
    assert_int_equal(told.events[1].event, 1);
    assert_int_equal(told.events[1].capacity, 15);
    assert_int_equal(told.events[1].next_sequence, 3);
    for (size_t i = 0; i < MIXED_COUNT; i++)
        check_entry(store, ledger, &mixed[i]);
    assert_int_equal(ops->find(ledger, 0, 6, &entry), LEDGER_NOT_FOUND);
    assert_int_equal(ops->find(ledger, 2, 0, &entry), LEDGER_NOT_FOUND);
    assert_int_equal(ops->find(ledger, UINT32_MAX, UINT64_MAX, &entry), LEDGER_NOT_FOUND);
    ops->close(ledger);
}

/* A batch that does not follow from what is there is refused whole, and the next one is taken. */
static void test_continuity(void **state)
{
    const struct store *store = *state;
    const struct ledger_ops *ops = store->ops;
    struct ledger *ledger = open_store(store);
    const struct ledger_entry good = sale(1, 9, 2);
    struct ledger_entry wrong[2] = {good, sale(3, 8, 2)};
    struct ledger_entry entry;

    assert_int_equal(ops->create_event(ledger, "default", 10, 1), 0);
    assert_int_equal(ops->create_event(ledger, "default", 10, 1), -EEXIST);
    assert_int_equal(ops->append(ledger, wrong, 2), -EINVAL); /* a gap */
    assert_non_null(strstr(ops->error(ledger), "entry 3 of event 0"));
    wrong[1] = sale(2, 7, 2);
    assert_int_equal(ops->append(ledger, wrong, 2), -EINVAL); /* a ticket lost */
    wrong[1] = sale(2, 8, 2);
    wrong[1].event = 1;
    assert_int_equal(ops->append(ledger, wrong, 2), -EINVAL); /* no such event */
    wrong[1].event = 0;
    wrong[1].kind = 6;
    assert_int_equal(ops->append(ledger, wrong, 2), -EINVAL); /* no such kind */
    wrong[1].kind = LEDGER_RETURN;
    assert_int_equal(ops->append(ledger, wrong, 2), -EINVAL); /* a return that takes */
    assert_int_equal(ops->find(ledger, 0, 1, &entry), LEDGER_NOT_FOUND);
    assert_int_equal(ops->append(ledger, &good, 1), 0);
    assert_int_equal(ops->append(ledger, &good, 1), -EINVAL); /* twice */
    assert_int_equal(ops->append(ledger, &good, 0), 0);
    check_entry(store, ledger, &good);
    ops->close(ledger);
}

/* A reader beside the writer sees each batch once it is there, events made after it came too. */
static void test_reader(void **state)
{
    const struct store *store = *state;
    const struct ledger_ops *ops = store->ops;
    struct ledger *ledger = open_store(store), *reader = open_reader(store);
    struct ledger_entry entry = sale(1, 9, 2), found;
    struct told_events told = {0};

    assert_int_equal(ops->create_event(ledger, "default", 10, 1), 0);
    assert_int_equal(ops->find(reader, 0, 1, &found), LEDGER_NOT_FOUND);
    assert_int_equal(ops->append(ledger, &entry, 1), 0);
    check_entry(store, reader, &entry);
    assert_int_equal(ops->create_event(ledger, "concert", 5, 3), 0);
    assert_int_equal(ops->each_event(reader, on_event, &told), 0);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.events[0].available, 9);
    assert_int_equal(told.events[1].available, 5);
    assert_int_equal(ops->tidy(ledger), 0);
    ops->close(ledger);
    check_entry(store, reader, &entry);
    ops->close(reader);
    ops->close(NULL);
}

struct told_entries {
    uint64_t first, count, stop_at;
    bool ordered;
};

static int on_entry(void *context, const struct ledger_entry *entry)
{
    struct told_entries *told = context;

    if (told->count == 0)
        told->first = entry->sequence;
    told->ordered = told->ordered && entry->sequence == told->first + told->count;
    told->count++;
    return told->count == told->stop_at ? 42 : 0;
}

static void expect_entries(const struct store *store, struct ledger *ledger, const uint64_t span[2],
                           uint64_t first, uint64_t count)
{
    struct told_entries told = {.ordered = true};

    assert_int_equal(store->ops->each_entry(ledger, 0, span[0], span[1], on_entry, &told), 0);
    assert_int_equal(told.first, first);
    assert_int_equal(told.count, count);
    assert_true(told.ordered);
}

/* A stretch of an event's entries is told once each, in order, without the next event's, however
 * many looks that takes; the listener may stop it. */
static void test_each_entry(void **state)
{
    enum {
        SALES = 9000,
    };
    const struct store *store = *state;
    const struct ledger_ops *ops = store->ops;
    struct ledger *ledger = open_store(store), *reader = open_reader(store);
    struct ledger_entry *entries = calloc(SALES, sizeof(*entries));
    struct told_entries told = {.ordered = true, .stop_at = 5000};

    assert_non_null(entries);
    for (uint32_t i = 0; i < SALES; i++)
        entries[i] = sale(i + 1, SALES - 1 - i, i + 2);
    assert_int_equal(ops->create_event(ledger, "default", SALES, 1), 0);
    assert_int_equal(ops->create_event(ledger, "concert", 5, 1), 0);
    assert_int_equal(ops->append(ledger, entries, SALES), 0);
    expect_entries(store, reader, (uint64_t[]){0, UINT64_MAX}, 0, SALES + 1);
    expect_entries(store, reader, (uint64_t[]){17, 17 + 4096}, 17, 4096);
    expect_entries(store, reader, (uint64_t[]){SALES, SALES + 9}, SALES, 1);
    expect_entries(store, reader, (uint64_t[]){17, 17}, 0, 0);
    expect_entries(store, reader, (uint64_t[]){18, 17}, 0, 0);
    expect_entries(store, reader, (uint64_t[]){UINT64_MAX, UINT64_MAX}, 0, 0);
    assert_int_equal(ops->each_entry(reader, 0, 1, SALES, on_entry, &told), 42);
    assert_int_equal(told.count, 5000);
    assert_int_equal(ops->each_entry(reader, 2, 0, 9, on_entry, &told), 0);
    assert_int_equal(ops->each_entry(reader, UINT32_MAX, 0, 9, on_entry, &told), 0);
    assert_int_equal(told.count, 5000);
    ops->close(reader);
    ops->close(ledger);
    free(entries);
}

int main(void)
{
#define CASE(test)                                                                                 \
    {#test ", sqlite", test, set_up_sqlite, tear_down, NULL},                                      \
    {                                                                                              \
#test ", memory", test, set_up_memory, tear_down, NULL                                     \
    }
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),
        CASE(test_continuity),
        CASE(test_reader),
        CASE(test_each_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
