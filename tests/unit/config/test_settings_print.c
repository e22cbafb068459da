#include "config/settings_print.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_first.h"
#include "config/command_line.h"
#include "text_file.h"

/* What a printer writes, as text that the caller frees. */
static char *capture(int (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(print(out), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *capture_config(const struct settings *settings)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(settings_print_config(out, settings), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static struct settings load(const char *path, char *const *environment)
{
    const struct settings_input input = {.config_path = path, .environment = environment};
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    if (settings_load(&settings, &input, error) != 0)
        fail_msg("%s", error);
    return settings;
}

static struct settings load_text(const char *text)
{
    struct text_file file = text_file_make(text, strlen(text));
    struct settings settings = load(file.path, NULL);

    text_file_close(&file);
    return settings;
}

/* Compares the values, not their sources. */
static void check_same_values(const struct settings *a, const struct settings *b)
{
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *row = settings_row((enum setting_id)id);

        if (memcmp((const char *)a + row->offset, (const char *)b + row->offset, row->size) != 0)
            fail_msg("%s differs", row->name);
    }
}

/* The printed settings, read again, are the same settings: defaults, odd values, clamped values. */
static void test_round_trip(void **state)
{
    static const char *const environment[] = {
        "DEPLOYMENT_MODE=monolith",
        "HOST=[::1],unix:/run/a \"b\" \\ #c'.sock",
        "RELOAD=off",
        "VACANCY_TIMEOUT=0.055",
        "LOG_LEVEL=critical",
        "CORS_ALLOW_ORIGINS=https://a.example, http://[::1]:8080",
        "HTTP_MAX_CONNECTIONS=3",
        NULL,
    };
    struct settings before = load("/dev/null", (char *const *)environment);
    char *text = capture_config(&before);
    struct settings after = load_text(text);

    (void)state;
    assert_string_equal(after.host, "[::1],unix:/run/a \"b\" \\ #c'.sock");
    check_same_values(&before, &after);
    free(text);
    before = load("/dev/null", NULL);
    text = capture_config(&before);
    after = load_text(text);
    check_same_values(&before, &after);
    free(text);
    before = load_text("CORS_ALLOW_ORIGINS=\n");
    text = capture_config(&before);
    after = load_text(text);
    assert_string_equal(after.cors_allow_origins, "");
    free(text);
}

/* Each printed value is under a comment that names its source. */
static void test_config_sources(void **state)
{
    static const char *const environment[] = {"WORKERS=3", NULL};
    struct settings settings = load(CONF_DIR "/monolith.env", (char *const *)environment);
    char *text;

    (void)state;
    settings.source[SETTING_LISTEN_BACKLOG] = SETTING_SOURCE_COMMAND_LINE;
    text = capture_config(&settings);
    assert_non_null(strstr(text, "\n# from environment\nWORKERS=3\n"));
    assert_non_null(strstr(text, "\n# from " CONF_DIR "/monolith.env\nMONOLITH_PORT=8000\n"));
    assert_non_null(strstr(text, "\n# from command line\nLISTEN_BACKLOG=4096\n"));
    assert_non_null(strstr(text, "\n# default\nMAX_BODY_BYTES=16384\n"));
    free(text);
}

/* The reference with every setting uncommented is a file that gives the defaults. */
static void test_example_uncommented(void **state)
{
    char *text = capture(settings_print_reference_env);
    struct settings defaults = load("/dev/null", NULL);
    struct settings settings;

    (void)state;
    for (char *at = text; (at = strstr(at, "\n#")) != NULL; at++)
        if (at[2] != ' ' && at[2] != '\n')
            at[1] = ' ';
    settings = load_text(text);
    check_same_values(&settings, &defaults);
    for (size_t id = 0; id < SETTING_COUNT; id++)
        assert_int_equal(settings.source[id], SETTING_SOURCE_FILE);
    free(text);
}

/* Every example is a file that loads, and says the mode that it is named for. */
static void test_examples_load(void **state)
{
    glob_t files;

    (void)state;
    assert_int_equal(glob(CONF_DIR "/*.env", 0, NULL, &files), 0);
    assert_int_equal(files.gl_pathc, 4);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct settings settings = load(files.gl_pathv[i], NULL);
        bool monolith = strstr(files.gl_pathv[i], "/monolith.env") != NULL;

        assert_int_equal(settings.source[SETTING_DEPLOYMENT_MODE], SETTING_SOURCE_FILE);
        assert_int_equal(settings.deployment_mode,
                         monolith ? DEPLOYMENT_MODE_MONOLITH : DEPLOYMENT_MODE_MICROSERVICES);
    }
    globfree(&files);
}

/* The help names every option and no line of it is wider than 100 columns. */
static void test_help(void **state)
{
    char *text = capture(settings_print_help);

    (void)state;
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        char option[COMMAND_LINE_OPTION_MAX];
        char line[COMMAND_LINE_OPTION_MAX + 16];

        command_line_option((enum setting_id)id, option);
        (void)snprintf(line, sizeof(line), "\n  --%s VALUE\n", option);
        if (strstr(text, line) == NULL)
            fail_msg("--%s is missing", option);
    }
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 100);
    free(text);
}

/* The Markdown table has one row of five cells for each setting. */
static void test_markdown(void **state)
{
    char *text = capture(settings_print_reference_markdown);
    size_t rows = 0;

    (void)state;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t bars = 0;

        for (const char *c = line; *c != '\n'; c++)
            bars += *c == '|' && (c == line || c[-1] != '\\');
        assert_int_equal(bars, 6);
        rows++;
    }
    assert_int_equal(rows, 2 + SETTING_COUNT);
    assert_non_null(strstr(text, "| `MONOLITH_PORT` | `8000` |"));
    free(text);
}

/* The manual's part has an item for each setting, and no text that roff would take for a request.
 */
static void test_mdoc(void **state)
{
    char *text = capture(settings_print_reference_mdoc);
    size_t items = 0, opened = 0, closed = 0;

    (void)state;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t size = strcspn(line, "\n");

        assert_in_range(size, 1, 80);
        items += strncmp(line, ".It Ev ", 7) == 0;
        opened += strncmp(line, ".Bl ", 4) == 0;
        closed += strncmp(line, ".El\n", 4) == 0;
        if (*line == '.' && line[1] >= 'a')
            fail_msg("looks like a request: %.*s", (int)size, line);
        assert_int_not_equal(*line, '\'');
    }
    assert_int_equal(items, SETTING_COUNT);
    assert_int_equal(opened, closed);
    assert_true(opened > 1);
    assert_non_null(strstr(text, ".It Ev MONOLITH_PORT\nTCP port of the monolith"));
    free(text);
}

/* A full disk is an error, not a short text. */
static void test_write_error(void **state)
{
    FILE *full = fopen("/dev/full", "we");

    (void)state;
    assert_non_null(full);
    assert_int_equal(settings_print_help(full), -ENOSPC);
    (void)fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_config_sources),
        cmocka_unit_test(test_example_uncommented),
        cmocka_unit_test(test_examples_load),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_mdoc),
        cmocka_unit_test(test_write_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
