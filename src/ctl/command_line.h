/* ticketctl's command line, its table of commands and the help that is written from it.  Once, by
 * main; one thread; reads the wall clock for --since and nothing else. */
#ifndef TICKETD_CTL_COMMAND_LINE_H
#define TICKETD_CTL_COMMAND_LINE_H

#include <stdio.h>

#include "config/option_row.h"
#include "config/settings.h"
#include "ctl/ctl.h"

enum {
    CTL_LINE_ERROR_MAX = 256,
    CTL_LINE_OVERRIDES = 2, /* --ledger-url, --control-socket */
};

struct ctl_command {
    const char *name;      /* one word or two */
    const char *arguments; /* as help shows them */
    unsigned least, most;  /* how many arguments */
    unsigned options;      /* see ctl_line_takes */
    const char *help;
    int (*run)(struct ctl *ctl);
    bool needs_stock; /* see ctl_need_stock */
};

struct ctl_line {
    const struct ctl_command *command; /* NULL: none was named */
    bool help, version;
    const char *config_path; /* NULL: not given */
    struct settings_override overrides[CTL_LINE_OVERRIDES];
    size_t override_count;
    struct ctl ctl; /* its part of the command line */
};

/* Decodes argv[1] …; the strings stay argv's.  0, or TICKETD_INVALID with one line in `error`. */
int ctl_line_parse(struct ctl_line *ret_line, int argc, char *const *argv,
                   char error[CTL_LINE_ERROR_MAX]);

/* Help: of one command, or with NULL of all. */
void ctl_line_help(FILE *out, const struct ctl_command *command);

/* The tables, in the order of help, for the manual page and for completions; static. */
const struct ctl_command *ctl_line_commands(size_t *ret_count);
const struct option_row *ctl_line_options(size_t *ret_count);

/* Whether every command takes the option at that place of the table, and whether this one does. */
bool ctl_line_is_common(size_t option);
bool ctl_line_takes(const struct ctl_command *command, size_t option);

#endif
