/* An option of a program as its parser, its help, its manual page and its completion read it: of
 * ticketd from command_line.def, of ticketctl from the table in ctl/command_line.c.
 *
 * Any process may call these; they block as `out` does and keep nothing. */
#ifndef TICKETD_CONFIG_OPTION_ROW_H
#define TICKETD_CONFIG_OPTION_ROW_H

#include <stdio.h>

struct option_row {
    const char *name; /* without its dashes */
    char letter;      /* 0: none */
    /* What its value is called; NULL: it takes none.  FILE and PATH are paths; words between bars
     * are all that is allowed. */
    const char *value;
    const char *help;
};

/* How a program ends. */
struct exit_row {
    int status;
    const char *meaning;
};

/* "  -c, --config FILE" and the help below it, within `width`. */
void option_row_print(FILE *out, const struct option_row *row, size_t width);

/* The same as an item of a list in mdoc(7). */
void option_row_print_mdoc(FILE *out, const struct option_row *row);

#endif
