/* The table of waiting calls on its own: cells, deadlines, chains of keys. */
#include "../../crash/cmocka_first.h"

#include "client/parked.h"

#define CELLS 4

static struct parked_table table;
static struct vacancy_call calls[CELLS];

static const struct ledger_key none;
/* The same in what chooses their chain. */
static const struct ledger_key key_a = {.bytes = {1, [15] = 1}};
static const struct ledger_key key_b = {.bytes = {1, [15] = 2}};

static int set_up(void **state)
{
    (void)state;
    return parked_init(&table, CELLS);
}

static int tear_down(void **state)
{
    (void)state;
    parked_deinit(&table);
    return 0;
}

static struct parked *take(uint32_t call, uint64_t deadline_ms, const struct ledger_key *key)
{
    struct parked *cell = parked_take(&table, &calls[call], deadline_ms, key);

    assert_non_null(cell);
    assert_ptr_equal(cell->call, &calls[call]);
    assert_int_equal(cell->kind, PARKED_JUDGED);
    return cell;
}

static void expect_deadlines(const uint64_t expected[CELLS], size_t count)
{
    const struct parked *cell;
    size_t i = 0;

    TAILQ_FOREACH(cell, &table.deadlines, by_deadline)
    {
        assert_true(i < count);
        assert_int_equal(cell->deadline_ms, expected[i]);
        ++i;
    }
    assert_int_equal(i, count);
}

/* So many cells there are, each of its own number; what is freed is taken again. */
static void test_cells(void **state)
{
    struct parked *cells[CELLS];

    (void)state;
    for (int round = 0; round < 3; ++round) {
        for (uint32_t i = 0; i < CELLS; ++i) {
            cells[i] = take(i, 1, &none);
            assert_int_equal(table.used, i + 1);
            assert_ptr_equal(parked_of_cookie(&table, parked_cookie(&table, cells[i])), cells[i]);
            for (uint32_t j = 0; j < i; ++j)
                assert_ptr_not_equal(cells[i], cells[j]);
        }
        assert_null(parked_take(&table, &calls[0], 1, &none));
        assert_null(parked_of_cookie(&table, CELLS));
        assert_null(parked_of_cookie(&table, UINT32_MAX));
        for (uint32_t i = 0; i < CELLS; ++i)
            parked_free(&table, cells[(i + (uint32_t)round) % CELLS]);
        assert_int_equal(table.used, 0);
        assert_true(TAILQ_EMPTY(&table.deadlines));
    }
}

/* Deadlines stand in order, however they come, are put off, or end. */
static void test_deadlines(void **state)
{
    struct parked *b = take(0, 20, &none), *c = take(1, 30, &none);
    struct parked *a = take(2, 10, &none), *d = take(3, 25, &none);

    (void)state;
    expect_deadlines((const uint64_t[CELLS]){10, 20, 25, 30}, 4);
    parked_put_off(&table, a, 27);
    expect_deadlines((const uint64_t[CELLS]){20, 25, 27, 30}, 4);
    parked_orphan(&table, d);
    assert_null(d->call);
    expect_deadlines((const uint64_t[CELLS]){20, 27, 30}, 3);
    parked_free(&table, d);
    parked_free(&table, b);
    expect_deadlines((const uint64_t[CELLS]){27, 30}, 2);
    parked_free(&table, c);
    parked_free(&table, a);
    assert_true(TAILQ_EMPTY(&table.deadlines));
}

/* Who leads a key and who follows it is told by key, event and kind; one being judged is neither;
 * followers lead when there is no leader left. */
static void test_leaders_and_followers(void **state)
{
    struct parked *a = take(0, 1, &key_a), *b = take(1, 1, &key_b);
    struct parked *follower;

    (void)state;
    b->kind = PARKED_SALE;
    assert_null(parked_leader(&table, 0, &key_a));
    assert_ptr_equal(parked_leader(&table, 0, &key_b), b);
    assert_null(parked_leader(&table, 1, &key_b));
    parked_wait_for_index(&table, a, 7);
    assert_ptr_equal(parked_leader(&table, 0, &key_a), a);
    follower = take(2, 1, &key_a);
    parked_follow(follower, a);
    assert_ptr_equal(parked_leader(&table, 0, &key_a), a);
    assert_null(parked_follower(&table, 0, &key_b));
    assert_null(parked_follower(&table, 1, &key_a));
    parked_free(&table, a);
    assert_null(parked_leader(&table, 0, &key_a));
    assert_ptr_equal(parked_follower(&table, 0, &key_a), follower);
    parked_lead(&table, follower);
    assert_null(parked_follower(&table, 0, &key_a));
    assert_null(parked_leader(&table, 0, &key_a));
    follower->kind = PARKED_SALE;
    assert_ptr_equal(parked_leader(&table, 0, &key_a), follower);
    parked_free(&table, follower);
    assert_ptr_equal(parked_leader(&table, 0, &key_b), b);
}

/* Who waits for the index does so until that ends, or until its cell is freed. */
static void test_waiting_for_the_index(void **state)
{
    struct parked *first = take(0, 1, &key_a), *next = take(1, 1, &key_b);

    (void)state;
    parked_wait_for_index(&table, first, 7);
    parked_wait_for_index(&table, next, 8);
    assert_int_equal(first->kind, PARKED_INDEX);
    assert_int_equal(first->sequence, 7);
    assert_ptr_equal(TAILQ_FIRST(&table.indexed), first);
    parked_end_wait(&table, first);
    parked_end_wait(&table, first);
    assert_int_equal(first->kind, PARKED_JUDGED);
    assert_ptr_equal(TAILQ_FIRST(&table.indexed), next);
    parked_free(&table, next);
    assert_true(TAILQ_EMPTY(&table.indexed));
}

/* A table is ended once, however often it is asked; a zeroed one is none. */
static void test_deinit_twice(void **state)
{
    struct parked_table zeroed = {0};

    (void)state;
    parked_deinit(&zeroed);
    parked_deinit(&table);
    assert_null(table.cells);
    parked_deinit(&table);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cells),
        CASE(test_deadlines),
        CASE(test_leaders_and_followers),
        CASE(test_waiting_for_the_index),
        CASE(test_deinit_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
