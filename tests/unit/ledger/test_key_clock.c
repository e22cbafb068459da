/* How old keys are counted to be when the wall clock was set. */
#include "fixture.h"

#include <errno.h>

#include "ledger/key_clock.h"

/* A ledger with its last entry at 10,000 and these steps. */
static struct ledger *open_with(const char *path, const int64_t (*steps)[2], size_t count)
{
    struct ledger *ledger = must_open(path);
    struct ledger_entry last = sale(1, 9, 10000);

    assert_int_equal(ops->create_event(ledger, "default", 10, 1), 0);
    assert_int_equal(ops->create_event(ledger, "concert", 10, 9000), 0);
    assert_int_equal(ops->append(ledger, &last, 1), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ops->note_clock_step(ledger, steps[i][0], steps[i][1]), 0);
    return ledger;
}

static struct ledger_key_clock *load(const struct scratch *scratch, const int64_t (*steps)[2],
                                     size_t count)
{
    struct ledger *ledger = open_with(scratch->ledger, steps, count);
    struct ledger_key_clock *clock = malloc(sizeof(*clock));

    assert_non_null(clock);
    /* As the master does: after a new start. */
    ops->close(ledger);
    ledger = must_open(scratch->ledger);
    assert_int_equal(ledger_key_clock_load(ops, ledger, clock), 0);
    ops->close(ledger);
    return clock;
}

/* Without a step the age is what the times say, up to the newest entry of all events. */
static void test_no_steps(void **state)
{
    struct ledger_key_clock *clock = load(*state, NULL, 0);

    assert_int_equal(ledger_key_clock_since(clock, 1000), 9000);
    assert_int_equal(ledger_key_clock_since(clock, 0), 10000);
    assert_int_equal(ledger_key_clock_age_us(clock, 9000), 1000);
    assert_int_equal(ledger_key_clock_age_us(clock, 10000), 0);
    assert_int_equal(ledger_key_clock_age_us(clock, 10001), 0);
    free(clock);
}

/* A step forward within a key's life ages it by nothing: neither who loads it nor who lets it end
 * counts the step. */
static void test_one_step(void **state)
{
    static const int64_t steps[][2] = {{9600, 5000}};
    struct ledger_key_clock *clock = load(*state, steps, 1);

    /* 400 after the step, 600 before it, which was at 4600. */
    assert_int_equal(ledger_key_clock_since(clock, 1000), 4000);
    assert_int_equal(ledger_key_clock_age_us(clock, 4000), 1000);
    assert_int_equal(ledger_key_clock_age_us(clock, 4600), 400);
    assert_int_equal(ledger_key_clock_age_us(clock, 9600), 400);
    assert_int_equal(ledger_key_clock_since(clock, 400), 9600);
    assert_int_equal(ledger_key_clock_since(clock, 401), 4599);
    free(clock);
}

/* Steps add up, in whatever order they were noted; those back are left out of the sum. */
static void test_several_steps(void **state)
{
    static const int64_t steps[][2] = {{9900, 300}, {9000, 1000}, {9500, -700}, {7500, 2000}};
    struct ledger_key_clock *clock = load(*state, steps, 4);

    assert_int_equal(clock->count, 3);
    /* 100 after 9900; 600 from 9000 to 9600; 500 from 7500 to 8000; 800 before 5500. */
    assert_int_equal(ledger_key_clock_since(clock, 2000), 4700);
    assert_int_equal(ledger_key_clock_age_us(clock, 4700), 2000);
    assert_int_equal(ledger_key_clock_age_us(clock, 5500), 1200);
    assert_int_equal(ledger_key_clock_age_us(clock, 7900), 800);
    assert_int_equal(ledger_key_clock_age_us(clock, 9950), 50);
    free(clock);
}

/* A step from before a key's whole life changes nothing for it. */
static void test_old_step(void **state)
{
    static const int64_t steps[][2] = {{8000, 5000}};
    struct ledger_key_clock *clock = load(*state, steps, 1);

    assert_int_equal(ledger_key_clock_since(clock, 2000), 8000);
    assert_int_equal(ledger_key_clock_since(clock, 1000), 9000);
    assert_int_equal(ledger_key_clock_age_us(clock, 9000), 1000);
    free(clock);
}

/* A step after the last entry, and one that reaches back over another after the clock was set
 * back, never make a key older than what passed. */
static void test_late_and_overlapping(void **state)
{
    static const int64_t steps[][2] = {{9700, 100}, {9800, 500}, {12000, 1500}};
    struct ledger_key_clock *clock = load(*state, steps, 3);

    assert_int_equal(clock->newest_us, 12000);
    /* 0 after 12000; 700 from 9800 to 10500; nothing between 9700 and 9300; then from 9600. */
    assert_int_equal(ledger_key_clock_age_us(clock, 10000), 500);
    assert_int_equal(ledger_key_clock_age_us(clock, 9500), 800);
    assert_int_equal(ledger_key_clock_since(clock, 800), 9500);
    free(clock);
}

/* A step back at the very time of one forward does not undo it; steps of one direction add up. */
static void test_same_time(void **state)
{
    static const int64_t steps[][2] = {
        {9000, 300}, {9000, 200}, {9000, -400}, {8000, -5}, {8000, -6}};
    const struct scratch *scratch = *state;
    struct ledger_key_clock *clock = load(scratch, steps, 5);

    assert_int_equal(ledger_key_clock_age_us(clock, 8000), 1500);
    expect_sql(scratch->ledger, "SELECT step_us FROM clock_steps WHERE time_us = 8000", "-11");
    free(clock);
}

/* When the clock was set more often than can be kept, keys from before live on. */
static void test_too_many_steps(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger_key_clock *clock;
    struct ledger *ledger = open_with(scratch->ledger, NULL, 0);

    ops->close(ledger);
    sql(scratch->ledger,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1025)"
        " INSERT INTO clock_steps SELECT i * 3, 1 FROM n",
        NULL, 0);
    clock = malloc(sizeof(*clock));
    assert_non_null(clock);
    ledger = must_open(scratch->ledger);
    assert_int_equal(ledger_key_clock_load(ops, ledger, clock), 0);
    ops->close(ledger);
    assert_int_equal(clock->count, KEY_CLOCK_STEPS_MAX);
    assert_int_equal(ledger_key_clock_since(clock, 1000000), INT64_MIN);
    assert_int_equal(ledger_key_clock_since(clock, 100), 9900);
    assert_int_equal(ledger_key_clock_age_us(clock, 5), ledger_key_clock_age_us(clock, -1000));
    free(clock);
}

/* A ledger with nothing in it, and one whose steps make no sense, give answers without overflow. */
static void test_nonsense(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger_key_clock *clock = malloc(sizeof(*clock));
    struct ledger *ledger = must_open(scratch->ledger);

    assert_non_null(clock);
    assert_int_equal(ledger_key_clock_load(ops, ledger, clock), 0);
    assert_int_equal(ledger_key_clock_since(clock, 1000), INT64_MIN);
    assert_int_equal(ops->note_clock_step(ledger, -1, INT64_MAX), 0);
    assert_int_equal(ledger_key_clock_load(ops, ledger, clock), 0);
    assert_int_equal(ledger_key_clock_since(clock, 1000), INT64_MIN);
    assert_int_equal(ledger_key_clock_age_us(clock, INT64_MIN), 0);
    ops->close(ledger);
    free(clock);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_no_steps),
        CASE(test_one_step),
        CASE(test_several_steps),
        CASE(test_old_step),
        CASE(test_late_and_overlapping),
        CASE(test_same_time),
        CASE(test_too_many_steps),
        CASE(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
