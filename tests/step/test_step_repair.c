/* A master is killed after every single instruction of a repair, which is then run again. */
#include "stepper.h"
#include "stock/keeper_link.h"
#include "stock/repair.h"
#include "stock/segment.h"
#include "ticketd/error.h"
#include "world.h"

#define QUANTITY 3
#define OTHER    2
#define RESTOCK  5
/* Far more steps than a sale or repair has; and than a turn of a keeper up to its own entry. */
#define STEPS_MAX 20000

static struct world world;

/* ---- What the dead leave ---- */

static const struct world_seller first = {
    .world = &world, .place = WORLD_PLACE(0), .quantity = QUANTITY, .key = 0};
static const struct world_seller second = {
    .world = &world, .place = WORLD_PLACE(1), .quantity = OTHER, .key = 1};

static uint64_t intent_of(uint32_t place)
{
    return atomic_load(&segment_place(&world.stock, place)->intent);
}

/* To where it shows what it is about to swap. */
static void step_to_intent(struct stepper *stepper, uint32_t place)
{
    while (intent_of(place) == SEGMENT_NO_INTENT)
        assert_true(stepper_step(stepper, 1));
}

/* To right after its swap. */
static void step_to_swap(struct stepper *stepper)
{
    const struct segment_event *event = segment_event(&world.stock, world.event);
    uint64_t word = atomic_load(&event->word);

    while (atomic_load(&event->word) == word)
        assert_true(stepper_step(stepper, 1));
}

static void die_after_swap(const struct world_seller *seller)
{
    struct stepper stepper;

    world_start_seller(seller, &stepper);
    step_to_swap(&stepper);
    assert_int_not_equal(intent_of(seller->place), SEGMENT_NO_INTENT);
    world_kill(&world, &stepper, seller->place);
}

static void leave_orphan(void)
{
    die_after_swap(&first);
}

/* What it took is told only by the entry after it. */
static void leave_orphan_before_another_sale(void)
{
    struct vacancy_local worker;
    struct answer answer;

    die_after_swap(&first);
    world_worker_open(&world, &worker, WORLD_PLACE(2));
    world_buy(&world, &worker, 1, -1, &answer);
    world_worker_end(&world, &worker);
}

static void leave_two_orphans(void)
{
    die_after_swap(&first);
    die_after_swap(&second);
}

/* Both show one sequence, and `winner` has won it. */
static void leave_two_of_one_sequence(const struct world_seller *winner)
{
    struct stepper one, other;

    world_start_seller(&first, &one);
    world_start_seller(&second, &other);
    step_to_intent(&one, first.place);
    step_to_intent(&other, second.place);
    assert_int_equal(intent_of(first.place), intent_of(second.place));
    step_to_swap(winner == &first ? &one : &other);
    world_kill(&world, &one, first.place);
    world_kill(&world, &other, second.place);
}

static void leave_two_won_by_first(void)
{
    leave_two_of_one_sequence(&first);
}

static void leave_two_won_by_second(void)
{
    leave_two_of_one_sequence(&second);
}

static void keep(void *context)
{
    world_keeper_open(context);
    (void)world_turn(context);
}

/* A keeper gives tickets, and dies right after its swap. */
static void give_and_die(void)
{
    struct stepper stepper;

    world_keeper_close(&world);
    stepper_start(&stepper, keep, &world, (uintptr_t)journal_give);
    step_to_swap(&stepper);
    world_kill(&world, &stepper, STOCK_PLACE_KEEPER);
}

static void leave_orphaned_return(void)
{
    struct vacancy_local worker;
    struct answer answer;

    world_worker_open(&world, &worker, WORLD_PLACE(2));
    world_buy(&world, &worker, QUANTITY, -1, &answer);
    vacancy_cancel(&answer.call);
    world_worker_end(&world, &worker);
    give_and_die();
}

static struct {
    struct vacancy_local worker;
    struct answer answer;
} restocking;

static void leave_orphaned_restock(void)
{
    world_worker_open(&world, &restocking.worker, WORLD_PLACE(2));
    world_restock(&world, &restocking.worker, RESTOCK, &restocking.answer);
    give_and_die();
}

static void expect_restocked(void)
{
    (void)vacancy_local_deliver(&restocking.worker);
    vacancy_local_deinit(&restocking.worker);
    assert_int_equal(restocking.answer.times, 1);
    assert_int_equal(restocking.answer.result.status, TICKETD_DONE);
}

static void expect_nothing_more(void)
{
}

/* ---- The repair ---- */

/* The places that a master repairs, in this order. */
struct order {
    uint32_t places[2];
    unsigned count;
};

/* As master: once more if it has to be, since one dead one may have to wait for another. */
static void repair(void *context)
{
    const struct order *order = context;

    for (unsigned i = 0; i < order->count; ++i)
        if (place_is_reaped(&world.stock, order->places[i]) &&
            place_repair(&world.stock, order->places[i]) != TICKETD_DONE)
            _exit(1);
}

/* What `leave` left is repaired by a master that dies after so many steps, for all of them, and
 * then again. */
static void repair_in_two(void (*leave)(void), const struct order *order, void (*expect)(void))
{
    bool alive = true;
    unsigned steps;

    for (steps = 0; alive; ++steps) {
        struct stepper stepper;
        assert_in_range(steps, 0, STEPS_MAX);
        world_begin_round(&world);
        leave();
        stepper_start(&stepper, repair, (void *)order, (uintptr_t)place_repair);
        /* of two repairs in a row, all instructions only when all is to be tried */
        alive = order->count > 1 ? world_stride(&world, &stepper, steps)
                                 : stepper_step(&stepper, steps);
        stepper_kill(&stepper);
        repair((void *)order);
        assert_true(world_repair(&world));
        if (!world.keeper_is_open)
            world_keeper_open(&world);
        world_settle(&world);
        expect();
        world_check(&world, 0, QUANTITY);
        world_check(&world, 1, OTHER);
    }
    assert_true(steps > 10);
    print_message("# killed at %u moments\n", steps - 1);
}

static const struct order one = {.places = {WORLD_PLACE(0)}, .count = 1};
static const struct order ahead = {.places = {WORLD_PLACE(0), WORLD_PLACE(1)}, .count = 2};
static const struct order back = {.places = {WORLD_PLACE(1), WORLD_PLACE(0)}, .count = 2};
static const struct order the_keeper = {.places = {STOCK_PLACE_KEEPER}, .count = 1};

/* An orphan becomes void and its tickets come back, wherever its repair is cut short. */
static void test_orphan(void **state)
{
    (void)state;
    repair_in_two(leave_orphan, &one, expect_nothing_more);
}

/* So does one that others have sold after. */
static void test_orphan_before_another_sale(void **state)
{
    (void)state;
    repair_in_two(leave_orphan_before_another_sale, &one, expect_nothing_more);
}

/* Two orphans in a row are told apart, in whichever order they are repaired. */
static void test_two_orphans(void **state)
{
    (void)state;
    repair_in_two(leave_two_orphans, &ahead, expect_nothing_more);
    repair_in_two(leave_two_orphans, &back, expect_nothing_more);
}

/* Of two dead that show one sequence, what the winner took comes back, whoever is repaired first.
 */
static void test_two_dead_of_one_sequence(void **state)
{
    (void)state;
    repair_in_two(leave_two_won_by_first, &ahead, expect_nothing_more);
    repair_in_two(leave_two_won_by_first, &back, expect_nothing_more);
    repair_in_two(leave_two_won_by_second, &ahead, expect_nothing_more);
    repair_in_two(leave_two_won_by_second, &back, expect_nothing_more);
}

/* A return that a dead keeper had begun is a return, once. */
static void test_orphaned_return(void **state)
{
    (void)state;
    repair_in_two(leave_orphaned_return, &the_keeper, expect_nothing_more);
}

/* A restock that a dead keeper had begun is done once, and who asked for it is told. */
static void test_orphaned_restock(void **state)
{
    (void)state;
    repair_in_two(leave_orphaned_restock, &the_keeper, expect_restocked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(test_orphan, &world),
        world_test(test_orphan_before_another_sale, &world),
        world_test(test_two_orphans, &world),
        world_test(test_two_dead_of_one_sequence, &world),
        world_test(test_orphaned_return, &world),
        world_test(test_orphaned_restock, &world),
    };

    return stepper_is_permitted() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
