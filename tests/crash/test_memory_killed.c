/* The ledger in memory while its writers are killed at any instruction: a reader never sees a total
 * or an entry that was not appended whole, and the next writer goes on. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_first.h"

#include "ledger/memory_layout.h"
#include "ticketd/ledger.h"

enum {
    EVENTS = 2,
    STOCK = 1000,
    BATCH_MAX = 64,
    KILLS = 60,
    ENTRIES_EACH = 100000, /* before a kill: the rings go round several times in all */
    NEAR = 300,            /* of the end that is being overwritten */
};

static const struct ledger_ops *const ops = &ledger_memory_ops;

/* What is at a place of any writer's: sales and restocks of one ticket by turns. */
static struct ledger_entry entry_at(uint32_t event, uint64_t sequence)
{
    bool sold = sequence % 2 == 1;

    return (struct ledger_entry){
        .event = event,
        .sequence = sequence,
        .kind = sold ? LEDGER_SALE : LEDGER_RESTOCK,
        .quantity = sequence == 0 ? -STOCK
                    : sold        ? 1
                                  : -1,
        .available = STOCK - sold,
        .token = sold ? (sequence + event) * UINT64_C(0x9e3779b97f4a7c15) : 0,
        .time_us = (int64_t)sequence * 3 + 1,
    };
}

static int on_event(void *context, const struct ledger_event *event)
{
    uint64_t *ends = context;
    const struct ledger_entry last = entry_at(event->event, event->next_sequence - 1);

    assert_true(event->event < EVENTS && event->next_sequence > 0);
    assert_int_equal(event->available, last.available);
    assert_int_equal(event->time_us, last.time_us);
    assert_int_equal(event->capacity, STOCK + (event->next_sequence - 1) / 2);
    assert_int_equal(event->owed, 0);
    ends[event->event] = event->next_sequence;
    return 0;
}

/* The child: appends without end, of both events in each batch. */
static void write_on(int fd)
{
    struct ledger_entry entries[BATCH_MAX];
    uint64_t next[EVENTS] = {0};
    struct ledger *ledger = NULL;
    unsigned size = 1;
    char error[512];

    /* A test that fails leaves no writer behind. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
        ops->open(&ledger, "", fd, error, sizeof(error)) != 0 ||
        ops->each_event(ledger, on_event, next) != 0)
        _exit(2);
    for (;;) {
        size = size % BATCH_MAX + 1;
        for (unsigned i = 0; i < size; i++) {
            entries[i] = entry_at(i % EVENTS, next[i % EVENTS]);
            next[i % EVENTS]++;
        }
        if (ops->append(ledger, entries, size) != 0)
            _exit(3);
    }
}

/* An entry is as it was appended, or (near the end that is overwritten) gone. */
static void check_entry(struct ledger *reader, uint32_t event, uint64_t sequence, bool *ret_found)
{
    const struct ledger_entry expected = entry_at(event, sequence);
    struct ledger_entry found;
    int r = ops->find(reader, event, sequence, &found);

    assert_true(r == 0 || r == LEDGER_NOT_FOUND);
    *ret_found = r == 0;
    if (r != 0)
        return;
    assert_int_equal(found.kind, expected.kind);
    assert_int_equal(found.quantity, expected.quantity);
    assert_int_equal(found.available, expected.available);
    assert_int_equal(found.token, expected.token);
    assert_int_equal(found.time_us, expected.time_us);
}

static void check(struct ledger *reader, uint64_t ends[EVENTS])
{
    bool found;

    assert_int_equal(ops->each_event(reader, on_event, ends), 0);
    for (uint32_t event = 0; event < EVENTS; event++) {
        check_entry(reader, event, ends[event] - 1, &found);
        assert_true(found);
        for (unsigned i = 0; i < NEAR && ends[event] > MEMORY_ENTRIES_MAX; i++)
            check_entry(reader, event, ends[event] - MEMORY_ENTRIES_MAX + i, &found);
    }
}

/* A keeper dies again and again while its ring goes round and a reader reads what is next to be
 * overwritten. */
static void test_killed_writers(void **state)
{
    struct ledger *ledger = NULL, *reader = NULL;
    uint64_t ends[EVENTS] = {0}, goal;
    char error[512];
    int fd;

    (void)state;
    assert_int_equal(ops->lock(&fd, "", 0, error, sizeof(error)), 0);
    assert_int_equal(ops->open(&ledger, "", fd, error, sizeof(error)), 0);
    assert_int_equal(ops->create_event(ledger, "default", STOCK, 1), 0);
    assert_int_equal(ops->create_event(ledger, "concert", STOCK, 1), 0);
    ops->close(ledger);
    assert_int_equal(ops->open_reader(&reader, "", fd, error, sizeof(error)), 0);
    for (unsigned kill_count = 0; kill_count < KILLS; kill_count++) {
        pid_t child = fork();
        int status = 0;

        assert_true(child >= 0);
        if (child == 0)
            write_on(fd);
        goal = ends[0] + ENTRIES_EACH;
        while (ends[0] < goal && waitpid(child, &status, WNOHANG) == 0)
            check(reader, ends);
        if (ends[0] < goal)
            fail_msg("the writer ended by itself: %d", status);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        check(reader, ends);
    }
    assert_true(ends[0] > 2 * MEMORY_ENTRIES_MAX);
    ops->close(reader);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_writers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
