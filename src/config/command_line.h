/* The command line of ticketd: what to do, and which settings it gives.
 *
 * Called once, by main, before anything else.  It uses getopt_long and so getopt's static state:
 * one thread at a time.  It never prints, never exits, never checks a setting's value.
 *
 * Every setting of the table is an option: MONOLITH_PORT is --monolith-port VALUE. */
#ifndef TICKETD_CONFIG_COMMAND_LINE_H
#define TICKETD_CONFIG_COMMAND_LINE_H

#include <stddef.h>

#include "config/option_row.h"
#include "config/settings.h"

enum command_line_action {
    COMMAND_LINE_SERVE,
    COMMAND_LINE_CHECK_CONFIG,
    COMMAND_LINE_PRINT_CONFIG,
    COMMAND_LINE_REFERENCE_ENV,
    COMMAND_LINE_REFERENCE_MARKDOWN,
    COMMAND_LINE_REFERENCE_MDOC,
    COMMAND_LINE_VERSION,
    COMMAND_LINE_HELP,
};

enum {
    /* room for one error line, its NUL included */
    COMMAND_LINE_ERROR_MAX = 256,
    /* room for an option's name, its NUL included; asserted for every setting */
    COMMAND_LINE_OPTION_MAX = 48,
};

struct command_line {
    enum command_line_action action;
    /* NULL if not given */
    const char *config_path;
    /* at most one for a setting: the last given */
    struct settings_override overrides[SETTING_COUNT];
    size_t override_count;
};

/* Decodes argv[1] … argv[argc - 1].  The strings of *ret_command_line point into argv's: call
 * setproctitle_init before this, because it moves them.
 * 0, or TICKETD_INVALID with one line in `error`. */
int command_line_parse(struct command_line *ret_command_line, int argc, char *const *argv,
                       char error[COMMAND_LINE_ERROR_MAX]);

/* The option of a setting without its dashes: MONOLITH_PORT → monolith-port. */
void command_line_option(enum setting_id id, char ret_option[COMMAND_LINE_OPTION_MAX]);

/* The options that are no settings, in the order of help; static. */
const struct option_row *command_line_own_options(size_t *ret_count);

#endif
