#include "config/env_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_first.h"
#include "text_file.h"
#include "ticketd/error.h"

/* "1:NAME=VALUE;" for each entry, in order */
struct seen {
    char text[1024];
    /* what on_entry answers */
    int answer;
};

static int on_entry(void *ctx, size_t line, const char *name, const char *value)
{
    struct seen *seen = ctx;
    size_t size = strlen(seen->text);

    (void)snprintf(seen->text + size, sizeof(seen->text) - size, "%zu:%s=%s;", line, name, value);
    return seen->answer;
}

/* Exactly size + 1 bytes on the heap, so that the address sanitizer sees any byte more. */
static int parse(const char *text, size_t size, struct seen *seen, struct env_file_problem *problem)
{
    char *copy = malloc(size + 1);
    int r;

    assert_non_null(copy);
    memcpy(copy, text, size);
    r = env_file_parse(copy, size, on_entry, seen, problem);
    free(copy);
    return r;
}

static void check(const char *text, const char *expected)
{
    struct env_file_problem problem = {0};
    struct seen seen = {0};

    if (parse(text, strlen(text), &seen, &problem) != TICKETD_DONE)
        fail_msg("refused: %s: %s", text, problem.what);
    assert_string_equal(seen.text, expected);
}

static void check_refused(const char *text, size_t size, size_t line, const char *what)
{
    struct env_file_problem problem = {0};
    struct seen seen = {0};

    if (parse(text, size, &seen, &problem) != TICKETD_INVALID)
        fail_msg("accepted: %s", text);
    assert_int_equal(problem.line, line);
    assert_string_equal(problem.what, what);
}

#define CHECK_REFUSED(text, line, what) check_refused(text, sizeof(text) - 1, line, what)

/* Lines are counted from 1, blank lines and comments too; the last needs no end. */
static void test_lines(void **state)
{
    (void)state;
    check("", "");
    check("\n\n", "");
    check("A=1", "1:A=1;");
    check("# comment\n\n  \t\nA=1\n\t# more\nB=2\n", "4:A=1;6:B=2;");
    check("A=1\r\nB=2\r\n\r\n", "1:A=1;2:B=2;");
    check("A=1\r", "1:A=1;");
    check("\xef\xbb\xbf"
          "A=1\n",
          "1:A=1;");
}

/* Bare values lose the blanks around them and a comment after a blank, nothing else. */
static void test_bare_values(void **state)
{
    (void)state;
    check("A=", "1:A=;");
    check("A=   ", "1:A=;");
    check("  A =  b c  ", "1:A=b c;");
    check("A=b # comment", "1:A=b;");
    check("A=b\t# comment", "1:A=b;");
    check("A= # comment", "1:A=;");
    check("A=#b", "1:A=#b;");
    check("A=b#c", "1:A=b#c;");
    check("A=b=c", "1:A=b=c;");
    check("A=it's $HOME `x` \\n \"q\"", "1:A=it's $HOME `x` \\n \"q\";");
    check("_a1=\xc3\xa9", "1:_a1=\xc3\xa9;");
}

/* "export" is dropped only as a word of its own. */
static void test_export(void **state)
{
    (void)state;
    check("export A=1", "1:A=1;");
    check("\texport\t A=1", "1:A=1;");
    check("export=1", "1:export=1;");
    check("exportA=1", "1:exportA=1;");
}

/* Quotes keep blanks and #; only double quotes know escapes. */
static void test_quotes(void **state)
{
    (void)state;
    check("A=' b # \\n \" '", "1:A= b # \\n \" ;");
    check("A=\" b # ' \"", "1:A= b # ' ;");
    check("A=\"\\n\\t\\\"\\\\\"", "1:A=\n\t\"\\;");
    check("A=''\nB=\"\"", "1:A=;2:B=;");
    check("A='b' # comment\nB=\"c\"\t#d", "1:A=b;2:B=c;");
}

/* Each kind of wrong line is named with its number. */
static void test_wrong_lines(void **state)
{
    static const char no_assignment[] = "not NAME=VALUE, a comment or a blank line";
    static const char open_quote[] = "a quote that is not closed in its line";
    static const char rest[] = "text after the closing quote";
    static const char escape[] = "an unknown escape: known are \\n \\t \\\" \\\\";
    static const char control[] = "a control character";

    (void)state;
    CHECK_REFUSED("A=1\nB", 2, no_assignment);
    CHECK_REFUSED("=1", 1, no_assignment);
    CHECK_REFUSED("1A=1", 1, no_assignment);
    CHECK_REFUSED("A-B=1", 1, no_assignment);
    CHECK_REFUSED("A B=1", 1, no_assignment);
    CHECK_REFUSED("export ", 1, no_assignment);
    CHECK_REFUSED("[section]", 1, no_assignment);
    CHECK_REFUSED("A='b", 1, open_quote);
    CHECK_REFUSED("A=\"b\nc\"", 1, open_quote);
    CHECK_REFUSED("A=\"b\\\"", 1, open_quote);
    CHECK_REFUSED("A=\"b\\", 1, escape);
    CHECK_REFUSED("A='b'c", 1, rest);
    CHECK_REFUSED("A='b'#c", 1, rest);
    CHECK_REFUSED("A=\"b\" c", 1, rest);
    CHECK_REFUSED("A=\"\\r\"", 1, escape);
    CHECK_REFUSED("A=\"\\0\"", 1, escape);
    CHECK_REFUSED("\n\nA=a\rb\n", 3, control);
    CHECK_REFUSED("A=\x1b[31m", 1, control);
    CHECK_REFUSED("# \x7f", 1, control);
    CHECK_REFUSED("A=1\nB=\0"
                  "2\n",
                  2, "a NUL byte");
    CHECK_REFUSED("A=1\0", 1, "a NUL byte");
}

/* The longest line passes, one byte more does not. */
static void test_line_limit(void **state)
{
    static char text[ENV_FILE_LINE_MAX + 16];
    struct env_file_problem problem = {0};
    struct seen seen = {0};

    (void)state;
    memset(text, '#', ENV_FILE_LINE_MAX);
    strcpy(text + ENV_FILE_LINE_MAX, "\r\nA=1");
    check(text, "2:A=1;");
    strcpy(text + ENV_FILE_LINE_MAX, "#\nA=1");
    assert_int_equal(parse(text, strlen(text), &seen, &problem), TICKETD_INVALID);
    assert_int_equal(problem.line, 1);
    assert_string_equal(problem.what, "a line of more than 4096 bytes");
}

/* The largest file passes, one byte more does not. */
static void test_file_limit(void **state)
{
    static char text[ENV_FILE_SIZE_MAX + 1];
    struct env_file_problem problem = {0};
    struct seen seen = {0};
    struct text_file file;

    (void)state;
    memset(text, '\n', sizeof(text));
    file = text_file_make(text, ENV_FILE_SIZE_MAX);
    assert_int_equal(env_file_read(file.path, on_entry, &seen, &problem), TICKETD_DONE);
    text_file_close(&file);
    file = text_file_make(text, ENV_FILE_SIZE_MAX + 1);
    assert_int_equal(env_file_read(file.path, on_entry, &seen, &problem), TICKETD_INVALID);
    text_file_close(&file);
    assert_int_equal(problem.line, 0);
    assert_string_equal(problem.what, "more than 65536 bytes");
}

/* A callback's answer ends the reading and is handed on. */
static void test_callback_stops(void **state)
{
    static const char text[] = "A=1\nB=2\n";
    struct env_file_problem problem = {0};
    struct seen seen = {.answer = -ECANCELED};

    (void)state;
    assert_int_equal(parse(text, strlen(text), &seen, &problem), -ECANCELED);
    assert_string_equal(seen.text, "1:A=1;");
    assert_null(problem.what);
}

/* A file that cannot be opened or read is told by its errno. */
static void test_unreadable(void **state)
{
    struct env_file_problem problem = {0};
    struct seen seen = {0};

    (void)state;
    assert_int_equal(env_file_read("/nonexistent/.env", on_entry, &seen, &problem), -ENOENT);
    assert_int_equal(env_file_read("/", on_entry, &seen, &problem), -EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),       cmocka_unit_test(test_bare_values),
        cmocka_unit_test(test_export),      cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_wrong_lines), cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_file_limit),  cmocka_unit_test(test_callback_stops),
        cmocka_unit_test(test_unreadable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
