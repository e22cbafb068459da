/* A worker is killed after every single instruction of a sale. */
#include "stepper.h"
#include "world.h"

/* Tickets that the dying one and its neighbour ask for. */
#define QUANTITY       3
#define QUANTITY_OTHER 2
/* Far more steps than a sale has. */
#define STEPS_MAX 5000

static struct world world;

static const struct world_seller first = {
    .world = &world, .place = WORLD_PLACE(0), .quantity = QUANTITY, .key = 0};
static const struct world_seller second = {
    .world = &world, .place = WORLD_PLACE(1), .quantity = QUANTITY_OTHER, .key = 1};

/* Wherever in a sale a worker dies: the balance is exact, the next sale works, and the same key
 * asked again sells once. */
static void test_killed_after_every_instruction(void **state)
{
    unsigned sold = 0, not_sold = 0;
    bool alive = true;

    (void)state;
    for (unsigned steps = 0; alive; ++steps) {
        struct stepper stepper;
        assert_in_range(steps, 0, STEPS_MAX);
        world_begin_round(&world);
        world_start_seller(&first, &stepper);
        alive = stepper_step(&stepper, steps);
        world_kill(&world, &stepper, first.place);
        assert_true(world_repair(&world));
        world_settle(&world);
        ++*(world.tally.key_sales[0] > 0 ? &sold : &not_sold);
        world_check(&world, 0, QUANTITY);
    }
    /* it has been killed on both sides of the stamp */
    assert_true(sold > 10 && not_sold > 10);
    print_message("# killed after each of %u instructions\n", sold + not_sold - 1);
}

/* The first one is dead; the second one, which lives and is stopped, goes on when it is waited for,
 * and has its sale in the end. */
static void mend_beside(struct stepper *beside)
{
    if (world_repair(&world))
        (void)world_turn(&world); /* it may have to wait for what the second one has taken */
    stepper_finish(beside);
    assert_true(world_repair(&world));
    world_kill(&world, beside, second.place);
    assert_true(world_repair(&world));
    world_check(&world, 0, QUANTITY);
    assert_int_equal(world.tally.key_sales[1], 1);
}

/* One round; *ret_alive and *ret_beside_alive: whether the sales of the two were cut short.  Of the
 * dying one only the bytes that it leaves matter; the other one also remembers what it has read, so
 * all its instructions are moments of their own when everything is to be tried. */
static void run_pair(unsigned changes, unsigned strides_beside, bool dead_first, bool *ret_alive,
                     bool *ret_beside_alive)
{
    struct stepper dying, beside;

    world_begin_round(&world);
    world_start_seller(&first, &dying);
    world_start_seller(&second, &beside);
    if (dead_first)
        *ret_alive = world_step_changes(&world, &dying, changes);
    *ret_beside_alive = world_stride(&world, &beside, strides_beside);
    if (!dead_first)
        *ret_alive = world_step_changes(&world, &dying, changes);
    world_kill(&world, &dying, first.place);
    mend_beside(&beside);
}

static void run_pairs(bool dead_first)
{
    unsigned rounds = 0;
    bool any_beside = true;

    for (unsigned strides_beside = 0; any_beside; ++strides_beside) {
        bool alive = true;
        any_beside = false;
        for (unsigned changes = 0; alive; ++changes, ++rounds) {
            bool beside_alive;
            run_pair(changes, strides_beside, dead_first, &alive, &beside_alive);
            any_beside |= beside_alive;
        }
    }
    assert_true(rounds > 100);
    print_message("# %u pairs of moments\n", rounds);
}

/* The same while another worker has stopped before any access of its own sale: what a living one
 * may own is waited for, and its sale is not touched. */
static void test_killed_beside_one_that_has_stopped(void **state)
{
    (void)state;
    run_pairs(false);
}

/* The same when the living one began after the dying one had come so far. */
static void test_killed_before_one_that_has_stopped(void **state)
{
    (void)state;
    run_pairs(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(test_killed_after_every_instruction, &world),
        world_test(test_killed_beside_one_that_has_stopped, &world),
        world_test(test_killed_before_one_that_has_stopped, &world),
    };

    return stepper_is_permitted() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
