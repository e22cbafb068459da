/* The worker of a real server is killed after every single instruction of a sale that a client
 * asked for, and its master has to mend it. */
#include "server.h"
#include "stepper.h"

#define QUANTITY  3
#define KEY       "\"one-purchase\""
#define STEPS_MAX 5000

static struct server server;

static int tear_down(void **state)
{
    (void)state;
    server_remove(&server);
    return 0;
}

/* The client asks until it is served: once more with the same key, and again. */
static void retry(void)
{
    struct purchase purchase, again;

    assert_true(server_answer(server_ask(&server, QUANTITY, KEY), &purchase));
    assert_true(purchase.sold);
    assert_true(server_answer(server_ask(&server, QUANTITY, KEY), &again));
    assert_true(again.sold && again.replayed);
    assert_string_equal(again.order_id, purchase.order_id);
    assert_true(server_answer(server_ask(&server, 1, NULL), &purchase));
    assert_true(purchase.sold && !purchase.replayed);
    assert_string_not_equal(again.order_id, purchase.order_id);
}

/* The key has sold once, every ticket is where it should be, and none is owed. */
static void audit(void)
{
    assert_int_equal(server_query(&server, "SELECT count(*) FROM entries WHERE kind = 1"), 2);
    assert_int_equal(server_query(&server, "SELECT count(*) FROM entries WHERE kind = 1 AND key"
                                           " IS NOT NULL"),
                     1);
    assert_int_equal(server_query(&server, "SELECT sold FROM events"), QUANTITY + 1);
    assert_int_equal(server_query(&server, "SELECT owed FROM events"), 0);
    assert_int_equal(server_query(&server, "SELECT capacity FROM events"), SERVER_STOCK);
    assert_int_equal(server_query(&server, "SELECT available FROM events"),
                     SERVER_STOCK - QUANTITY - 1);
    assert_int_equal(
        server_query(&server, "SELECT count(*) FROM balances WHERE continuous AND balanced"), 1);
}

/* One server, one death; *ret_voided: the entries that the dead one had begun and not stamped.
 * false: the sale had ended before. */
static bool run_server(unsigned steps, unsigned *ret_voided)
{
    struct stepper worker;
    struct purchase none;
    int connection;
    bool alive;

    server_start(&server);
    stepper_attach(&worker, server_worker(&server));
    connection = server_ask(&server, QUANTITY, KEY);
    stepper_run_to(&worker, stepper_address_of(&worker, "stock_sell"));
    stepper_end_at_return(&worker);
    alive = stepper_step(&worker, steps);
    stepper_kill(&worker);
    assert_false(server_answer(connection, &none));
    retry();
    server_stop(&server);
    audit();
    *ret_voided = (unsigned)server_query(&server, "SELECT count(*) FROM entries WHERE kind = 3");
    server_remove(&server);
    return alive;
}

/* Wherever in stock_sell the worker dies, the client's retry with the same key gets one order, and
 * the ledger has every ticket. */
static void test_worker_killed_in_a_sale(void **state)
{
    unsigned steps, voided_in_all = 0;
    bool alive = true;

    (void)state;
    for (steps = 0; alive; ++steps) {
        unsigned voided;
        assert_in_range(steps, 0, STEPS_MAX);
        alive = run_server(steps, &voided);
        voided_in_all += voided;
    }
    /* some of them have died between the swap and the stamp */
    assert_true(steps > 50 && voided_in_all > 10);
    print_message("# %u workers died, %u of them between swap and stamp\n", steps, voided_in_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_worker_killed_in_a_sale, tear_down),
    };

    return stepper_is_permitted() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
