/* A keeper is killed after the instructions of a batch, and between the system calls of its
 * transaction; another one takes over. */
#include "stepper.h"
#include "ticketd/error.h"
#include "world.h"

#define QUANTITY         2
#define QUANTITY_BESIDE  1
#define QUANTITY_VOID    4
#define QUANTITY_RESTOCK 5
/* Far more than a batch has. */
#define STRIDES_MAX 50000

static struct world world;

/* The workers that wait while keepers die: who asks for what. */
enum { BUYER, TWIN, THIRD, ASKERS };

static struct {
    struct vacancy_local workers[ASKERS];
    struct answer sale, same_key, beside, withdrawn, restock;
} waiting;

/* A sale, another worker's with the same key (tickets to be returned), one that is withdrawn
 * (likewise), one without a key, and a restock. */
static void ask(void)
{
    for (unsigned i = 0; i < ASKERS; ++i)
        world_worker_open(&world, &waiting.workers[i], WORLD_PLACE(i));
    world_buy(&world, &waiting.workers[BUYER], QUANTITY, 0, &waiting.sale);
    world_buy(&world, &waiting.workers[TWIN], QUANTITY, 0, &waiting.same_key);
    world_buy(&world, &waiting.workers[THIRD], QUANTITY_VOID, -1, &waiting.withdrawn);
    vacancy_cancel(&waiting.withdrawn.call);
    world_buy(&world, &waiting.workers[THIRD], QUANTITY_BESIDE, -1, &waiting.beside);
    world_restock(&world, &waiting.workers[THIRD], QUANTITY_RESTOCK, &waiting.restock);
}

static void expect_done(const struct answer *answer, bool replayed)
{
    assert_int_equal(answer->times, 1);
    assert_int_equal(answer->result.status, TICKETD_DONE);
    assert_int_equal(answer->result.replayed, replayed);
}

/* Every waiter has been told once, and right. */
static void expect_answers(void)
{
    for (unsigned i = 0; i < ASKERS; ++i) {
        (void)vacancy_local_deliver(&waiting.workers[i]);
        vacancy_local_deinit(&waiting.workers[i]);
    }
    expect_done(&waiting.sale, false);
    expect_done(&waiting.same_key, true);
    expect_done(&waiting.beside, false);
    expect_done(&waiting.restock, false);
    assert_int_equal(waiting.withdrawn.times, 0);
    assert_int_equal(waiting.sale.result.order.sequence, world.tally.key_sequence[0]);
    assert_int_equal(waiting.same_key.result.order.sequence, world.tally.key_sequence[0]);
    assert_int_equal(waiting.same_key.result.order.token, waiting.sale.result.order.token);
    assert_int_equal(waiting.same_key.result.remaining, waiting.sale.result.remaining);
}

/* A keeper's life in a process of its own: it takes over, and turns until it is idle. */
static void keep(void *context)
{
    world_keeper_open(context);
    if (!world_turn(context))
        _exit(1);
}

static void begin_round(void)
{
    world_begin_round(&world);
    ask();
    world_keeper_close(&world); /* another process's turn */
}

static void kill_keeper(struct stepper *stepper)
{
    world_kill(&world, stepper, STOCK_PLACE_KEEPER);
    assert_true(world_repair(&world));
}

/* After all deaths: the test's own keeper takes over. */
static void expect_all_is_well(void)
{
    int64_t sold_before = world.tally.sold;

    world_keeper_open(&world);
    world_settle(&world);
    assert_int_equal(world.tally.sold, sold_before + QUANTITY + QUANTITY_BESIDE);
    expect_answers();
    world_check(&world, 0, QUANTITY);
}

/* Kills a keeper after each stride from `from` on, and checks each time; `before` readies what it
 * finds.  How many strides there were. */
static unsigned kill_in_every_stride(uintptr_t from, void (*before)(void))
{
    bool alive = true;
    unsigned strides;

    for (strides = 0; alive; ++strides) {
        struct stepper stepper;
        assert_in_range(strides, 0, STRIDES_MAX);
        begin_round();
        before();
        stepper_start(&stepper, keep, &world, from);
        alive = world_stride(&world, &stepper, strides);
        kill_keeper(&stepper);
        expect_all_is_well();
    }
    return strides - 1;
}

static void do_nothing(void)
{
}

/* Wherever in a batch a keeper dies, between the ledger's calls: its successor ends what it began,
 * each waiter is told once and right, and no ticket is lost or given twice. */
static void test_killed_in_every_turn(void **state)
{
    unsigned strides;

    (void)state;
    strides = kill_in_every_stride((uintptr_t)keeper_turn, do_nothing);
    assert_true(strides > 50);
    print_message("# killed at %u moments of the turns\n", strides);
}

static void die_with_unpublished_batch(void)
{
    struct stepper stepper;

    stepper_start(&stepper, keep, &world, (uintptr_t)world_keeper_options(&world).ops->append);
    stepper_end_at_return(&stepper);
    stepper_finish(&stepper);
    kill_keeper(&stepper);
}

/* The same for a keeper that takes over from one that died right after its transaction, and dies
 * in turn while it does again what comes after. */
static void test_killed_while_taking_over(void **state)
{
    unsigned strides;

    (void)state;
    strides = kill_in_every_stride((uintptr_t)keeper_open, die_with_unpublished_batch);
    assert_true(strides > 50);
    print_message("# killed at %u moments of a take-over and the turns after it\n", strides);
}

/* Wherever in the transaction a keeper dies, the batch is in the ledger as a whole or not at all,
 * and everybody who waits is told in the end. */
static void test_killed_at_every_system_call_of_the_transaction(void **state)
{
    bool alive = true;
    unsigned stops, kept = 0;

    (void)state;
    for (stops = 0; alive; ++stops) {
        struct stepper stepper;
        begin_round();
        stepper_start(&stepper, keep, &world, (uintptr_t)world_keeper_options(&world).ops->append);
        stepper_end_at_return(&stepper);
        for (unsigned i = 0; alive && i < stops; ++i)
            alive = stepper_syscall(&stepper);
        kill_keeper(&stepper);
        world_keeper_open(&world);
        kept += world.keeper->events[world.event].next > world.tally.entries;
        world_keeper_close(&world);
        expect_all_is_well();
    }
    /* it has been killed on both sides of the commit */
    assert_true(kept > 1 && stops - kept > 4);
    print_message("# killed at %u entries and exits of system calls\n", stops - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(test_killed_in_every_turn, &world),
        world_test(test_killed_while_taking_over, &world),
        world_test(test_killed_at_every_system_call_of_the_transaction, &world),
    };

    return stepper_is_permitted() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
