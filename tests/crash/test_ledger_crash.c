/* The ledger on a disk that fails and on a machine that loses power: what was acknowledged is
 * there, what is there was tried, each batch whole and once. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_first.h"

#include <sqlite3.h>

#include "fault_vfs.h"
#include "scratch.h"
#include "workload.h"

static const struct ledger_ops *const ops = &ledger_sqlite_ops;

static bool is_long(void)
{
    const char *value = getenv("TICKETD_TEST_LONG");

    return value && strcmp(value, "1") == 0;
}

static int set_up(void **state)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    fault_install();
    *state = scratch;
    return 0;
}

static int tear_down(void **state)
{
    fault_uninstall();
    scratch_remove(*state);
    free(*state);
    return 0;
}

static struct ledger *must_open(const char *path, const char *about)
{
    struct ledger *ledger = NULL;
    char error[512] = "";
    int r = ops->open(&ledger, path, -1, error, sizeof(error));

    if (r != 0)
        fail_msg("%s: open: %d %s", about, r, error);
    return ledger;
}

enum {
    BATCHES = 6,
    TRIES_MAX = 12,
};

/* Opens, with as many tries as a fault may take; the fault clears by itself or after some. */
static struct ledger *open_through_fault(const char *path, const char *about)
{
    struct ledger *ledger = NULL;
    char error[512] = "";
    int r = -1;

    for (unsigned try = 0; r != 0 && try < TRIES_MAX; try++) {
        if (try == TRIES_MAX / 2)
            fault_clear();
        r = ops->open(&ledger, path, -1, error, sizeof(error));
        if (r != 0 && error[0] == '\0')
            fail_msg("%s: open failed without a word", about);
    }
    if (r != 0)
        fail_msg("%s: open: %d %s", about, r, error);
    return ledger;
}

enum {
    STEP_TIME = 77,
    STEP = 1000,
};

static int on_step(void *context, int64_t time_us, int64_t step_us)
{
    int64_t *found = context;

    assert_int_equal(time_us, STEP_TIME);
    *found = step_us;
    return 0;
}

/* A step of the clock is noted until it is on disk. */
static void note_step(struct ledger *ledger, const char *about)
{
    unsigned try = 0;
    int r;

    while ((r = ops->note_clock_step(ledger, STEP_TIME, STEP)) != 0 && try++ < TRIES_MAX)
        if (try == TRIES_MAX / 2)
            fault_clear();
    if (r != 0)
        fail_msg("%s: step: %d %s", about, r, ops->error(ledger));
}

/* A failed try that became visible may count again, which only lets keys live longer. */
static void check_step(struct ledger *ledger, const char *about)
{
    int64_t found = 0;

    assert_int_equal(ops->each_clock_step(ledger, on_step, &found), 0);
    if (found < STEP || found % STEP != 0)
        fail_msg("%s: the clock's step became %lld", about, (long long)found);
}

/* A small life of a ledger: made, filled, tidied, closed, opened.  Every call that fails is made
 * again, as the keeper does; the disk heals after some tries at the latest. */
static bool live_through_fault(struct scratch *scratch, uint64_t seed, const char *about)
{
    struct ledger_entry entries[WORKLOAD_BATCH_MAX];
    struct workload *workload = workload_new(seed);
    struct ledger *ledger = open_through_fault(scratch->ledger, about);
    int r;

    for (uint32_t event = 0; event < WORKLOAD_EVENTS; event++) {
        unsigned try = 0;

        while ((r = workload_create_event(workload, ledger, event, 0)) != 0 && try++ < TRIES_MAX)
            if (try == TRIES_MAX / 2)
                fault_clear();
        assert_int_equal(r, 0);
        workload_note(workload, 0, true);
    }
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        size_t count = workload_batch(workload, entries);
        unsigned try = 0;

        workload_note(workload, 0, false);
        while ((r = ops->append(ledger, entries, count)) != 0 && try++ < TRIES_MAX) {
            assert_true(r < 0 && ops->error(ledger)[0] != '\0');
            if (try == TRIES_MAX / 2)
                fault_clear();
        }
        if (r != 0)
            fail_msg("%s: append: %d %s", about, r, ops->error(ledger));
        workload_note(workload, 0, true);
        workload_check(workload, ledger, 0, about);
        if (batch == BATCHES / 2)
            note_step(ledger, about);
        if (batch % 2 == 1)
            (void)ops->tidy(ledger);
    }
    ops->close(ledger);
    fault_clear();
    ledger = must_open(scratch->ledger, about);
    workload_check(workload, ledger, 0, about);
    check_step(ledger, about);
    ops->close(ledger);
    workload_free(workload);
    scratch_clear(scratch);
    fault_forget();
    return fault_failed() > 0;
}

/* Every single write and every single sync fails once, a few times, or for good: the ledger never
 * says 0 for what it lost, and has each batch exactly once in the end. */
static void test_every_fault(void **state)
{
    static const struct fault_plan faults[] = {
        {.kind = FAULT_SYNC, .length = 1, .rc = SQLITE_IOERR_FSYNC},
        {.kind = FAULT_SYNC, .length = 5, .rc = SQLITE_IOERR_FSYNC},
        {.kind = FAULT_SYNC, .length = UINT_MAX, .rc = SQLITE_IOERR_FSYNC},
        {.kind = FAULT_WRITE, .length = 1, .rc = SQLITE_IOERR_WRITE, .torn = true},
        {.kind = FAULT_WRITE, .length = 5, .rc = SQLITE_FULL, .torn = true},
        {.kind = FAULT_WRITE, .length = UINT_MAX, .rc = SQLITE_FULL},
    };
    struct scratch *scratch = *state;
    unsigned lives = 0;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool reached = true;

        /* Past the last operation nothing fails any more. */
        for (unsigned at = 1; reached; at++) {
            struct fault_plan plan = faults[i];
            char about[64];

            plan.at = at;
            (void)snprintf(about, sizeof(about), "fault %zu at %u", i, at);
            fault_set(&plan);
            reached = live_through_fault(scratch, at, about);
            lives++;
        }
    }
    print_message("# %u lives\n", lives);
    assert_true(lives > 60);
}

/* Opens an image as start-up does, checks it, and goes on selling from it. */
static void check_image(const struct workload *workload, const char *path, size_t moment,
                        uint64_t seed, const char *about)
{
    struct ledger *ledger;

    fault_image(moment, seed, path);
    ledger = must_open(path, about);
    workload_check(workload, ledger, moment, about);
    ops->close(ledger);
    /* Twice: what was visible once stays. */
    if (seed % 7 == 0) {
        ledger = must_open(path, about);
        workload_check(workload, ledger, moment, about);
        ops->close(ledger);
    }
}

/* The descriptors die for good with a failed batch in the log (a file system that was taken away
 * and came back): the ledger opens itself anew, sees the batch, and still does not believe it. */
static void test_new_connection(void **state)
{
    static const struct fault_plan failed_sync = {
        .kind = FAULT_SYNC,
        .at = 1,
        .length = 1,
        .rc = SQLITE_IOERR_FSYNC,
    };
    struct scratch *scratch = *state;
    struct ledger_entry entries[WORKLOAD_BATCH_MAX];
    struct workload *workload = workload_new(1);
    struct ledger *ledger = must_open(scratch->ledger, "new connection");
    size_t count, tries = 0;
    char image[128];

    for (uint32_t event = 0; event < WORKLOAD_EVENTS; event++)
        assert_int_equal(workload_create_event(workload, ledger, event, 0), 0);
    count = workload_batch(workload, entries);
    fault_set(&failed_sync);
    assert_int_equal(ops->append(ledger, entries, count), -EIO);
    fault_kill();
    assert_true(ops->append(ledger, entries, count) < 0);
    fault_revive();
    while (ops->append(ledger, entries, count) != 0)
        assert_true(++tries < TRIES_MAX);
    assert_true(tries > 0);
    workload_note(workload, fault_moment(), true);

    /* Nothing of what was not synced is on this disk. */
    fault_watch(false);
    (void)snprintf(image, sizeof(image), "%s/image.db", scratch->folder);
    check_image(workload, image, fault_moment(), 1, "new connection");
    fault_watch(true);
    ops->close(ledger);
    workload_free(workload);
}

/* The history of one machine: batches, tidying, syncs that fail, a keeper that dies and is started
 * again.  What happened is in the disk's record and in the workload. */
static struct workload *make_history(struct scratch *scratch, uint64_t seed, unsigned batches)
{
    struct ledger_entry entries[WORKLOAD_BATCH_MAX];
    struct workload *workload = workload_new(seed);
    struct ledger *ledger = must_open(scratch->ledger, "history");

    for (uint32_t event = 0; event < WORKLOAD_EVENTS; event++) {
        assert_int_equal(workload_create_event(workload, ledger, event, fault_moment()), 0);
        workload_note(workload, fault_moment(), true);
    }
    for (unsigned batch = 0; batch < batches; batch++) {
        size_t count = workload_batch(workload, entries);
        unsigned drawn = workload_random(workload, 8);
        struct fault_plan plan = {
            .kind = drawn == 1 ? FAULT_WRITE : FAULT_SYNC,
            .at = 1,
            .length = 1 + workload_random(workload, 5),
            .rc = drawn == 1 ? SQLITE_FULL : SQLITE_IOERR_FSYNC,
            .torn = true,
        };
        unsigned tries = 0;

        workload_note(workload, fault_moment(), false);
        if (drawn <= 3)
            fault_set(&plan);
        while (ops->append(ledger, entries, count) != 0) {
            assert_true(++tries < TRIES_MAX);
            if (drawn == 3) {
                /* The keeper dies with its failed batch in the log, and a new one comes: it must
                 * not take what it sees there for durable. */
                fault_kill();
                ops->close(ledger);
                fault_revive();
                fault_clear();
                ledger = must_open(scratch->ledger, "history, again");
                workload_check(workload, ledger, fault_moment(), "history, again");
                if (ops->append(ledger, entries, count) != 0)
                    /* It was visible, and is durable now. */
                    assert_non_null(strstr(ops->error(ledger), "does not follow"));
                break;
            }
        }
        fault_clear();
        workload_note(workload, fault_moment(), true);
        if (workload_random(workload, 3) == 0)
            (void)ops->tidy(ledger);
    }
    ops->close(ledger);
    return workload;
}

/* The power fails at any moment, whatever the disk had done of what it was not told to sync. */
static void test_power_loss(void **state)
{
    struct scratch *scratch = *state;
    unsigned histories = is_long() ? 20 : 2;
    unsigned images_each = is_long() ? 600 : 300;
    unsigned images = 0;

    for (unsigned history = 0; history < histories; history++) {
        struct workload *workload = make_history(scratch, history + 1, 24);
        size_t moments = fault_moment();
        char image[128], about[96];

        fault_watch(false);
        (void)snprintf(image, sizeof(image), "%s/image.db", scratch->folder);
        for (unsigned i = 0; i < images_each; i++) {
            /* Spread over the whole history, every moment when there are enough images. */
            size_t moment = (size_t)i * 7919 % (moments + 1);
            uint64_t seed = i < 3 * moments ? i : i % 2;

            (void)snprintf(about, sizeof(about), "history %u, moment %zu of %zu, seed %llu",
                           history, moment, moments, (unsigned long long)seed);
            check_image(workload, image, moment, seed, about);
            images++;
        }
        fault_watch(true);
        workload_free(workload);
        scratch_clear(scratch);
        fault_forget();
    }
    print_message("# %u images\n", images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_fault, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_power_loss, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
