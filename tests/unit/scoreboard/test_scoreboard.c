#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scoreboard/scoreboard.h"
#include "ticketd/error.h"

#define SLOTS     5
#define UNTOUCHED 0xABCDEF01U

/* Pools; which number stands for which is not the scoreboard's business. */
#define POOL_A 0
#define POOL_B 7

static struct scoreboard board;

static int set_up(void **state)
{
    (void)state;
    return scoreboard_create(&board, SLOTS);
}

static int tear_down(void **state)
{
    (void)state;
    scoreboard_destroy(&board);
    return 0;
}

static uint32_t claim(uint32_t pool)
{
    uint32_t slot = UNTOUCHED;

    assert_int_equal(scoreboard_claim(&board, pool, &slot), TICKETD_DONE);
    assert_true(slot < SLOTS);
    return slot;
}

static void put(uint32_t slot, enum scoreboard_state state, uint32_t connections)
{
    atomic_store(&board.slots[slot].connections, connections);
    scoreboard_set_state(&board.slots[slot], state);
}

static void expect_load(uint32_t pool, uint32_t serving, uint32_t serving_connections,
                        uint32_t connections)
{
    struct scoreboard_load load = scoreboard_pool_load(&board, pool);

    assert_int_equal(load.serving, serving);
    assert_int_equal(load.serving_connections, serving_connections);
    assert_int_equal(load.connections, connections);
}

/* A fresh board is free everywhere, and every cell of it is zero. */
static void test_fresh_board(void **state)
{
    (void)state;
    assert_int_equal(board.slot_count, SLOTS);
    for (uint32_t i = 0; i < SLOTS; ++i) {
        assert_int_equal(scoreboard_state(&board.slots[i]), SCOREBOARD_FREE);
#define X(name) assert_int_equal(atomic_load(&board.slots[i].name), 0);
        SCOREBOARD_GAUGES(X)
#undef X
    }
    expect_load(POOL_A, 0, 0, 0);
    assert_int_equal(atomic_load(board.stop_ends_ms), 0);
}

/* A claimed slot is STARTING for its pool, and no slot is claimed twice. */
static void test_claim(void **state)
{
    uint32_t slots[SLOTS];

    (void)state;
    for (uint32_t i = 0; i < SLOTS; ++i) {
        slots[i] = claim(i);
        assert_int_equal(scoreboard_state(&board.slots[slots[i]]), SCOREBOARD_STARTING);
        assert_int_equal(atomic_load(&board.slots[slots[i]].pool), i);
        for (uint32_t j = 0; j < i; ++j)
            assert_int_not_equal(slots[i], slots[j]);
    }
}

/* A full board refuses, whatever the slots' states, and has room again after a release. */
static void test_full_board(void **state)
{
    uint32_t slot = UNTOUCHED;

    (void)state;
    for (uint32_t i = 0; i < SLOTS; ++i)
        put(claim(POOL_A), (enum scoreboard_state)(SCOREBOARD_STARTING + i % 3), 1);
    assert_int_equal(scoreboard_claim(&board, POOL_B, &slot), TICKETD_BUSY);
    assert_int_equal(slot, UNTOUCHED);
    scoreboard_release(&board, 3);
    assert_int_equal(claim(POOL_B), 3);
    assert_int_equal(scoreboard_claim(&board, POOL_B, &slot), TICKETD_BUSY);
}

/* A board of one slot has room for one. */
static void test_smallest_board(void **state)
{
    struct scoreboard small;
    uint32_t slot = UNTOUCHED;

    (void)state;
    assert_int_equal(scoreboard_create(&small, 1), 0);
    assert_int_equal(scoreboard_claim(&small, POOL_A, &slot), TICKETD_DONE);
    assert_int_equal(slot, 0);
    assert_int_equal(scoreboard_claim(&small, POOL_A, &slot), TICKETD_BUSY);
    scoreboard_release(&small, 0);
    assert_int_equal(scoreboard_claim(&small, POOL_A, &slot), TICKETD_DONE);
    scoreboard_destroy(&small);
}

/* A part is a board of its own on the same slots: it claims nothing outside of them, and is full
 * when they are, whatever is free beside it. */
static void test_part(void **state)
{
    struct scoreboard part = scoreboard_part(&board, 1, 2);
    uint32_t slot = UNTOUCHED;

    (void)state;
    assert_int_equal(scoreboard_claim(&part, POOL_A, &slot), TICKETD_DONE);
    assert_int_equal(slot, 0);
    assert_int_equal(scoreboard_state(&board.slots[1]), SCOREBOARD_STARTING);
    assert_int_equal(scoreboard_claim(&part, POOL_A, &slot), TICKETD_DONE);
    assert_int_equal(scoreboard_claim(&part, POOL_A, &slot), TICKETD_BUSY);
    assert_int_equal(scoreboard_state(&board.slots[0]), SCOREBOARD_FREE);
    assert_int_equal(scoreboard_state(&board.slots[3]), SCOREBOARD_FREE);
    scoreboard_release(&part, 1);
    assert_int_equal(scoreboard_state(&board.slots[2]), SCOREBOARD_FREE);
    assert_ptr_equal(part.reloads, board.reloads);
    assert_ptr_equal(part.stop_ends_ms, board.stop_ends_ms);
}

/* A new child inherits nothing that it would have now from a dead one; and nothing of that is told
 * of any more when the dead one has left. */
static void test_claim_after_a_death(void **state)
{
    struct scoreboard_slot *slot;

    (void)state;
    slot = &board.slots[claim(POOL_A)];
    put(0, SCOREBOARD_SERVING, 12);
    scoreboard_add(&slot->heartbeat, 34);
#define X(name) scoreboard_show(&slot->name, 5);
    SCOREBOARD_GAUGES(X)
#undef X
    scoreboard_leave(&board, 0);
    assert_int_equal(atomic_load(&slot->connections), 0);
#define X(name) assert_int_equal(atomic_load(&slot->name), 0);
    SCOREBOARD_GAUGES(X)
#undef X
    scoreboard_show(&slot->parked, 6);
    scoreboard_release(&board, 0);
    assert_int_equal(scoreboard_state(slot), SCOREBOARD_FREE);
    assert_int_equal(atomic_load(&slot->parked), 0);
    scoreboard_show(&slot->parked, 7);
    assert_int_equal(claim(POOL_B), 0);
    assert_int_equal(atomic_load(&slot->pool), POOL_B);
    assert_int_equal(atomic_load(&slot->connections), 0);
    assert_int_equal(atomic_load(&slot->heartbeat), 0);
    assert_int_equal(atomic_load(&slot->parked), 0);
}

/* What stands in a free slot counts for nobody, and is gone when the slot is claimed. */
static void test_free_slot_counts_for_nobody(void **state)
{
    (void)state;
    assert_int_equal(claim(POOL_A), 0);
    scoreboard_release(&board, 0);
    atomic_store(&board.slots[0].connections, 9);
    expect_load(POOL_A, 0, 0, 0);
    assert_int_equal(claim(POOL_A), 0);
    expect_load(POOL_A, 0, 0, 0);
}

/* Only a serving worker counts as one that accepts; a draining one's connections still count. */
static void test_load_by_state(void **state)
{
    (void)state;
    uint32_t slot = claim(POOL_A);
    put(slot, SCOREBOARD_STARTING, 3);
    expect_load(POOL_A, 0, 0, 3);
    put(slot, SCOREBOARD_SERVING, 3);
    expect_load(POOL_A, 1, 3, 3);
    put(slot, SCOREBOARD_DRAINING, 3);
    expect_load(POOL_A, 0, 0, 3);
    scoreboard_release(&board, slot);
    expect_load(POOL_A, 0, 0, 0);
}

/* A pool's load is the sum over its own slots, up to the last one, and no other's. */
static void test_load_by_pool(void **state)
{
    (void)state;
    put(claim(POOL_A), SCOREBOARD_SERVING, 1);
    put(claim(POOL_B), SCOREBOARD_SERVING, 10);
    put(claim(POOL_A), SCOREBOARD_DRAINING, 100);
    put(claim(POOL_B), SCOREBOARD_STARTING, 1000);
    put(claim(POOL_A), SCOREBOARD_SERVING, 10000);
    expect_load(POOL_A, 2, 10001, 10101);
    expect_load(POOL_B, 1, 10, 1010);
    expect_load(POOL_B + 1, 0, 0, 0);
    scoreboard_release(&board, 4);
    expect_load(POOL_A, 1, 1, 101);
    expect_load(POOL_B, 1, 10, 1010);
}

/* What a child writes in its slot, the parent reads; other slots stay as they were. */
static void test_shared_over_fork(void **state)
{
    int status = 0;

    (void)state;
    uint32_t first = claim(POOL_A), second = claim(POOL_A);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        atomic_store(&board.slots[second].connections, 4);
        scoreboard_show(&board.slots[second].streams, 11);
        scoreboard_set_state(&board.slots[second], SCOREBOARD_SERVING);
        scoreboard_destroy(&board);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_load(POOL_A, 1, 4, 4);
    assert_int_equal(scoreboard_state(&board.slots[first]), SCOREBOARD_STARTING);
    assert_int_equal(atomic_load(&board.slots[first].streams), 0);
    assert_int_equal(atomic_load(&board.slots[second].streams), 11);
}

/* A counter adds what it is given, beyond 32 bits. */
static void test_counters_add(void **state)
{
    (void)state;
    scoreboard_add(&board.slots[0].heartbeat, UINT32_MAX);
    scoreboard_add(&board.slots[0].heartbeat, 1);
    scoreboard_add(&board.slots[0].heartbeat, 0);
    assert_true(atomic_load(&board.slots[0].heartbeat) == (uint64_t)UINT32_MAX + 1);
}

/* A board is destroyed once, however often it is asked; a zeroed one is none. */
static void test_destroy_twice(void **state)
{
    struct scoreboard zeroed = {.slots = NULL};

    (void)state;
    scoreboard_destroy(&zeroed);
    scoreboard_destroy(&board);
    assert_null(board.slots);
    scoreboard_destroy(&board);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_fresh_board),         CASE(test_claim),
        CASE(test_full_board),          CASE(test_smallest_board),
        CASE(test_claim_after_a_death), CASE(test_free_slot_counts_for_nobody),
        CASE(test_load_by_state),       CASE(test_load_by_pool),
        CASE(test_shared_over_fork),    CASE(test_counters_add),
        CASE(test_destroy_twice),       CASE(test_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
