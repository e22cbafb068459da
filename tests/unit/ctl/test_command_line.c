#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ctl/command_line.h"
#include "ticketd/error.h"

enum { ARGUMENTS_MAX = 12 };

/* Parses words separated by blanks. */
static int parse(const char *text, struct ctl_line *ret_line, char error[CTL_LINE_ERROR_MAX])
{
    static char copy[256]; /* the line points into it */
    static char name[] = "ticketctl";
    char *arguments[ARGUMENTS_MAX] = {name};
    int count = 1;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        assert_true(count < ARGUMENTS_MAX);
        arguments[count++] = word;
    }
    error[0] = '\0';
    return ctl_line_parse(ret_line, count, arguments, error);
}

static struct ctl_line accept(const char *text)
{
    char error[CTL_LINE_ERROR_MAX];
    struct ctl_line line;

    if (parse(text, &line, error) != TICKETD_DONE)
        fail_msg("%s: %s", text, error);
    return line;
}

static void refuse(const char *text, const char *part)
{
    char error[CTL_LINE_ERROR_MAX];
    struct ctl_line line;

    assert_int_equal(parse(text, &line, error), TICKETD_INVALID);
    if (strstr(error, part) == NULL || strchr(error, '\n') != NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, error, part);
}

/* Of two commands that begin alike the longer one is meant, wherever options stand. */
static void test_commands(void **state)
{
    struct ctl_line line;

    (void)state;
    assert_string_equal(accept("audit").command->name, "audit");
    line = accept("stock");
    assert_string_equal(line.command->name, "stock");
    assert_null(line.ctl.arguments[0]);
    assert_string_equal(accept("stock concert").ctl.arguments[0], "concert");
    line = accept("--json stock --timeout 2 add concert 5");
    assert_string_equal(line.command->name, "stock add");
    assert_string_equal(line.ctl.arguments[0], "concert");
    assert_string_equal(line.ctl.arguments[1], "5");
    assert_true(line.ctl.json);
    assert_int_equal(line.ctl.timeout_ms, 2000);
    assert_string_equal(accept("stock -- --json").ctl.arguments[0], "--json");
    assert_null(accept("").command);
    assert_true(accept("reload --wait").ctl.wait);
}

/* What is missing, too much, unknown or meant for another command is named. */
static void test_refusals(void **state)
{
    (void)state;
    refuse("sell", "\"sell\"");
    refuse("stock add concert", "stock add EVENT N");
    refuse("stock add concert 5 6 7 8", "stock add EVENT N");
    refuse("audit now", "audit");
    refuse("audit --wait", "--wait");
    refuse("reload --all", "--all");
    refuse("orders --lim 5", "--lim");
    refuse("orders -x", "-x");
    refuse("orders --all=1", "takes no value");
    refuse("orders --limit", "needs a value");
    refuse("orders --all --limit 5", "exclude");
}

/* Values have bounds, and the message says them. */
static void test_values(void **state)
{
    static const char *const limits[] = {"0", "-1", "x", "1.5", "100001", "5x", ""};
    static const char *const timeouts[] = {"0", "-1", "x", "3601", "1s", "."};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        (void)snprintf(text, sizeof(text), "orders --limit=%s", limits[i]);
        refuse(text, "1 to 100000");
    }
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        (void)snprintf(text, sizeof(text), "audit --timeout=%s", timeouts[i]);
        refuse(text, "0.001 to 3600");
    }
    assert_int_equal(accept("orders").ctl.limit, CTL_ORDERS_DEFAULT);
    assert_int_equal(accept("orders --limit 100000").ctl.limit, 100000);
    assert_int_equal(accept("audit --timeout=0.25").ctl.timeout_ms, 250);
    assert_false(accept("audit").ctl.has_timeout);
}

/* --since takes a moment, or how long ago it was. */
static void test_since(void **state)
{
    int64_t now_us = (int64_t)time(NULL) * 1000000, ago_us;

    (void)state;
    assert_int_equal(accept("orders --since 1970-01-02").ctl.since_us, 86400000000);
    ago_us = now_us - accept("orders --since 2h").ctl.since_us;
    assert_in_range(ago_us, (2 * 3600 - 5) * 1000000LL, 2 * 3600 * 1000000LL);
    ago_us = now_us - accept("orders --since 1.5m").ctl.since_us;
    assert_in_range(ago_us, (90 - 5) * 1000000LL, 90 * 1000000LL);
    refuse("orders --since yesterday", "--since");
    refuse("orders --since 5w", "--since");
    refuse("orders --since 5", "--since");
    assert_false(accept("orders").ctl.has_since);
}

/* Settings come by the names that ticketd gives them, the last one wins. */
static void test_settings(void **state)
{
    struct ctl_line line =
        accept("audit --ledger-url sqlite:a --ledger-url=sqlite:b --control-socket /s -c f");

    (void)state;
    assert_int_equal(line.override_count, 2);
    assert_int_equal(line.overrides[0].id, SETTING_LEDGER_URL);
    assert_string_equal(line.overrides[0].value, "sqlite:b");
    assert_int_equal(line.overrides[1].id, SETTING_CONTROL_SOCKET);
    assert_string_equal(line.config_path, "f");
}

/* Help is there for each command and fits a terminal. */
static void test_help(void **state)
{
    static const char *const names[] = {"audit", "orders", "stock", "stock add",
                                        "top",   "status", "reload"};
    char *text = NULL, line[64];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    ctl_line_help(out, NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(line, sizeof(line), "%s --help", names[i]);
        ctl_line_help(out, accept(line).command);
    }
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(line, sizeof(line), "\n  %s", names[i]);
        assert_non_null(strstr(text, line));
        (void)snprintf(line, sizeof(line), "Usage: ticketctl [OPTION]... %s", names[i]);
        assert_non_null(strstr(text, line));
    }
    for (char *rest = text, *row; (row = strtok_r(rest, "\n", &rest)) != NULL;)
        if (strlen(row) > 86)
            fail_msg("too wide: %s", row);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_since),
        cmocka_unit_test(test_settings), cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
