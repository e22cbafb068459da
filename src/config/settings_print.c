#include "settings_print.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "config/command_line.h"
#include "config/setting_value.h"
#include "util/wrap.h"

enum {
    WIDTH = 96,
    FACTS_MAX = SETTING_VALUE_ALLOWED_MAX + 256,
};

/* The table in its order, headings included. */
static const struct {
    /* NULL for a setting */
    const char *heading;
    enum setting_id id;
} items[] = {
#define SETTING_GROUP(title)                                               {.heading = title},
#define SETTING(field, name, type, fallback, unit, min, max, reload, help) {.id = SETTING_##name},
#include "settings.def"
};
enum { ITEM_COUNT = sizeof(items) / sizeof(items[0]) };

static int finish(FILE *out)
{
    errno = 0;
    if (fflush(out) != 0 || ferror(out))
        return errno != 0 ? -errno : -EIO;
    return 0;
}

/* The unit where it says more than what is allowed does. */
static const char *shown_unit(const struct setting *row)
{
    return row->type == SETTING_TYPE_INT ? row->unit : "";
}

static const char *shown_reload(const struct setting *row)
{
    return row->reload == SETTING_CLASS_LIVE ? "a reload applies it" : "needs a restart";
}

/* "A whole number from 0 to 65535 (port); default 8000; needs a restart." */
static void format_facts(const struct setting *row, char ret_text[FACTS_MAX])
{
    char allowed[SETTING_VALUE_ALLOWED_MAX];
    const char *unit = shown_unit(row);

    setting_value_allowed(row, allowed);
    if (*allowed >= 'a' && *allowed <= 'z' && strncmp(allowed, "http:", 5) != 0)
        *allowed = (char)(*allowed - 'a' + 'A');
    (void)snprintf(ret_text, FACTS_MAX, "%s%s%s%s; default %s; %s.", allowed,
                   *unit != '\0' ? " (" : "", unit, *unit != '\0' ? ")" : "",
                   *row->fallback != '\0' ? row->fallback : "empty", shown_reload(row));
}

static void print_facts(FILE *out, const char *prefix, const struct setting *row)
{
    char text[FACTS_MAX];

    format_facts(row, text);
    wrap_print(out, prefix, WIDTH, text);
}

int settings_print_help(FILE *out)
{
    size_t own_count;
    const struct option_row *own = command_line_own_options(&own_count);

    (void)fputs("Usage: ticketd [OPTION]...\n"
                "Sells tickets over HTTP.\n\n",
                out);
    for (size_t i = 0; i < own_count; i++)
        option_row_print(out, &own[i], WIDTH);
    (void)fputs("\n"
                "Each setting is an option (--log-level DEBUG), an environment variable\n"
                "(LOG_LEVEL=DEBUG) or a line of the file (LOG_LEVEL=DEBUG). The command line wins\n"
                "over the environment, the environment over the file, the file over the default.\n"
                "An environment variable that is set but empty counts as unset.\n",
                out);
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        const struct setting *row = settings_row(items[i].id);
        char option[COMMAND_LINE_OPTION_MAX];

        if (items[i].heading != NULL) {
            (void)fprintf(out, "\n%s\n", items[i].heading);
            continue;
        }
        command_line_option(items[i].id, option);
        (void)fprintf(out, "  --%s VALUE\n", option);
        wrap_print(out, "      ", WIDTH, row->help);
        print_facts(out, "      ", row);
    }
    return finish(out);
}

/* As env_file.h reads it: bare where that is unambiguous, else in double quotes. */
static void print_assignment(FILE *out, const char *name, const char *value)
{
    (void)fprintf(out, "%s=", name);
    if (strpbrk(value, " \t\n#'\"\\") == NULL) {
        (void)fprintf(out, "%s\n", value);
        return;
    }
    (void)fputc('"', out);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            (void)fputc('\\', out);
        (void)fputc(*c, out);
    }
    (void)fputs("\"\n", out);
}

/* A path may hold anything but must not end its comment. */
static void print_path(FILE *out, const char *path)
{
    for (; *path != '\0'; path++)
        (void)fputc((unsigned char)*path < ' ' ? '?' : *path, out);
}

static void print_source(FILE *out, const struct settings *settings, enum setting_id id)
{
    switch ((enum setting_source)settings->source[id]) {
    case SETTING_SOURCE_DEFAULT:
        (void)fputs("# default\n", out);
        return;
    case SETTING_SOURCE_FILE:
        (void)fputs("# from ", out);
        print_path(out, settings->config_path);
        (void)fputc('\n', out);
        return;
    case SETTING_SOURCE_ENVIRONMENT:
        (void)fputs("# from environment\n", out);
        return;
    case SETTING_SOURCE_COMMAND_LINE:
        (void)fputs("# from command line\n", out);
        return;
    }
}

int settings_print_config(FILE *out, const struct settings *settings)
{
    (void)fputs("# The settings in force, by ticketd --print-config.\n", out);
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        char value[SETTING_VALUE_TEXT_MAX];

        if (items[i].heading != NULL) {
            (void)fprintf(out, "\n# == %s ==\n", items[i].heading);
            continue;
        }
        setting_value_format(settings_row(items[i].id), settings, value);
        print_source(out, settings, items[i].id);
        print_assignment(out, settings_row(items[i].id)->name, value);
    }
    return finish(out);
}

int settings_print_reference_env(FILE *out)
{
    (void)fputs(
        "# Every setting of ticketd with its default, by ticketd --settings-reference env.\n"
        "#\n"
        "# Copy this file to .env and uncomment what should differ. The command line wins\n"
        "# over the environment, the environment over this file, this file over the default;\n"
        "# an environment variable that is set but empty counts as unset.\n",
        out);
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        const struct setting *row = settings_row(items[i].id);

        if (items[i].heading != NULL) {
            (void)fprintf(out, "\n# == %s ==\n", items[i].heading);
            continue;
        }
        (void)fputc('\n', out);
        wrap_print(out, "# ", WIDTH, row->help);
        print_facts(out, "# ", row);
        (void)fputc('#', out);
        print_assignment(out, row->name, row->fallback);
    }
    return finish(out);
}

/* A cell: '|' would end it, and a lone '*' would be emphasis. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '*' || *text == '_')
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
}

int settings_print_reference_markdown(FILE *out)
{
    (void)fputs("| setting | default | allowed | change | meaning |\n"
                "|---|---|---|---|---|\n",
                out);
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *row = settings_row((enum setting_id)id);
        char allowed[SETTING_VALUE_ALLOWED_MAX];

        setting_value_allowed(row, allowed);
        (void)fprintf(out, "| `%s` | %s%s%s | ", row->name, *row->fallback != '\0' ? "`" : "",
                      *row->fallback != '\0' ? row->fallback : "empty",
                      *row->fallback != '\0' ? "`" : "");
        print_cell(out, allowed);
        (void)fprintf(out, "%s%s | %s | ", *shown_unit(row) != '\0' ? ", " : "", shown_unit(row),
                      row->reload == SETTING_CLASS_LIVE ? "live" : "restart");
        print_cell(out, row->help);
        (void)fputs(" |\n", out);
    }
    return finish(out);
}

int settings_print_reference_mdoc(FILE *out)
{
    bool in_list = false;

    for (size_t i = 0; i < ITEM_COUNT; i++) {
        const struct setting *row = settings_row(items[i].id);
        char facts[FACTS_MAX];

        if (items[i].heading != NULL) {
            (void)fprintf(out, "%s.Ss %s\n.Bl -tag -width Ds\n", in_list ? ".El\n" : "",
                          items[i].heading);
            in_list = true;
            continue;
        }
        format_facts(row, facts);
        (void)fprintf(out, ".It Ev %s\n", row->name);
        wrap_print_roff(out, row->help);
        wrap_print_roff(out, facts);
    }
    (void)fputs(".El\n", out);
    return finish(out);
}
