#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "master/announce.h"

/* A manager: what it heard last, and whether it listens. */
struct ear {
    char heard[512];
    unsigned count;
    bool deaf;
};

static bool hear(void *context, const char *assignments)
{
    struct ear *ear = context;

    if (ear->deaf)
        return false;
    (void)strncpy(ear->heard, assignments, sizeof(ear->heard) - 1);
    ++ear->count;
    return true;
}

static const struct announce_view running = {.ready = true, .serving = 2, .workers = 2};

/* Whether a whole line was heard in the last message. */
static bool heard(const struct ear *ear, const char *line)
{
    const char *at = strstr(ear->heard, line);
    size_t len = strlen(line);

    return at != NULL && (at == ear->heard || at[-1] == '\n') && at[len] == '\n';
}

/* One that has told that it runs, at time 0, to a manager who wants to hear every second. */
static void begin(struct announce *announce, struct ear *ear, uint64_t watchdog_ms)
{
    *ear = (struct ear){.count = 0};
    announce_init(announce, watchdog_ms, hear, ear);
    (void)announce_tick(announce, &running, 0);
    assert_true(heard(ear, "READY=1"));
}

/* Nothing is ready before all is, and then it is said once. */
static void test_ready_once(void **state)
{
    struct announce_view view = {.workers = 2, .ledger = ANNOUNCE_LEDGER_LOADING};
    struct announce announce;
    struct ear ear = {.count = 0};

    (void)state;
    announce_init(&announce, 0, hear, &ear);
    (void)announce_tick(&announce, &view, 0);
    assert_true(heard(&ear, "STATUS=Starting: 0 of 2 workers serve; the keeper of the ledger is "
                            "starting"));
    assert_null(strstr(ear.heard, "READY"));
    (void)announce_tick(&announce, &running, 1);
    assert_true(heard(&ear, "READY=1"));
    assert_true(heard(&ear, "STATUS=Running: 2 of 2 workers serve"));
    assert_int_equal(ear.count, 2);
    assert_int_equal(announce_tick(&announce, &running, 2), UINT64_MAX);
    view = running;
    view.ready = false; /* a worker has died: no reason to say it again when there is another */
    (void)announce_tick(&announce, &view, 3);
    (void)announce_tick(&announce, &running, 4);
    assert_int_equal(ear.count, 2);
}

/* Each condition of the ledger has its words. */
static void test_ledger(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 0);
    view.ledger = ANNOUNCE_LEDGER_FAULT;
    (void)announce_tick(&announce, &view, 1);
    assert_string_equal(ear.heard, "STATUS=Running: 2 of 2 workers serve; the ledger cannot be "
                                   "written\n");
    view.ledger = ANNOUNCE_LEDGER_SLOW;
    (void)announce_tick(&announce, &view, 2);
    assert_string_equal(ear.heard, "STATUS=Running: 2 of 2 workers serve; the ledger does not "
                                   "answer\n");
    (void)announce_tick(&announce, &running, 3);
    assert_string_equal(ear.heard, "STATUS=Running: 2 of 2 workers serve\n");
}

/* A reload is told when it begins and when it ends, in messages of their own. */
static void test_reload(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 0);
    view.reloads = 1;
    view.reloading = true;
    (void)announce_tick(&announce, &view, 1);
    assert_true(heard(&ear, "RELOADING=1"));
    assert_non_null(strstr(ear.heard, "\nMONOTONIC_USEC="));
    assert_true(heard(&ear, "STATUS=Reloading: 2 of 2 workers serve"));
    assert_null(strstr(ear.heard, "READY"));
    assert_int_equal(announce_tick(&announce, &view, 2), UINT64_MAX);
    view.reloading = false;
    (void)announce_tick(&announce, &view, 3);
    assert_string_equal(ear.heard, "READY=1\nSTATUS=Running: 2 of 2 workers serve\n");
    assert_int_equal(ear.count, 3);
}

/* One that is refused is over at once, and asks to be called for its second message. */
static void test_refused_reload(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 0);
    view.reloads = 1;
    assert_int_equal(announce_tick(&announce, &view, 7), 7);
    assert_true(heard(&ear, "RELOADING=1"));
    (void)announce_tick(&announce, &view, 7);
    assert_string_equal(ear.heard, "READY=1\n");
    assert_int_equal(ear.count, 3);
}

/* One that was asked for during the start is part of the start. */
static void test_reload_before_ready(void **state)
{
    struct announce_view view = {.workers = 2, .reloads = 1, .reloading = true};
    struct announce announce;
    struct ear ear = {.count = 0};

    (void)state;
    announce_init(&announce, 0, hear, &ear);
    (void)announce_tick(&announce, &view, 0);
    assert_null(strstr(ear.heard, "RELOADING=1"));
    view = running;
    view.reloads = 1;
    (void)announce_tick(&announce, &view, 1);
    assert_true(heard(&ear, "READY=1"));
    assert_null(strstr(ear.heard, "RELOADING=1"));
}

/* The watchdog hears twice in its time, as long as this is called, and when it is to be called is
 * told. */
static void test_watchdog(void **state)
{
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 1000);
    assert_true(heard(&ear, "WATCHDOG=1"));
    assert_int_equal(announce_tick(&announce, &running, 499), 500);
    assert_int_equal(ear.count, 1);
    assert_int_equal(announce_tick(&announce, &running, 500), 1000);
    assert_string_equal(ear.heard, "WATCHDOG=1\n");
    assert_int_equal(ear.count, 2);
}

/* Without a watchdog nobody is woken for it. */
static void test_no_watchdog(void **state)
{
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 0);
    assert_null(strstr(ear.heard, "WATCHDOG"));
    assert_int_equal(announce_tick(&announce, &running, 100000), UINT64_MAX);
}

/* A stop is told once, and asks for more time for as long as it lasts. */
static void test_stop(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 0);
    view.ending = ANNOUNCE_DRAINS;
    assert_int_equal(announce_tick(&announce, &view, 5), 5 + ANNOUNCE_EXTEND_EVERY_MS);
    assert_true(heard(&ear, "STOPPING=1"));
    assert_true(heard(&ear, "EXTEND_TIMEOUT_USEC=10000000"));
    (void)announce_tick(&announce, &view, 6);
    assert_int_equal(ear.count, 2);
    view.ending = ANNOUNCE_FLUSHES;
    (void)announce_tick(&announce, &view, 5 + ANNOUNCE_EXTEND_EVERY_MS);
    assert_string_equal(ear.heard, "EXTEND_TIMEOUT_USEC=10000000\n"
                                   "STATUS=Stopping: the keeper writes the last entries\n");
}

/* A restart in place is no stop. */
static void test_restart_in_place(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 0);
    view.ending = ANNOUNCE_RESTARTS;
    assert_int_equal(announce_tick(&announce, &view, 1), UINT64_MAX);
    assert_string_equal(ear.heard, "STATUS=Restarting in place\n");
}

/* What a deaf manager has missed is told when it listens again: all of it that still holds. */
static void test_deaf(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear = {.deaf = true};

    (void)state;
    announce_init(&announce, 1000, hear, &ear);
    assert_int_equal(announce_tick(&announce, &view, 10), 10 + ANNOUNCE_RETRY_MS);
    ear.deaf = false;
    (void)announce_tick(&announce, &view, 510);
    assert_string_equal(ear.heard, "READY=1\nWATCHDOG=1\nSTATUS=Running: 2 of 2 workers serve\n");
    ear.deaf = true;
    view.reloads = 1;
    (void)announce_tick(&announce, &view, 520);
    ear.deaf = false;
    (void)announce_tick(&announce, &view, 530);
    assert_true(heard(&ear, "RELOADING=1"));
    (void)announce_tick(&announce, &view, 530);
    assert_true(heard(&ear, "READY=1"));
}

/* The longest message has room. */
static void test_longest(void **state)
{
    struct announce_view view = running;
    struct announce announce;
    struct ear ear;

    (void)state;
    begin(&announce, &ear, 1);
    view.ledger = ANNOUNCE_LEDGER_LOADING;
    view.serving = UINT32_MAX;
    view.workers = UINT32_MAX - 1;
    view.reloads = 1;
    view.reloading = true;
    (void)announce_tick(&announce, &view, 10);
    assert_non_null(strstr(ear.heard, "4294967295 of 4294967294 workers serve; the keeper of the "
                                      "ledger is starting\n"));
    view.ending = ANNOUNCE_DRAINS;
    (void)announce_tick(&announce, &view, UINT64_MAX - ANNOUNCE_EXTEND_MS);
    assert_true(heard(&ear, "STATUS=Stopping: the workers answer what is in flight; the keeper of "
                            "the ledger is starting"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_once),
        cmocka_unit_test(test_ledger),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_refused_reload),
        cmocka_unit_test(test_reload_before_ready),
        cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_no_watchdog),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_restart_in_place),
        cmocka_unit_test(test_deaf),
        cmocka_unit_test(test_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
