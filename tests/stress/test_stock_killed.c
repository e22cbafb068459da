/* Sellers are killed at moments that nobody chose, and their places repaired and given anew. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "selling.h"
#include "stock/repair.h"

#define SELLERS  8
#define CAPACITY 20000
/* Entries of one round: enough for every kill to hit a seller that is still busy. */
#define CHURN 400000
/* A kill comes after at most so many further tickets were asked for. */
#define KILL_AFTER_MAX 30000

static uint32_t rounds(uint32_t usual)
{
    return getenv("TICKETD_TEST_LONG") == NULL ? usual : usual * 20;
}

static pid_t start(struct selling *selling, uint32_t seller)
{
    pid_t child;

    place_give(&selling->stock, STOCK_PLACE_OF(seller));
    child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        _exit(1);
    selling_sell(selling, seller);
    _exit(0);
}

static pid_t start_keeper(struct selling *selling)
{
    pid_t child;

    place_give(&selling->stock, STOCK_PLACE_KEEPER);
    child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        _exit(1);
    selling_keep(selling);
    _exit(0);
}

/* As the master does it: again and again while a living seller may own the slot. */
static void repair(struct selling *selling, uint32_t seller)
{
    place_reaped(&selling->stock, STOCK_PLACE_OF(seller));
    while (place_repair(&selling->stock, STOCK_PLACE_OF(seller)) == TICKETD_BUSY)
        (void)sched_yield();
    assert_false(place_is_reaped(&selling->stock, STOCK_PLACE_OF(seller)));
}

/* Watches the stock until so many more tickets were asked for, or until nobody asks any more. */
static void watch(struct selling *selling, uint32_t tickets, struct selling_look *last)
{
    uint64_t until = selling_asked(selling) + tickets;

    do {
        (void)sched_yield();
        selling_look(selling, last);
    } while (selling_asked(selling) < until &&
             last->view.sequence - selling->options.first < CHURN);
}

/* Kills the seller; what it meant to do is noted if it was in a call. */
static void kill_seller(struct selling *selling, uint32_t seller, pid_t child, int32_t *intents,
                        uint32_t *intent_count)
{
    int status = 0;
    int32_t intent;

    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    intent = atomic_load(&selling->tallies[seller].intent);
    if (intent != 0)
        intents[(*intent_count)++] = intent;
    repair(selling, seller);
}

/* One round: sellers churn, `kills` of them die one after the other, the others sell the rest. */
static void run(uint32_t kills, uint32_t seed)
{
    struct selling *selling = selling_new(&(struct selling_options){
        .mix = SELLING_RETURNS,
        .sellers = SELLERS + 1,
        .capacity = CAPACITY,
        .first = (UINT64_C(1) << 32) - CHURN / 8,
        .churn = CHURN,
        .churn_till_stop = true,
        .seed = seed,
    });
    struct selling_look last = {.looked = false};
    int32_t intents[SELLERS];
    uint32_t intent_count = 0;
    pid_t children[SELLERS], keeper;
    int status = 0;

    srandom(seed);
    keeper = start_keeper(selling);
    for (uint32_t i = 0; i < SELLERS; ++i)
        children[i] = start(selling, i);
    for (uint32_t i = 0; i < kills; ++i) {
        watch(selling, (uint32_t)random() % KILL_AFTER_MAX, &last);
        kill_seller(selling, i, children[i], intents, &intent_count);
        selling_look(selling, &last);
    }
    atomic_store(&selling->stop, true);
    for (uint32_t i = kills; i < SELLERS; ++i) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    atomic_store(&selling->all_sold, true);
    assert_int_equal(waitpid(keeper, &status, 0), keeper);
    assert_int_equal(status, 0);
    selling_look(selling, &last);
    selling_finish(selling, SELLERS); /* what has come back, and all if all were killed */
    selling_look(selling, &last);
    selling_check(selling, intents, intent_count);
    selling_free(selling);
}

/* What a killed seller had taken and not sold comes back; the others go on and sell all that is
 * left. */
static void test_survivors_sell_the_rest(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(15); ++i)
        run(SELLERS - 1, i);
}

/* The same when nobody survives: a new process finds a sound stock. */
static void test_nobody_survives(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(15); ++i)
        run(SELLERS, 1000 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survivors_sell_the_rest),
        cmocka_unit_test(test_nobody_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
