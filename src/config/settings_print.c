#include "settings_print.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "config/command_line.h"
#include "config/setting_value.h"

enum {
    WIDTH = 96,
    ROFF_WIDTH = 78,
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

/* How much of the text goes on a line of that width: up to a blank; a word that is wider than a
 * line stays whole. */
static size_t line_size(const char *text, size_t width)
{
    size_t size = strlen(text);

    if (size <= width)
        return size;
    for (size = width; size > 0 && text[size] != ' ';)
        size--;
    return size > 0 ? size : strcspn(text, " ");
}

/* Breaks at blanks, begins every line with `prefix`. */
static void print_wrapped(FILE *out, const char *prefix, const char *text)
{
    while (*text != '\0') {
        size_t size = line_size(text, WIDTH - strlen(prefix));

        (void)fprintf(out, "%s%.*s\n", prefix, (int)size, text);
        text += size;
        text += strspn(text, " ");
    }
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
    print_wrapped(out, prefix, text);
}

int settings_print_help(FILE *out)
{
    (void)fputs("Usage: ticketd [OPTION]...\n"
                "Sells tickets over HTTP.\n"
                "\n"
                "  -c, --config FILE\n"
                "      Read settings from FILE; without it from ./.env, if that exists.\n"
                "      --check-config\n"
                "      Check the settings, say what is wrong with them, and stop.\n"
                "      --print-config\n"
                "      Write the settings in force and where each comes from, and stop.\n"
                "      --settings-reference env|markdown|mdoc\n"
                "      Write what can be set, as an annotated .env file, a table or a part of a\n"
                "      manual page, and stop.\n"
                "  -V, --version\n"
                "      Write the version and stop.\n"
                "  -h, --help\n"
                "      Write this text and stop.\n"
                "\n"
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
        print_wrapped(out, "      ", row->help);
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
        print_wrapped(out, "# ", row->help);
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

/* Text as roff takes it: each sentence begins a line, and no line looks like a request. */
static void print_roff(FILE *out, const char *text)
{
    while (*text != '\0') {
        const char *end = strstr(text, ". ");
        size_t size = line_size(text, ROFF_WIDTH);

        if (end != NULL && (size_t)(end - text) < size)
            size = (size_t)(end - text) + 1;
        if (*text == '.' || *text == '\'')
            (void)fputs("\\&", out);
        for (size_t i = 0; i < size; i++) {
            (void)fputc(text[i], out);
            if (text[i] == '\\')
                (void)fputc('e', out);
        }
        (void)fputc('\n', out);
        text += size;
        text += strspn(text, " ");
    }
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
        print_roff(out, row->help);
        print_roff(out, facts);
    }
    (void)fputs(".El\n", out);
    return finish(out);
}
