/* The circuit breaker: each edge of the picture in its header, at the moment before and at it. */
#include "../../crash/cmocka_first.h"

#include "client/breaker.h"

#define FAILURES 3
#define OPEN_MS  1000
#define START_MS 5000

static struct breaker breaker;

static int set_up(void **state)
{
    (void)state;
    breaker_init(&breaker, FAILURES, OPEN_MS);
    return 0;
}

static void expect_state(enum breaker_state state)
{
    assert_int_equal(breaker.state, state);
}

static void admit(uint64_t now_ms)
{
    assert_true(breaker_would_admit(&breaker, now_ms));
    assert_true(breaker_admit(&breaker, now_ms));
}

static void refuse(uint64_t now_ms)
{
    struct breaker before = breaker;

    assert_false(breaker_would_admit(&breaker, now_ms));
    assert_false(breaker_admit(&breaker, now_ms));
    assert_memory_equal(&before, &breaker, sizeof(breaker));
}

/* Opens it at now_ms. */
static void open_it(uint64_t now_ms)
{
    for (int i = 1; i < FAILURES; ++i) {
        admit(now_ms);
        assert_false(breaker_failed(&breaker, now_ms));
        expect_state(BREAKER_CLOSED);
    }
    admit(now_ms);
    assert_true(breaker_failed(&breaker, now_ms));
    expect_state(BREAKER_OPEN);
}

/* A new one admits any number of calls at once. */
static void test_closed(void **state)
{
    (void)state;
    expect_state(BREAKER_CLOSED);
    for (int i = 0; i < 100; ++i)
        admit(START_MS);
    for (int i = 0; i < 100; ++i)
        assert_false(breaker_succeeded(&breaker));
}

/* The last of so many failures in a row opens it, and only that one; then it admits nothing until
 * its time has come. */
static void test_opens(void **state)
{
    (void)state;
    open_it(START_MS);
    refuse(START_MS);
    refuse(START_MS + OPEN_MS - 1);
    admit(START_MS + OPEN_MS);
    expect_state(BREAKER_HALF_OPEN);
}

/* With failures_max 1 the first failure opens it. */
static void test_opens_at_once(void **state)
{
    (void)state;
    breaker_init(&breaker, 1, OPEN_MS);
    admit(START_MS);
    assert_true(breaker_failed(&breaker, START_MS));
    refuse(START_MS);
}

/* A success in between begins the count anew; a call that was abandoned does not. */
static void test_in_a_row(void **state)
{
    (void)state;
    for (int i = 1; i < FAILURES; ++i)
        assert_false(breaker_failed(&breaker, START_MS));
    assert_false(breaker_succeeded(&breaker));
    for (int i = 1; i < FAILURES; ++i)
        assert_false(breaker_failed(&breaker, START_MS));
    assert_false(breaker_abandoned(&breaker));
    assert_true(breaker_failed(&breaker, START_MS));
}

/* Half-open admits one call at a time; its success closes it with a count of none. */
static void test_probe_succeeds(void **state)
{
    (void)state;
    open_it(START_MS);
    admit(START_MS + OPEN_MS);
    refuse(START_MS + OPEN_MS);
    refuse(START_MS + 10 * OPEN_MS);
    assert_true(breaker_succeeded(&breaker));
    expect_state(BREAKER_CLOSED);
    open_it(START_MS + 20 * OPEN_MS);
}

/* One failed probe opens it again for the whole time, and the next probe is one again. */
static void test_probe_fails(void **state)
{
    uint64_t now_ms = START_MS + OPEN_MS + 7;

    (void)state;
    open_it(START_MS);
    admit(now_ms);
    assert_true(breaker_failed(&breaker, now_ms));
    expect_state(BREAKER_OPEN);
    refuse(now_ms + OPEN_MS - 1);
    admit(now_ms + OPEN_MS);
    refuse(now_ms + OPEN_MS);
}

/* A probe that was abandoned leaves its place to the next call at once. */
static void test_probe_abandoned(void **state)
{
    (void)state;
    open_it(START_MS);
    admit(START_MS + OPEN_MS);
    assert_false(breaker_abandoned(&breaker));
    expect_state(BREAKER_HALF_OPEN);
    admit(START_MS + OPEN_MS);
    refuse(START_MS + OPEN_MS);
}

/* Calls that were under way when it opened: their failure does not prolong it, their success closes
 * it. */
static void test_late_calls(void **state)
{
    (void)state;
    open_it(START_MS);
    assert_false(breaker_failed(&breaker, START_MS + OPEN_MS - 1));
    assert_false(breaker_abandoned(&breaker));
    expect_state(BREAKER_OPEN);
    admit(START_MS + OPEN_MS);
    assert_true(breaker_failed(&breaker, START_MS + OPEN_MS));
    assert_true(breaker_succeeded(&breaker));
    expect_state(BREAKER_CLOSED);
    admit(START_MS + OPEN_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_closed, set_up),
        cmocka_unit_test_setup(test_opens, set_up),
        cmocka_unit_test_setup(test_opens_at_once, set_up),
        cmocka_unit_test_setup(test_in_a_row, set_up),
        cmocka_unit_test_setup(test_probe_succeeds, set_up),
        cmocka_unit_test_setup(test_probe_fails, set_up),
        cmocka_unit_test_setup(test_probe_abandoned, set_up),
        cmocka_unit_test_setup(test_late_calls, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
