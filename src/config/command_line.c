#include "command_line.h"

#include <assert.h>
#include <ctype.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ticketd/error.h"

enum own_option {
#define OPTION(id, name, letter, value, help) OPTION_##id,
#include "config/command_line.def"
    OWN_OPTION_COUNT
};

static const struct option_row own_options[OWN_OPTION_COUNT] = {
#define OPTION(id, name, letter, value, help) {name, letter, value, help},
#include "config/command_line.def"
};

/* What getopt_long returns: an option's letter, OPTION_BASE and its place among our own, or
 * SETTING_BASE and a setting's. */
enum { OPTION_BASE = 256, SETTING_BASE = OPTION_BASE + OWN_OPTION_COUNT };

struct options {
    char names[SETTING_COUNT][COMMAND_LINE_OPTION_MAX];
    /* our own, the settings, and the zeros that end the table */
    struct option table[OWN_OPTION_COUNT + SETTING_COUNT + 1];
    /* '+': stop at the first stray argument; ':': tell a missing value from an unknown option; a
     * letter and perhaps a ':' for each of our own */
    char letters[2 + 2 * OWN_OPTION_COUNT + 1];
};

const struct option_row *command_line_own_options(size_t *ret_count)
{
    *ret_count = OWN_OPTION_COUNT;
    return own_options;
}

void command_line_option(enum setting_id id, char ret_option[COMMAND_LINE_OPTION_MAX])
{
    const char *name = settings_row(id)->name;
    size_t size = strlen(name);

    assert(size < COMMAND_LINE_OPTION_MAX);
    for (size_t i = 0; i < size; i++)
        ret_option[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    ret_option[size] = '\0';
}

static void options_init(struct options *options)
{
    char *letter = options->letters;

    memset(options, 0, sizeof(*options));
    *letter++ = '+';
    *letter++ = ':';
    for (int i = 0; i < OWN_OPTION_COUNT; i++) {
        const struct option_row *row = &own_options[i];

        options->table[i] = (struct option){
            .name = row->name,
            .has_arg = row->value != NULL ? required_argument : no_argument,
            .val = row->letter != 0 ? row->letter : OPTION_BASE + i,
        };
        if (row->letter == 0)
            continue;
        *letter++ = row->letter;
        if (row->value != NULL)
            *letter++ = ':';
    }
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        command_line_option((enum setting_id)id, options->names[id]);
        options->table[OWN_OPTION_COUNT + id] = (struct option){
            .name = options->names[id],
            .has_arg = required_argument,
            .val = SETTING_BASE + (int)id,
        };
    }
}

/* getopt_long takes every unambiguous beginning of an option; a later version's new setting would
 * then break a command line that works today.  So only whole names count. */
static bool is_whole_option(const struct options *options, const char *argument)
{
    size_t size = strcspn(argument, "=");

    for (const struct option *option = options->table; option->name != NULL; option++)
        if (strlen(option->name) == size && strncmp(option->name, argument, size) == 0)
            return true;
    return false;
}

static int refuse_unknown(const char *argument, char *error)
{
    char name[COMMAND_LINE_OPTION_MAX] = "";
    char option[COMMAND_LINE_OPTION_MAX] = "";
    const char *nearest;
    enum setting_id id;
    int size = (int)strcspn(argument, "=");

    for (int i = 2; i < size && i - 2 < COMMAND_LINE_OPTION_MAX - 1; i++)
        name[i - 2] = argument[i] == '-' ? '_' : (char)toupper((unsigned char)argument[i]);
    nearest = settings_nearest_name(name);
    if (nearest != NULL && settings_find(nearest, &id) != NULL)
        command_line_option(id, option);
    (void)snprintf(error, COMMAND_LINE_ERROR_MAX, "unknown option %.*s%s%s%s",
                   size > 80 ? 80 : size, argument, nearest != NULL ? "; did you mean --" : "",
                   option, nearest != NULL ? "?" : "; --help lists them");
    return TICKETD_INVALID;
}

/* `argument` is what asks for it. */
static int set_action(struct command_line *command_line, enum command_line_action action,
                      const char *argument, char *error)
{
    if (command_line->action != COMMAND_LINE_SERVE && command_line->action != action) {
        (void)snprintf(error, COMMAND_LINE_ERROR_MAX,
                       "%.80s: an option before it asks for something else", argument);
        return TICKETD_INVALID;
    }
    command_line->action = action;
    return TICKETD_DONE;
}

static int set_reference(struct command_line *command_line, const char *format,
                         const char *argument, char *error)
{
    if (strcmp(format, "env") == 0)
        return set_action(command_line, COMMAND_LINE_REFERENCE_ENV, argument, error);
    if (strcmp(format, "markdown") == 0)
        return set_action(command_line, COMMAND_LINE_REFERENCE_MARKDOWN, argument, error);
    if (strcmp(format, "mdoc") == 0)
        return set_action(command_line, COMMAND_LINE_REFERENCE_MDOC, argument, error);
    (void)snprintf(error, COMMAND_LINE_ERROR_MAX,
                   "--settings-reference: \"%.80s\" is not allowed: env, markdown or mdoc", format);
    return TICKETD_INVALID;
}

static void set_override(struct command_line *command_line, enum setting_id id, const char *value)
{
    size_t i = 0;

    while (i < command_line->override_count && command_line->overrides[i].id != id)
        i++;
    if (i == command_line->override_count)
        command_line->override_count++;
    command_line->overrides[i] = (struct settings_override){.id = id, .value = value};
}

/* `argument` is the element of argv that holds the option. */
static int take_own(struct command_line *command_line, enum own_option option, const char *argument,
                    char *error)
{
    switch (option) {
    case OPTION_CONFIG:
        command_line->config_path = optarg;
        return TICKETD_DONE;
    case OPTION_CHECK_CONFIG:
        return set_action(command_line, COMMAND_LINE_CHECK_CONFIG, argument, error);
    case OPTION_PRINT_CONFIG:
        return set_action(command_line, COMMAND_LINE_PRINT_CONFIG, argument, error);
    case OPTION_REFERENCE:
        return set_reference(command_line, optarg, argument, error);
    case OPTION_VERSION:
        return set_action(command_line, COMMAND_LINE_VERSION, argument, error);
    default:
        return set_action(command_line, COMMAND_LINE_HELP, argument, error);
    }
}

/* Our own option that getopt_long returned; OWN_OPTION_COUNT: it is none. */
static enum own_option find_own(int returned)
{
    for (int i = 0; i < OWN_OPTION_COUNT; i++)
        if (returned == OPTION_BASE + i ||
            (own_options[i].letter != 0 && returned == own_options[i].letter))
            return (enum own_option)i;
    return OWN_OPTION_COUNT;
}

static int take_option(struct command_line *command_line, int returned, const char *argument,
                       char *error)
{
    enum own_option own = find_own(returned);

    assert(argument != NULL);
    if (own != OWN_OPTION_COUNT)
        return take_own(command_line, own, argument, error);
    if (returned == ':') {
        (void)snprintf(error, COMMAND_LINE_ERROR_MAX, "%.80s needs a value", argument);
        return TICKETD_INVALID;
    }
    if (returned == '?') {
        (void)snprintf(error, COMMAND_LINE_ERROR_MAX,
                       strncmp(argument, "--", 2) == 0 ? "%.80s: this option takes no value"
                                                       : "unknown option %.80s; --help lists them",
                       argument);
        return TICKETD_INVALID;
    }
    assert(returned >= SETTING_BASE && returned < SETTING_BASE + SETTING_COUNT);
    set_override(command_line, (enum setting_id)(returned - SETTING_BASE), optarg);
    return TICKETD_DONE;
}

int command_line_parse(struct command_line *ret_command_line, int argc, char *const *argv,
                       char error[COMMAND_LINE_ERROR_MAX])
{
    struct command_line command_line = {.action = COMMAND_LINE_SERVE};
    struct options options;

    options_init(&options);
    opterr = 0;
    /* 0 makes glibc forget an earlier scan */
    optind = 0;
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        const char *argument = at < argc ? argv[at] : NULL;
        int option;
        int r;

        if (argument != NULL && strncmp(argument, "--", 2) == 0 && argument[2] != '\0' &&
            !is_whole_option(&options, argument + 2))
            return refuse_unknown(argument, error);
        option = getopt_long(argc, argv, options.letters, options.table, NULL);
        if (option == -1)
            break;
        r = take_option(&command_line, option, argument, error);
        if (r != TICKETD_DONE)
            return r;
    }
    if (optind < argc) {
        (void)snprintf(error, COMMAND_LINE_ERROR_MAX, "unexpected argument \"%.80s\"",
                       argv[optind]);
        return TICKETD_INVALID;
    }
    *ret_command_line = command_line;
    return TICKETD_DONE;
}
