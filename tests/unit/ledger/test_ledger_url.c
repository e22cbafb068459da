/* What LEDGER_URL may say, and the folder that is made for it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../crash/cmocka_first.h"

#include "ledger/ledger_url.h"
#include "ticketd/error.h"

struct surroundings {
    char before[PATH_MAX];
    char folder[PATH_MAX]; /* where the test works */
};

static int set_up(void **state)
{
    struct surroundings *surroundings = calloc(1, sizeof(*surroundings));
    char made[] = "/tmp/ticketd-test-XXXXXX";

    assert_non_null(surroundings);
    assert_non_null(getcwd(surroundings->before, PATH_MAX));
    assert_non_null(mkdtemp(made));
    assert_int_equal(chdir(made), 0);
    assert_non_null(getcwd(surroundings->folder, PATH_MAX));
    (void)unsetenv("STATE_DIRECTORY");
    *state = surroundings;
    return 0;
}

static int tear_down(void **state)
{
    struct surroundings *surroundings = *state;

    (void)rmdir("var");
    assert_int_equal(chdir(surroundings->before), 0);
    assert_int_equal(rmdir(surroundings->folder), 0);
    free(surroundings);
    (void)unsetenv("STATE_DIRECTORY");
    return 0;
}

static struct ledger_place must_find(const char *url)
{
    struct ledger_place place;
    char error[512] = "";

    if (ledger_place_find(url, &place, error, sizeof(error)) != 0)
        fail_msg("%s: %s", url, error);
    return place;
}

/* A path of its own is taken as it is when it is absolute, from the working directory when not. */
static void test_paths(void **state)
{
    const struct surroundings *surroundings = *state;
    struct ledger_place place = must_find("sqlite:/srv/tickets.db");
    char expected[PATH_MAX + 32];

    assert_string_equal(place.location, "/srv/tickets.db");
    assert_ptr_equal(place.ops, &ledger_sqlite_ops);
    assert_true(place.durable);
    (void)snprintf(expected, sizeof(expected), "%s/data/tickets.db", surroundings->folder);
    assert_string_equal(must_find("sqlite:data/tickets.db").location, expected);
    /* A name that SQLite would take for something else is a file's name here. */
    (void)snprintf(expected, sizeof(expected), "%s/:memory:", surroundings->folder);
    assert_string_equal(must_find("sqlite::memory:").location, expected);
}

/* What is kept in memory has no place in the file system, and nothing is made for it. */
static void test_memory(void **state)
{
    struct ledger_place place = must_find("memory:");
    char error[512] = "";

    (void)state;
    assert_ptr_equal(place.ops, &ledger_memory_ops);
    assert_string_equal(place.location, "");
    assert_false(place.durable);
    assert_int_equal(ledger_place_prepare(&place, error, sizeof(error)), 0);
}

/* Without a path the ledger is in the folder that systemd names first, else in ./var. */
static void test_default_path(void **state)
{
    const struct surroundings *surroundings = *state;
    char expected[PATH_MAX + 32];

    (void)snprintf(expected, sizeof(expected), "%s/var/ledger.db", surroundings->folder);
    assert_string_equal(must_find("sqlite:").location, expected);
    assert_int_equal(setenv("STATE_DIRECTORY", "", 1), 0);
    assert_string_equal(must_find("sqlite:").location, expected);
    assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/ticketd", 1), 0);
    assert_string_equal(must_find("sqlite:").location, "/var/lib/ticketd/ledger.db");
    assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/a/:/var/lib/b", 1), 0);
    assert_string_equal(must_find("sqlite:").location, "/var/lib/a/ledger.db");
    assert_string_equal(must_find("sqlite:/x.db").location, "/x.db");
}

/* Anything else is refused in one line that says what is allowed, and nothing is returned. */
static void test_refused(void **state)
{
    static const char *const wrong[] = {
        "",       "x",         "sqlite",        "SQLITE:",  "sqlit:",
        "memory", "memory:x",  "Memory:",       " sqlite:", "postgresql://localhost/",
        "file:a", "sqlite3:a", "quote\"line\n",
    };
    struct ledger_place place = {.location = "untouched"};
    char error[512], expected[512];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(ledger_place_find(wrong[i], &place, error, sizeof(error)),
                         TICKETD_INVALID);
        assert_null(strchr(error, '\n'));
        assert_non_null(strstr(error, "is not allowed: sqlite:PATH, sqlite: or memory:"));
        assert_string_equal(place.location, "untouched");
    }
    assert_int_equal(ledger_place_find("x", &place, error, sizeof(error)), TICKETD_INVALID);
    (void)snprintf(expected, sizeof(expected),
                   "LEDGER_URL: \"x\" is not allowed: sqlite:PATH, sqlite: or memory:");
    assert_string_equal(error, expected);
}

/* A path that no file can have is refused before anything is tried, wherever its length comes
 * from, and the message stays short. */
static void test_too_long(void **state)
{
    struct ledger_place place;
    char url[PATH_MAX + 16] = "sqlite:/", error[512];

    (void)state;
    memset(url + 8, 'a', PATH_MAX - 10);
    assert_int_equal(ledger_place_find(url, &place, error, sizeof(error)), TICKETD_INVALID);
    assert_non_null(strstr(error, "aaa...\" is too long: sqlite:PATH"));
    url[7] = 'b'; /* as long as it can be by itself, and relative */
    url[7 + PATH_MAX - 16] = '\0';
    assert_int_equal(ledger_place_find(url, &place, error, sizeof(error)), TICKETD_INVALID);
    assert_int_equal(setenv("STATE_DIRECTORY", url + 7, 1), 0);
    assert_int_equal(ledger_place_find("sqlite:", &place, error, sizeof(error)), TICKETD_INVALID);
}

/* The one missing folder is made for its owner and group alone, and is there already the next
 * time; a folder further up is not made. */
static void test_prepare(void **state)
{
    struct ledger_place place = must_find("sqlite:");
    struct stat status;
    char error[512] = "";
    mode_t mask = umask(0);

    (void)state;
    assert_int_equal(ledger_place_prepare(&place, error, sizeof(error)), 0);
    (void)umask(mask);
    assert_int_equal(stat("var", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
    assert_int_equal(ledger_place_prepare(&place, error, sizeof(error)), 0);
    place = must_find("sqlite:a/b/ledger.db");
    assert_int_equal(ledger_place_prepare(&place, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, "/a/b: No such file"));
    assert_int_not_equal(access("a", F_OK), 0);
    place = must_find("sqlite:/ledger.db");
    assert_int_equal(ledger_place_prepare(&place, error, sizeof(error)), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_paths),   CASE(test_memory),   CASE(test_default_path),
        CASE(test_refused), CASE(test_too_long), CASE(test_prepare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
