#include "config/command_line.h"

#include <stdio.h>
#include <string.h>

#include "cmocka_first.h"
#include "ticketd/error.h"

/* argv of "ticketd" and the given arguments */
#define PARSE(command_line, error, ...)                                                            \
    parse(command_line, error, (char *const *)(const char *const[]){"ticketd", ##__VA_ARGS__, NULL})

static int parse(struct command_line *command_line, char *error, char *const *argv)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    *error = '\0';
    return command_line_parse(command_line, argc, argv, error);
}

#define CHECK_REFUSED(expected, ...)                                                               \
    do {                                                                                           \
        struct command_line refused = {.action = COMMAND_LINE_HELP, .override_count = 7};          \
        char text[COMMAND_LINE_ERROR_MAX];                                                         \
                                                                                                   \
        assert_int_equal(PARSE(&refused, text, __VA_ARGS__), TICKETD_INVALID);                     \
        assert_string_equal(text, expected);                                                       \
        assert_int_equal(refused.override_count, 7);                                               \
    } while (0)

/* Without arguments the server serves with what other sources say. */
static void test_nothing(void **state)
{
    char error[COMMAND_LINE_ERROR_MAX];
    struct command_line command_line;

    (void)state;
    assert_int_equal(PARSE(&command_line, error), TICKETD_DONE);
    assert_int_equal(command_line.action, COMMAND_LINE_SERVE);
    assert_null(command_line.config_path);
    assert_int_equal(command_line.override_count, 0);
}

/* Every setting of the table is an option with a value, in both spellings. */
static void test_every_setting(void **state)
{
    char error[COMMAND_LINE_ERROR_MAX];
    struct command_line command_line;

    (void)state;
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        char option[COMMAND_LINE_OPTION_MAX];
        char argument[COMMAND_LINE_OPTION_MAX + 16];

        command_line_option((enum setting_id)id, option);
        (void)snprintf(argument, sizeof(argument), "--%s", option);
        assert_int_equal(PARSE(&command_line, error, argument, "-v=1"), TICKETD_DONE);
        assert_int_equal(command_line.override_count, 1);
        assert_int_equal(command_line.overrides[0].id, id);
        assert_string_equal(command_line.overrides[0].value, "-v=1");
        strcat(argument, "=x=y");
        assert_int_equal(PARSE(&command_line, error, argument), TICKETD_DONE);
        assert_string_equal(command_line.overrides[0].value, "x=y");
    }
}

/* Of one setting given twice the last counts, in one place. */
static void test_last_wins(void **state)
{
    char error[COMMAND_LINE_ERROR_MAX];
    struct command_line command_line;

    (void)state;
    assert_int_equal(PARSE(&command_line, error, "--workers=1", "--host=", "--workers", "2"),
                     TICKETD_DONE);
    assert_int_equal(command_line.override_count, 2);
    assert_int_equal(command_line.overrides[0].id, SETTING_WORKERS);
    assert_string_equal(command_line.overrides[0].value, "2");
    assert_int_equal(command_line.overrides[1].id, SETTING_HOST);
    assert_string_equal(command_line.overrides[1].value, "");
}

static void check_action(const char *argument, enum command_line_action action)
{
    char error[COMMAND_LINE_ERROR_MAX];
    struct command_line command_line;

    assert_int_equal(PARSE(&command_line, error, argument), TICKETD_DONE);
    assert_int_equal(command_line.action, action);
}

/* Each action has its option, some a letter too. */
static void test_actions(void **state)
{
    (void)state;
    check_action("--check-config", COMMAND_LINE_CHECK_CONFIG);
    check_action("--print-config", COMMAND_LINE_PRINT_CONFIG);
    check_action("--settings-reference=env", COMMAND_LINE_REFERENCE_ENV);
    check_action("--settings-reference=markdown", COMMAND_LINE_REFERENCE_MARKDOWN);
    check_action("--settings-reference=mdoc", COMMAND_LINE_REFERENCE_MDOC);
    check_action("--version", COMMAND_LINE_VERSION);
    check_action("-V", COMMAND_LINE_VERSION);
    check_action("--help", COMMAND_LINE_HELP);
    check_action("-h", COMMAND_LINE_HELP);
}

/* The file is taken from every spelling of its option. */
static void test_config(void **state)
{
    char error[COMMAND_LINE_ERROR_MAX];
    struct command_line command_line;

    (void)state;
    assert_int_equal(PARSE(&command_line, error, "-c", "a.env"), TICKETD_DONE);
    assert_string_equal(command_line.config_path, "a.env");
    assert_int_equal(PARSE(&command_line, error, "-cb.env"), TICKETD_DONE);
    assert_string_equal(command_line.config_path, "b.env");
    assert_int_equal(PARSE(&command_line, error, "--config=c.env", "--check-config"), TICKETD_DONE);
    assert_string_equal(command_line.config_path, "c.env");
    assert_int_equal(command_line.action, COMMAND_LINE_CHECK_CONFIG);
}

/* Each mistake is one clear line, and the output stays as it was. */
static void test_refused(void **state)
{
    (void)state;
    CHECK_REFUSED("unknown option --nonsense-of-a-user; --help lists them", "--nonsense-of-a-user");
    CHECK_REFUSED("unknown option --monolith-prot; did you mean --monolith-port?",
                  "--monolith-prot=1");
    CHECK_REFUSED("unknown option -x; --help lists them", "-x");
    CHECK_REFUSED("--monolith-port needs a value", "--monolith-port");
    CHECK_REFUSED("-c needs a value", "-c");
    CHECK_REFUSED("--help=me: this option takes no value", "--help=me");
    CHECK_REFUSED("unexpected argument \"start\"", "start", "--help");
    CHECK_REFUSED("unexpected argument \"--help\"", "--", "--help");
    CHECK_REFUSED("unexpected argument \"\"", "");
    CHECK_REFUSED("unexpected argument \"-\"", "-");
    CHECK_REFUSED("--settings-reference: \"html\" is not allowed: env, markdown or mdoc",
                  "--settings-reference=html");
    CHECK_REFUSED("--version: an option before it asks for something else", "--help", "--version");
    CHECK_REFUSED("--settings-reference=env: an option before it asks for something else", "-V",
                  "--settings-reference=env");
}

/* An abbreviation that getopt_long would take is refused: a new setting would make it ambiguous. */
static void test_abbreviation_refused(void **state)
{
    (void)state;
    CHECK_REFUSED("unknown option --mono; --help lists them", "--mono", "80");
    CHECK_REFUSED("unknown option --monolith-por; did you mean --monolith-port?", "--workers", "1",
                  "--monolith-por=80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_every_setting),
        cmocka_unit_test(test_last_wins),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_abbreviation_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
