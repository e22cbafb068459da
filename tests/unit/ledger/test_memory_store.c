/* The ledger in memory: what it forgets, what outlives a keeper, and that it is the tree's alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../crash/cmocka_first.h"

#include "ledger/memory_layout.h"
#include "mixed.h"
#include "ticketd/ledger.h"

static const struct ledger_ops *const ops = &ledger_memory_ops;

static int take(void)
{
    char error[512] = "";
    int fd = -1;

    if (ops->lock(&fd, "", 0, error, sizeof(error)) != 0)
        fail_msg("lock: %s", error);
    return fd;
}

static struct ledger *must_open(int fd)
{
    struct ledger *ledger = NULL;
    char error[512] = "";

    if (ops->open(&ledger, "", fd, error, sizeof(error)) != 0)
        fail_msg("open: %s", error);
    return ledger;
}

struct span {
    uint64_t first, count;
};

static int on_entry(void *context, const struct ledger_entry *entry)
{
    struct span *span = context;

    if (span->count++ == 0)
        span->first = entry->sequence;
    assert_int_equal(entry->sequence, span->first + span->count - 1);
    assert_int_equal(entry->token, sale(entry->sequence, 0, 0).token);
    return 0;
}

static int on_event(void *context, const struct ledger_event *event)
{
    *(struct ledger_event *)context = *event;
    return 0;
}

/* The newest MEMORY_ENTRIES_MAX entries are told and found, the ones before are not; the totals
 * are those of all. */
static void test_oldest_go(void **state)
{
    enum {
        BATCH = 4096,
        EXTRA = 5000,
    };
    const uint64_t end = MEMORY_ENTRIES_MAX + EXTRA;
    struct ledger_entry entries[BATCH], found;
    struct ledger_event told;
    struct span span = {0};
    int fd = take();
    struct ledger *ledger = must_open(fd);
    uint64_t next = 1;

    (void)state;
    assert_int_equal(ops->create_event(ledger, "default", 2 * MEMORY_ENTRIES_MAX, 1), 0);
    while (next < end) {
        size_t count = 0;

        for (; count < BATCH && next < end; next++)
            entries[count++] = sale(next, (uint32_t)(2 * MEMORY_ENTRIES_MAX - next), (int64_t)next);
        assert_int_equal(ops->append(ledger, entries, count), 0);
    }
    assert_int_equal(ops->each_event(ledger, on_event, &told), 0);
    assert_int_equal(told.next_sequence, end);
    assert_int_equal(told.available, 2 * MEMORY_ENTRIES_MAX - end + 1);
    assert_int_equal(told.capacity, 2 * MEMORY_ENTRIES_MAX);
    assert_int_equal(ops->each_entry(ledger, 0, 0, UINT64_MAX, on_entry, &span), 0);
    assert_int_equal(span.first, EXTRA);
    assert_int_equal(span.count, MEMORY_ENTRIES_MAX);
    assert_int_equal(ops->find(ledger, 0, EXTRA - 1, &found), LEDGER_NOT_FOUND);
    assert_int_equal(ops->find(ledger, 0, EXTRA, &found), 0);
    assert_int_equal(found.time_us, EXTRA);
    assert_int_equal(ops->find(ledger, 0, end - 1, &found), 0);
    assert_int_equal(found.available, told.available);
    ops->close(ledger);
    (void)close(fd);
}

static int refuse_key(void *context, const struct ledger_keyed_sale *found)
{
    (void)context;
    (void)found;
    return 42;
}

static int refuse_step(void *context, int64_t time_us, int64_t step_us)
{
    (void)context;
    (void)time_us;
    (void)step_us;
    return 42;
}

/* A new writer goes on where the last one stopped, and knows the events' names; of keys and steps
 * of the clock there is nothing to tell. */
static void test_next_writer(void **state)
{
    int fd = take();
    struct ledger *ledger = must_open(fd);
    struct ledger_entry next = mixed[MIXED_COUNT - 1];

    (void)state;
    fill_mixed(ops, ledger);
    assert_int_equal(ops->note_clock_step(ledger, 5000000, 60), 0);
    ops->close(ledger);
    ledger = must_open(fd);
    assert_int_equal(ops->append(ledger, &next, 1), -EINVAL);
    next.sequence++;
    next.available--;
    assert_int_equal(ops->append(ledger, &next, 1), 0);
    assert_int_equal(ops->create_event(ledger, "concert", 1, 1), -EEXIST);
    assert_int_equal(ops->create_event(ledger, "matinee", 1, 1), 0);
    assert_int_equal(ops->each_key(ledger, 0, refuse_key, NULL), 0);
    assert_int_equal(ops->each_clock_step(ledger, refuse_step, NULL), 0);
    ops->close(ledger);
    (void)close(fd);
}

/* Only a tree that has locked a ledger has one, and nobody can cut it off under a reader. */
static void test_hold(void **state)
{
    struct ledger *ledger = NULL;
    char error[512] = "";
    int fd = take(), other = take(), ends[2];

    (void)state;
    assert_int_equal(ops->open(&ledger, "", -1, error, sizeof(error)), -EBADF);
    assert_non_null(strstr(error, "ends with its ticketd"));
    assert_int_equal(ops->open_reader(&ledger, "", -1, error, sizeof(error)), -EBADF);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(ops->open(&ledger, "", ends[0], error, sizeof(error)), -EBADF);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    /* Two trees have two ledgers. */
    ledger = must_open(fd);
    assert_int_equal(ops->create_event(ledger, "default", 1, 1), 0);
    ops->close(ledger);
    ledger = must_open(other);
    assert_int_equal(ops->create_event(ledger, "default", 1, 1), 0);
    ops->close(ledger);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(fd);
    (void)close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oldest_go),
        cmocka_unit_test(test_next_writer),
        cmocka_unit_test(test_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
