/* Everything that is written from the table of settings: --help, --print-config, and the reference
 * that conf/.env.example, the README's table and ticketd.conf(5) are copies of.
 *
 * Any process may call these.  They block as `out` does, keep nothing and read no setting of the
 * process itself.  Each returns 0, or -errno if `out` did not take all of it (it is flushed). */
#ifndef TICKETD_CONFIG_SETTINGS_PRINT_H
#define TICKETD_CONFIG_SETTINGS_PRINT_H

#include <stdio.h>

#include "config/settings.h"

/* The text of --help. */
int settings_print_help(FILE *out);

/* The values in force, each with its source, as a .env file that gives the same values again. */
int settings_print_config(FILE *out, const struct settings *settings);

/* Every setting as a comment with its help, bounds, default and reload class. */
int settings_print_reference_env(FILE *out);

/* The same as a Markdown table. */
int settings_print_reference_markdown(FILE *out);

/* The same as sections of a manual page in mdoc(7). */
int settings_print_reference_mdoc(FILE *out);

#endif
