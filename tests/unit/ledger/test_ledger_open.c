/* Who may open a ledger, which files are taken for one, and what is said about the others. */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Opens for writing and expects that answer, words of the message, and an untouched file. */
static void expect_refused(const char *path, int answer, const char *words)
{
    struct ledger *ledger = NULL;
    char before[65536], after[65536], error[512] = "";
    FILE *file = fopen(path, "rb");
    size_t size;
    int r;

    assert_non_null(file);
    size = fread(before, 1, sizeof(before), file);
    (void)fclose(file);
    r = ops->open(&ledger, path, -1, error, sizeof(error));
    if (r != answer || !strstr(error, words) || strchr(error, '\n'))
        fail_msg("open: %d %s", r, error);
    assert_non_null(strstr(error, path));
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(after, 1, sizeof(after), file), size);
    (void)fclose(file);
    assert_memory_equal(before, after, size);
}

static void make_ledger(const char *path)
{
    struct ledger *ledger = must_open(path);
    struct ledger_entry entries[] = {sale(1, 9, 2), sale(2, 8, 3)};

    assert_int_equal(ops->create_event(ledger, "default", 10, 1), 0);
    assert_int_equal(ops->append(ledger, entries, 2), 0);
    ops->close(ledger);
}

static void write_bytes(const char *path, const char *mode, long at, const char *bytes, size_t size)
{
    FILE *file = fopen(path, mode);

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A ledger of a newer version is left alone; the message says what it is. */
static void test_newer(void **state)
{
    const struct scratch *scratch = *state;

    make_ledger(scratch->ledger);
    sql(scratch->ledger, "PRAGMA user_version = 99", NULL, 0);
    expect_refused(scratch->ledger, LEDGER_NEWER, "newer version");
}

/* What is no ledger, or contradicts itself, is left alone. */
static void test_damaged(void **state)
{
    static const char *const harm[] = {
        "DELETE FROM entries WHERE id = 2",
        "UPDATE entries SET available = 7 WHERE id = 2",
        "UPDATE events SET entries = 2",
        "DELETE FROM events",
        "UPDATE events SET event = 1",
        "INSERT INTO entries (id, kind, quantity, available, time_us) VALUES (1e13, 5, -1, 1, 1)",
        "ALTER TABLE entries RENAME COLUMN token TO secret",
        "DROP TABLE events",
    };
    const struct scratch *scratch = *state;

    for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        char statements[256];

        make_ledger(scratch->ledger);
        (void)snprintf(statements, sizeof(statements),
                       "PRAGMA legacy_alter_table = ON; DROP VIEW journal; DROP VIEW orders;"
                       "DROP VIEW balances; %s",
                       harm[i]);
        sql(scratch->ledger, statements, NULL, 0);
        expect_refused(scratch->ledger, LEDGER_DAMAGED, "is damaged");
        scratch_clear(scratch);
    }
    write_bytes(scratch->ledger, "wb", 0, "this is not a database, nor was it ever", 40);
    expect_refused(scratch->ledger, LEDGER_DAMAGED, "not an SQLite database");
    scratch_clear(scratch);
    sql(scratch->ledger, "CREATE TABLE recipes (name TEXT)", NULL, 0);
    expect_refused(scratch->ledger, LEDGER_DAMAGED, "something else");
    scratch_clear(scratch);
    /* The page with the tables' names is overwritten. */
    make_ledger(scratch->ledger);
    write_bytes(scratch->ledger, "r+b", 100, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    expect_refused(scratch->ledger, LEDGER_DAMAGED, "damaged");
}

/* A ledger cut to nothing, or removed, with its log still there, is not taken for a new one. */
static void test_emptied(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger *ledger;
    char log[128], error[512] = "";

    (void)snprintf(log, sizeof(log), "%s-wal", scratch->ledger);
    write_bytes(scratch->ledger, "wb", 0, "", 0);
    write_bytes(log, "wb", 0, "rest of a log", 13);
    expect_refused(scratch->ledger, LEDGER_DAMAGED, "is empty or gone");
    assert_int_equal(unlink(scratch->ledger), 0);
    assert_int_equal(ops->open(&ledger, scratch->ledger, -1, error, sizeof(error)), LEDGER_DAMAGED);
    assert_int_equal(access(log, F_OK), 0);
    assert_int_not_equal(access(scratch->ledger, F_OK), 0);
    /* A ledger that is only empty is a new one. */
    assert_int_equal(unlink(log), 0);
    write_bytes(scratch->ledger, "wb", 0, "", 0);
    make_ledger(scratch->ledger);
}

/* An older ledger is brought up to date with all that is in it; a reader does not do that. */
static void test_migration(void **state)
{
    const struct scratch *scratch = *state;
    struct ledger *ledger;
    struct ledger_entry entry;
    char error[512] = "";

    make_ledger(scratch->ledger);
    sql(scratch->ledger,
        "DROP VIEW journal; DROP VIEW orders; DROP VIEW balances; DROP TABLE clock_steps;"
        "PRAGMA user_version = 1",
        NULL, 0);
    assert_int_equal(ops->open_reader(&ledger, scratch->ledger, -1, error, sizeof(error)), -EAGAIN);
    ledger = must_open(scratch->ledger);
    assert_int_equal(ops->find(ledger, 0, 2, &entry), 0);
    assert_int_equal(entry.available, 8);
    ops->close(ledger);
    expect_sql(scratch->ledger, "SELECT count(*) FROM orders", "2");
    expect_sql(scratch->ledger, "PRAGMA user_version", "3");

    /* The second version had no steps of the clock. */
    sql(scratch->ledger, "DROP TABLE clock_steps; PRAGMA user_version = 2", NULL, 0);
    assert_int_equal(ops->open_reader(&ledger, scratch->ledger, -1, error, sizeof(error)), -EAGAIN);
    ledger = must_open(scratch->ledger);
    assert_int_equal(ops->find(ledger, 0, 2, &entry), 0);
    assert_int_equal(ops->note_clock_step(ledger, 5, 7), 0);
    ops->close(ledger);
    expect_sql(scratch->ledger, "SELECT time_us || '+' || step_us FROM clock_steps", "5+7");
    expect_sql(scratch->ledger, "PRAGMA user_version", "3");
    scratch_clear(scratch);

    /* From before the first version: only the name on it. */
    sql(scratch->ledger, "PRAGMA application_id = 0x544b544c", NULL, 0);
    make_ledger(scratch->ledger);
    expect_sql(scratch->ledger, "PRAGMA user_version", "3");
}

/* Waits for a child and expects it to have found all as it should be. */
static void expect_child(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Who cannot write in the folder is told so, and nothing is made there. */
static void test_read_only_folder(void **state)
{
    const struct scratch *scratch = *state;
    pid_t child;

    assert_int_equal(chmod(scratch->folder, 0555), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct ledger *ledger;
        char error[2][512] = {"", ""};
        int fd, lock_answer, open_answer;

        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(2);
        lock_answer = ops->lock(&fd, scratch->ledger, 0, error[0], sizeof(error[0]));
        open_answer = ops->open(&ledger, scratch->ledger, -1, error[1], sizeof(error[1]));
        _exit(!(lock_answer == -EACCES && strstr(error[0], "Permission denied") &&
                strstr(error[0], scratch->ledger) && open_answer == -EACCES &&
                strstr(error[1], "Permission denied")));
    }
    expect_child(child);
    assert_int_equal(chmod(scratch->folder, 0755), 0);
    assert_int_not_equal(access(scratch->ledger, F_OK), 0);
}

/* A ledger that does not fit is not made by half. */
static void test_no_room(void **state)
{
    const struct scratch *scratch = *state;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
        struct ledger *ledger;
        char error[512] = "";
        int r;

        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(2);
        r = ops->open(&ledger, scratch->ledger, -1, error, sizeof(error));
        _exit(!(r < 0 && strstr(error, scratch->ledger)));
    }
    expect_child(child);
    assert_int_not_equal(access(scratch->ledger, F_OK), 0);
    make_ledger(scratch->ledger);
}

/* The lock is one for the whole tree: a child keeps it when its parent has gone, and who waits in
 * vain learns who holds it. */
static void test_lock(void **state)
{
    const struct scratch *scratch = *state;
    char error[512] = "", holder[64];
    int fd = -1, other = -1, stop[2];
    char byte;
    pid_t child;

    assert_int_equal(ops->lock(&fd, scratch->ledger, 0, error, sizeof(error)), 0);
    (void)snprintf(holder, sizeof(holder), "process %ld, since 2", (long)getpid());
    assert_int_equal(ops->lock(&other, scratch->ledger, 60, error, sizeof(error)), LEDGER_HELD);
    assert_non_null(strstr(error, holder));
    assert_null(strchr(error, '\n'));

    assert_int_equal(pipe(stop), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(stop[1]);
        (void)!read(stop[0], &byte, 1);
        _exit(0);
    }
    (void)close(stop[0]);
    (void)close(fd);
    assert_int_equal(ops->lock(&other, scratch->ledger, 0, error, sizeof(error)), LEDGER_HELD);
    (void)close(stop[1]);
    assert_int_equal(ops->lock(&other, scratch->ledger, 5000, error, sizeof(error)), 0);
    expect_child(child);
    (void)close(other);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_newer),     CASE(test_damaged),          CASE(test_emptied),
        CASE(test_migration), CASE(test_read_only_folder), CASE(test_no_room),
        CASE(test_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
