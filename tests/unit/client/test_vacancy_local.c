/* What only the local client promises, and what the interface asserts of its users; the rest is
 * tests/contract. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/vacancy_local.h"
#include "late_client.h"
#include "ticketd/error.h"

#define CAPACITY 10

static struct stock stock;
static struct vacancy_local local;
static struct vacancy_result last;
static unsigned completed;

static int set_up(void **state)
{
    uint32_t event;

    (void)state;
    completed = 0;
    vacancy_local_init(&local, &stock);
    if (stock_create(&stock, 1) != 0)
        return -1;
    return stock_event_create(&stock, "default", CAPACITY, 0, &event);
}

static int tear_down(void **state)
{
    (void)state;
    stock_destroy(&stock);
    return 0;
}

static void on_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    (void)call;
    ++completed;
    last = *result;
}

static const struct vacancy_request one = {.event = {.base = "default", .len = 7}, .quantity = 1};

/* Every call completes before it returns. */
static void test_completes_inline(void **state)
{
    struct vacancy_call call = {0};

    (void)state;
    vacancy_reserve(&local.client, &call, &one, on_complete);
    assert_int_equal(completed, 1);
    assert_int_equal(last.remaining, CAPACITY - 1);
    vacancy_available(&local.client, &call, &one, on_complete);
    assert_int_equal(completed, 2);
    vacancy_health(&local.client, &call, &one, on_complete);
    assert_int_equal(completed, 3);
    assert_null(call.pending);
}

/* A stock that is gone cannot sell, and health says so. */
static void test_no_stock(void **state)
{
    struct vacancy_call call = {0};

    (void)state;
    stock_destroy(&stock);
    vacancy_health(&local.client, &call, &one, on_complete);
    assert_int_equal(completed, 1);
    assert_int_equal(last.status, TICKETD_UNAVAILABLE);
}

static void expect_abort(void (*body)(void))
{
    struct rlimit none = {0};
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (setrlimit(RLIMIT_CORE, &none) != 0 || freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void start_pending(void)
{
    struct late_client late;
    struct vacancy_call call = {0};

    late_client_init(&late, &local.client, LATE_JUDGED_WHEN_PUMPED);
    vacancy_reserve(&late.client, &call, &one, on_complete);
    vacancy_reserve(&late.client, &call, &one, on_complete);
}

static void complete_idle(void)
{
    struct vacancy_call call = {.on_complete = on_complete};

    vacancy_complete(&call, &(struct vacancy_result){.status = TICKETD_DONE});
}

static void leave_a_slot_empty(void)
{
    struct vacancy_client_ops ops = *local.client.ops;
    struct vacancy_client client;

    ops.cancel = NULL;
    vacancy_client_init(&client, &ops);
}

/* A call that is started while pending, one that completes while idle, and a table with an empty
 * slot end the process at once. */
static void test_broken_users_die(void **state)
{
    (void)state;
    expect_abort(start_pending);
    expect_abort(complete_idle);
    expect_abort(leave_a_slot_empty);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_completes_inline),
        CASE(test_no_stock),
        CASE(test_broken_users_die),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
