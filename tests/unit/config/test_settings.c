#include "config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmocka_first.h"
#include "text_file.h"
#include "ticketd/error.h"

/* Loads a file of `text` with the rest of `input`; the path is in no expectation, so it is cut to
 * "FILE" in the error. */
static int load(struct settings *settings, struct settings_input input, const char *text,
                char error[SETTINGS_ERROR_MAX])
{
    struct text_file file = text_file_make(text, strlen(text));
    char *path;
    int r;

    *error = '\0';
    input.config_path = file.path;
    r = settings_load(settings, &input, error);
    path = strstr(error, file.path);
    if (path != NULL) {
        memcpy(path, "FILE", 4);
        memmove(path + 4, path + strlen(file.path), strlen(path + strlen(file.path)) + 1);
    }
    text_file_close(&file);
    return r;
}

static void check_refused(struct settings_input input, const char *text, const char *expected)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;
    struct settings before;

    memset(&settings, 0x5a, sizeof(settings));
    memset(&before, 0x5a, sizeof(before));
    assert_int_equal(load(&settings, input, text, error), TICKETD_INVALID);
    assert_string_equal(error, expected);
    assert_memory_equal(&settings, &before, sizeof(settings));
}

#define ENVIRONMENT(...)                                                                           \
    ((struct settings_input){.environment =                                                        \
                                 (char *const *)(const char *const[]){__VA_ARGS__, NULL}})

#define NOTHING ((struct settings_input){0})

/* Without any source every row has its default, and the defaults agree with one another. */
static void test_defaults(void **state)
{
    char error[SETTINGS_ERROR_MAX] = "";
    struct settings settings;

    (void)state;
    assert_int_equal(load(&settings, NOTHING, "", error), 0);
    assert_string_equal(error, "");
    assert_int_equal(settings.deployment_mode, DEPLOYMENT_MODE_MICROSERVICES);
    assert_string_equal(settings.host, "0.0.0.0");
    assert_int_equal(settings.monolith_port, 8000);
    assert_int_equal(settings.vacancy_timeout_ms, 2000);
    assert_true(settings.reload);
    assert_string_equal(settings.cors_allow_origins, "*");
    for (size_t id = 0; id < SETTING_COUNT; id++)
        assert_int_equal(settings.source[id], SETTING_SOURCE_DEFAULT);
    assert_true(settings_in_development(&settings));
}

/* Command line over environment over file over default, and each value knows its source. */
static void test_precedence(void **state)
{
    static const char file[] =
        "MONOLITH_PORT=1\nTICKET_PORT=1\nVACANCY_PORT=1\nENVIRONMENT=production\n";
    const struct settings_override overrides[] = {
        {SETTING_MONOLITH_PORT, "4"},
        {SETTING_MONOLITH_PORT, "3"},
    };
    struct settings_input input = ENVIRONMENT("MONOLITH_PORT=2", "TICKET_PORT=2", "OTHER=x");
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    (void)state;
    input.overrides = overrides;
    input.override_count = 2;
    assert_int_equal(load(&settings, input, file, error), 0);
    assert_int_equal(settings.monolith_port, 3);
    assert_int_equal(settings.source[SETTING_MONOLITH_PORT], SETTING_SOURCE_COMMAND_LINE);
    assert_int_equal(settings.ticket_port, 2);
    assert_int_equal(settings.source[SETTING_TICKET_PORT], SETTING_SOURCE_ENVIRONMENT);
    assert_int_equal(settings.vacancy_port, 1);
    assert_int_equal(settings.source[SETTING_VACANCY_PORT], SETTING_SOURCE_FILE);
    assert_int_equal(settings.initial_stock, 1000);
    assert_int_equal(settings.source[SETTING_INITIAL_STOCK], SETTING_SOURCE_DEFAULT);
    assert_false(settings_in_development(&settings));
}

/* An empty variable counts as unset; names are matched whole, in their case. */
static void test_environment_names(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    (void)state;
    assert_int_equal(
        load(&settings,
             ENVIRONMENT("MONOLITH_PORT=", "ticket_port=9", "TICKET_PORTS=9", "VACANCY_PORT"),
             "MONOLITH_PORT=5\n", error),
        0);
    assert_int_equal(settings.monolith_port, 5);
    assert_int_equal(settings.ticket_port, 8002);
    assert_int_equal(settings.vacancy_port, 8001);
}

/* An empty line of the file empties what may be empty, and is an error elsewhere. */
static void test_empty_in_file(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    (void)state;
    assert_int_equal(load(&settings, NOTHING, "CORS_ALLOW_ORIGINS=\n", error), 0);
    assert_string_equal(settings.cors_allow_origins, "");
    check_refused(NOTHING, "MONOLITH_PORT=\n",
                  "MONOLITH_PORT: \"\" (from FILE line 1) is not allowed: "
                  "a whole number from 0 to 65535");
}

/* A wrong value is told with its name, itself, its source and what is allowed. */
static void test_wrong_values(void **state)
{
    const struct settings_override override = {SETTING_LOG_LEVEL, "LOUD"};
    const struct settings_input input = {.overrides = &override, .override_count = 1};

    (void)state;
    check_refused(ENVIRONMENT("MONOLITH_PORT=abc"), "",
                  "MONOLITH_PORT: \"abc\" (from environment) is not allowed: "
                  "a whole number from 0 to 65535");
    check_refused(NOTHING, "\nVACANCY_TIMEOUT=0\n",
                  "VACANCY_TIMEOUT: \"0\" (from FILE line 2) is not allowed: "
                  "seconds from 0.01 to 60.0, with at most three decimals");
    check_refused(input, "",
                  "LOG_LEVEL: \"LOUD\" (from command line) is not allowed: "
                  "one of DEBUG, INFO, WARNING, ERROR, CRITICAL");
}

/* A wrong value is refused even where a stronger source replaces it. */
static void test_wrong_value_below_right_one(void **state)
{
    (void)state;
    check_refused(ENVIRONMENT("MONOLITH_PORT=1"), "MONOLITH_PORT=x\n",
                  "MONOLITH_PORT: \"x\" (from FILE line 1) is not allowed: "
                  "a whole number from 0 to 65535");
}

/* What is shown of a value is one line of bounded length. */
static void test_shown_value(void **state)
{
    char variable[2000] = "SERVICE_NAME=a\nb\x1b";
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    (void)state;
    memset(variable + strlen(variable), 'c', 1900);
    assert_int_equal(load(&settings, ENVIRONMENT(variable), "", error), TICKETD_INVALID);
    assert_memory_equal(error, "SERVICE_NAME: \"a?b?cccc", 23);
    assert_non_null(strstr(error, "ccc...\" (from environment) is not allowed: 1 to 64"));
    assert_null(strchr(error, '\n'));
    assert_true(strlen(error) < 300);
}

/* An unknown name is told with its line, and the nearest name if one is near. */
static void test_unknown_names(void **state)
{
    (void)state;
    check_refused(NOTHING, "# x\nMONOLITH_PROT=1\n",
                  "FILE line 2: MONOLITH_PROT is not a setting; did you mean MONOLITH_PORT?");
    check_refused(NOTHING, "WORKER=1\n",
                  "FILE line 1: WORKER is not a setting; did you mean WORKERS?");
    check_refused(NOTHING, "PATH=/bin\n", "FILE line 1: PATH is not a setting");
    check_refused(NOTHING, "monolith_port=1\n", "FILE line 1: monolith_port is not a setting");
}

/* A setting that one file gives twice is an error that names both lines. */
static void test_given_twice(void **state)
{
    (void)state;
    check_refused(NOTHING, "RELOAD=true\n\nRELOAD=true\n",
                  "FILE line 3: RELOAD is already set in line 1");
}

/* A line that cannot be read is told with its number. */
static void test_wrong_syntax(void **state)
{
    (void)state;
    check_refused(NOTHING, "RELOAD=true\nHOST='a\n",
                  "FILE line 2: a quote that is not closed in its line");
}

/* Two given values that contradict each other are an error; a default yields instead. */
static void test_pairs(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    (void)state;
    check_refused(ENVIRONMENT("HTTP_MAX_CONNECTIONS=4"), "HTTP_KEEPALIVE_CONNECTIONS=5\n",
                  "HTTP_KEEPALIVE_CONNECTIONS: \"5\" (from FILE line 1) is not allowed: at most "
                  "HTTP_MAX_CONNECTIONS, which is 4 (from environment)");
    check_refused(NOTHING, "DRAIN_IDLE_TIMEOUT=10.001\n",
                  "DRAIN_IDLE_TIMEOUT: \"10.001\" (from FILE line 1) is not allowed: at most "
                  "SHUTDOWN_TIMEOUT, which is 10.0 (from default)");
    assert_int_equal(
        load(&settings, NOTHING, "HTTP_MAX_CONNECTIONS=4\nSHUTDOWN_TIMEOUT=0.5\n", error), 0);
    assert_int_equal(settings.http_keepalive_connections, 4);
    assert_int_equal(settings.drain_idle_ms, 500);
    assert_int_equal(
        load(&settings, NOTHING, "HTTP_MAX_CONNECTIONS=4\nHTTP_KEEPALIVE_CONNECTIONS=4\n", error),
        0);
}

/* ./.env is read if it exists; a file that was asked for must exist. */
static void test_file_choice(void **state)
{
    char directory[] = "/tmp/ticketd-settings-XXXXXX";
    char error[SETTINGS_ERROR_MAX];
    struct settings_input input = {0};
    struct settings settings;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(settings_load(&settings, &input, error), 0);
    assert_string_equal(settings.config_path, "");
    file = fopen(".env", "w");
    assert_non_null(file);
    assert_true(fputs("MONOLITH_PORT=77\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(settings_load(&settings, &input, error), 0);
    assert_string_equal(settings.config_path, "./.env");
    assert_int_equal(settings.monolith_port, 77);
    assert_int_equal(unlink(".env"), 0);
    assert_int_equal(mkdir(".env", 0700), 0);
    assert_int_equal(settings_load(&settings, &input, error), -EISDIR);
    assert_string_equal(error, "cannot read ./.env: Is a directory");
    assert_int_equal(rmdir(".env"), 0);
    input.config_path = "missing.env";
    assert_int_equal(settings_load(&settings, &input, error), -ENOENT);
    assert_string_equal(error, "cannot read missing.env: No such file or directory");
    assert_int_equal(settings.monolith_port, 77);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void on_ignored(void *ctx, const char *name)
{
    strcat(ctx, name);
    strcat(ctx, " ");
}

/* A reload takes live rows and names the others that changed, which stay. */
static void test_reload(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    char ignored[256] = "";
    struct settings current;
    struct settings fresh;

    (void)state;
    assert_int_equal(load(&current, NOTHING, "LOG_LEVEL=INFO\nHOST=::1\nWORKERS=2\n", error), 0);
    assert_int_equal(load(&fresh, NOTHING, "LOG_LEVEL=ERROR\nHOST=::2\nWORKERS=3\n", error), 0);
    settings_reload(&current, &fresh, on_ignored, ignored);
    assert_string_equal(ignored, "HOST WORKERS ");
    assert_int_equal(current.log_level, 3);
    assert_string_equal(current.host, "::1");
    assert_int_equal(current.workers, 2);
    /* again, without anybody to tell */
    settings_reload(&current, &fresh, NULL, NULL);
    assert_string_equal(current.host, "::1");
}

/* A row that keeps its value is not told, also where its text or source differs. */
static void test_reload_same_value(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    char ignored[256] = "";
    struct settings current;
    struct settings fresh;

    (void)state;
    assert_int_equal(load(&current, NOTHING, "HOST=a,b\n", error), 0);
    assert_int_equal(load(&fresh, ENVIRONMENT("HOST=a , b"), "HOST=a-much-longer-name\n", error),
                     0);
    settings_reload(&current, &fresh, on_ignored, ignored);
    assert_string_equal(ignored, "");
    assert_int_equal(current.source[SETTING_HOST], SETTING_SOURCE_ENVIRONMENT);
}

/* A stored list gives its items one by one and then ends, an empty one at once. */
static void test_list(void **state)
{
    const char *cursor = "a,unix:/b c,d";
    const char *empty = "";
    const char *item;
    size_t size;

    (void)state;
    assert_true(settings_list_next(&cursor, &item, &size));
    assert_int_equal(size, 1);
    assert_memory_equal(item, "a", 1);
    assert_true(settings_list_next(&cursor, &item, &size));
    assert_int_equal(size, 9);
    assert_memory_equal(item, "unix:/b c", 9);
    assert_true(settings_list_next(&cursor, &item, &size));
    assert_memory_equal(item, "d", 1);
    assert_false(settings_list_next(&cursor, &item, &size));
    assert_false(settings_list_next(&cursor, &item, &size));
    assert_false(settings_list_next(&empty, &item, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_environment_names),
        cmocka_unit_test(test_empty_in_file),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_wrong_value_below_right_one),
        cmocka_unit_test(test_shown_value),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_given_twice),
        cmocka_unit_test(test_wrong_syntax),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_file_choice),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_reload_same_value),
        cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
