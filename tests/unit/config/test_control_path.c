#include "config/control_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_first.h"
#include "ticketd/error.h"

static struct settings settings_of(enum deployment_mode mode, enum services services,
                                   const char *socket)
{
    struct settings settings = {.deployment_mode = mode, .services = services};

    (void)snprintf(settings.control_socket, sizeof(settings.control_socket), "%s", socket);
    return settings;
}

static void check_found(const struct settings *settings, const char *ledger, const char *expected)
{
    char path[CONTROL_PATH_SIZE];

    assert_int_equal(control_path_find(settings, ledger, path), TICKETD_DONE);
    assert_string_equal(path, expected);
}

#define MONOLITH(socket) settings_of(DEPLOYMENT_MODE_MONOLITH, SERVICES_ALL, socket)
#define POOLS(services)  settings_of(DEPLOYMENT_MODE_MICROSERVICES, services, "")

/* The setting wins over all, then the folder that systemd gives, then the ledger's path. */
static void test_order(void **state)
{
    struct settings given = MONOLITH("/a/socket"), none = MONOLITH("");
    char path[CONTROL_PATH_SIZE] = "untouched";

    (void)state;
    (void)setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
    check_found(&given, "/l/ledger.db", "/a/socket");
    check_found(&none, "/l/ledger.db", "/run/one/control.sock");
    (void)setenv("RUNTIME_DIRECTORY", "", 1);
    check_found(&none, "/l/ledger.db", "/l/ledger.db.control");
    (void)unsetenv("RUNTIME_DIRECTORY");
    check_found(&none, "/l/ledger.db", "/l/ledger.db.control");
    assert_int_equal(control_path_find(&none, "", path), TICKETD_NOT_FOUND);
    assert_string_equal(path, "untouched");
}

/* A ticket pool alone has a place of its own, whatever LEDGER_URL says; the pools that own a stock
 * have the ledger's, and a monolith is none of them. */
static void test_ticket_alone(void **state)
{
    struct settings ticket = POOLS(SERVICES_TICKET), vacancy = POOLS(SERVICES_VACANCY),
                    all = POOLS(SERVICES_ALL), monolith = MONOLITH("");

    (void)state;
    monolith.services = SERVICES_TICKET; /* ticketd refuses this, ticketctl does not care */
    (void)setenv("RUNTIME_DIRECTORY", "/run/x", 1);
    check_found(&ticket, "/l/ledger.db", "/run/x/ticket-control.sock");
    check_found(&vacancy, "/l/ledger.db", "/run/x/control.sock");
    (void)unsetenv("RUNTIME_DIRECTORY");
    check_found(&ticket, "", "var/ticket.control");
    check_found(&vacancy, "/l/ledger.db", "/l/ledger.db.control");
    check_found(&all, "/l/ledger.db", "/l/ledger.db.control");
    check_found(&monolith, "/l/ledger.db", "/l/ledger.db.control");
    assert_true(control_path_is_ticket(&ticket));
    assert_false(control_path_is_ticket(&all));
    assert_false(control_path_is_ticket(&monolith));
}

/* The longest path that a socket's address has room for is taken, and not one byte more. */
static void test_length(void **state)
{
    struct settings none = MONOLITH("");
    char path[CONTROL_PATH_SIZE], ledger[CONTROL_PATH_SIZE];

    (void)state;
    memset(ledger, 'l', sizeof(ledger));
    ledger[CONTROL_PATH_SIZE - sizeof(".control")] = '\0';
    assert_int_equal(control_path_find(&none, ledger, path), TICKETD_DONE);
    assert_int_equal(strlen(path), CONTROL_PATH_SIZE - 1);
    strcat(ledger, "l");
    assert_int_equal(control_path_find(&none, ledger, path), TICKETD_INVALID);
}

/* Only the folder of the ticket pool's own default path is made, and one that is there is fine. */
static void test_prepare(void **state)
{
    char folder[] = "/tmp/ticketd-test-XXXXXX";
    struct stat status;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(control_path_prepare("other/ticket.control"), 0);
    assert_int_equal(stat("other", &status), -1);
    assert_int_equal(control_path_prepare("var/ticket.control"), 0);
    assert_int_equal(stat("var", &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(control_path_prepare("var/ticket.control"), 0);
    assert_int_equal(rmdir("var"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_ticket_alone),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_prepare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
