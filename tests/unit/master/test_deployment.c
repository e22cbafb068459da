#include "master/deployment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "master/pool.h"
#include "ticketd/error.h"

/* The defaults, with these over them; ended by NULL. */
static struct settings settings_of(const char *const *environment)
{
    struct settings_input input = {.config_path = "/dev/null",
                                   .environment = (char *const *)environment};
    char error[SETTINGS_ERROR_MAX] = "";
    struct settings settings;

    assert_int_equal(settings_load(&settings, &input, error), 0);
    assert_string_equal(error, "");
    return settings;
}

/* Few connections: it is not about the files that this process may open, but where a test says so.
 */
#define SETTINGS(...)                                                                              \
    settings_of((const char *const[]){"MAX_CONNECTIONS=10", "HTTP_MAX_CONNECTIONS=20",             \
                                      "HTTP_KEEPALIVE_CONNECTIONS=20", __VA_ARGS__, NULL})

static void check_pool(const struct deployment_pool *pool, enum role role, uint32_t workers,
                       const char *workers_row, int64_t port, const char *port_row)
{
    assert_int_equal(pool->role, role);
    assert_int_equal(pool->workers, workers);
    assert_string_equal(settings_row(pool->workers_row)->name, workers_row);
    assert_int_equal(pool->port, port);
    assert_string_equal(settings_row(pool->port_row)->name, port_row);
}

static void check_refused(const struct settings *settings, const char *begins)
{
    char error[SETTINGS_ERROR_MAX] = "";

    assert_int_equal(deployment_judge(settings, error), TICKETD_INVALID);
    assert_memory_equal(error, begins, strlen(begins));
    assert_null(strchr(error, '\n'));
}

static void check_accepted(const struct settings *settings)
{
    char error[SETTINGS_ERROR_MAX] = "";

    assert_int_equal(deployment_judge(settings, error), TICKETD_DONE);
    assert_string_equal(error, "");
}

/* A monolith is one pool, with the settings of its own name. */
static void test_monolith(void **state)
{
    struct settings settings = SETTINGS("DEPLOYMENT_MODE=monolith", "WORKERS=3", "MONOLITH_PORT=1");
    struct deployment deployment = deployment_of(&settings);

    (void)state;
    assert_int_equal(deployment.count, 1);
    assert_true(deployment.owns_stock);
    check_pool(&deployment.pools[0], ROLE_MONOLITH, 3, "WORKERS", 1, "MONOLITH_PORT");
    assert_int_equal(deployment_slots(&deployment), POOL_SLOTS(3));
    check_accepted(&settings);
}

/* By default both pools run, the owner of the stock first, each with its own settings. */
static void test_both(void **state)
{
    struct settings settings = SETTINGS("VACANCY_WORKERS=2", "TICKET_WORKERS=128", "WORKERS=7",
                                        "VACANCY_PORT=5", "TICKET_PORT=6");
    struct deployment deployment = deployment_of(&settings);

    (void)state;
    assert_int_equal(deployment.count, 2);
    assert_true(deployment.owns_stock);
    check_pool(&deployment.pools[0], ROLE_VACANCY, 2, "VACANCY_WORKERS", 5, "VACANCY_PORT");
    check_pool(&deployment.pools[1], ROLE_TICKET, 128, "TICKET_WORKERS", 6, "TICKET_PORT");
    assert_int_equal(deployment_slots(&deployment), POOL_SLOTS(130));
}

/* One pool of the two: only the vacancy pool owns a stock. */
static void test_one_of_two(void **state)
{
    struct settings vacancy = SETTINGS("SERVICES=vacancy", "VACANCY_WORKERS=1");
    struct settings ticket = SETTINGS("SERVICES=ticket", "TICKET_WORKERS=2");
    struct deployment deployment = deployment_of(&vacancy);

    (void)state;
    assert_int_equal(deployment.count, 1);
    assert_true(deployment.owns_stock);
    check_pool(&deployment.pools[0], ROLE_VACANCY, 1, "VACANCY_WORKERS", 8001, "VACANCY_PORT");
    deployment = deployment_of(&ticket);
    assert_int_equal(deployment.count, 1);
    assert_false(deployment.owns_stock);
    check_pool(&deployment.pools[0], ROLE_TICKET, 2, "TICKET_WORKERS", 8002, "TICKET_PORT");
}

/* A monolith has nothing to pick from; the line tells setting, value and what is allowed. */
static void test_services_of_a_monolith(void **state)
{
    struct settings ticket = SETTINGS("DEPLOYMENT_MODE=monolith", "SERVICES=ticket");
    struct settings vacancy = SETTINGS("DEPLOYMENT_MODE=monolith", "SERVICES=vacancy");
    struct settings all = SETTINGS("DEPLOYMENT_MODE=monolith", "SERVICES=all");

    (void)state;
    check_refused(&ticket, "SERVICES: \"ticket\" is not allowed: only all ");
    check_refused(&vacancy, "SERVICES: \"vacancy\" is not allowed: only all ");
    check_accepted(&all);
}

/* A path is for one pool, wherever in the list it stands. */
static void test_paths(void **state)
{
    struct settings both = SETTINGS("HOST=::1,unix:/run/x,127.0.0.1");
    struct settings one = SETTINGS("HOST=::1,unix:/run/x", "SERVICES=ticket");
    struct settings monolith = SETTINGS("HOST=unix:/run/x", "DEPLOYMENT_MODE=monolith");
    struct settings none = SETTINGS("HOST=::1,127.0.0.1");

    (void)state;
    check_refused(&both, "HOST: \"unix:/run/x\" is not allowed: ");
    check_accepted(&one);
    check_accepted(&monolith);
    check_accepted(&none);
}

/* Every worker may hold all connections and a bell a slot; where there is a ticket pool, its calls
 * as well. */
static void test_descriptors(void **state)
{
    struct settings vacancy = SETTINGS("SERVICES=vacancy", "VACANCY_WORKERS=1");
    struct settings both = SETTINGS("VACANCY_WORKERS=1", "TICKET_WORKERS=1");
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max > INT32_MAX)
        limit.rlim_max = 4096;
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    vacancy.max_connections = (int64_t)limit.rlim_max - 64 - 2;
    check_accepted(&vacancy);
    ++vacancy.max_connections;
    check_refused(&vacancy, "MAX_CONNECTIONS: ");
    both.http_max_connections = 100;
    both.max_connections = (int64_t)limit.rlim_max - 64 - 4 - 100;
    check_accepted(&both);
    ++both.http_max_connections;
    check_refused(&both, "MAX_CONNECTIONS: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monolith),   cmocka_unit_test(test_both),
        cmocka_unit_test(test_one_of_two), cmocka_unit_test(test_services_of_a_monolith),
        cmocka_unit_test(test_paths),      cmocka_unit_test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
