/* What is written from the programs' tables into manual pages, README.md and the completions of
 * shells.  For the program of the build that prints these parts, ticketd-documents, which is never
 * installed; tools/update-docs says which part goes where.
 *
 * Nothing here keeps anything; whoever prints looks at ferror(out). */
#ifndef TICKETD_DOCUMENTS_DOCUMENTS_H
#define TICKETD_DOCUMENTS_DOCUMENTS_H

#include <stdio.h>

/* Parts of manual pages, in mdoc(7): items of lists, and a synopsis. */
void manual_ticketd_options(FILE *out);
void manual_ticketd_exits(FILE *out);
void manual_ticketctl_synopsis(FILE *out);
void manual_ticketctl_commands(FILE *out);
void manual_ticketctl_options(FILE *out);
void manual_ticketctl_exits(FILE *out);

void manual_metrics(FILE *out);
void manual_problems(FILE *out);

/* Each metric as a line of its name, type and labels, with blanks between; for tests. */
void metrics_list(FILE *out);

/* Markdown tables: the exit statuses of ticketd, the codes of problems, and the metrics. */
void readme_exits(FILE *out);
void readme_problems(FILE *out);
void readme_metrics(FILE *out);

/* Whole files. */
void bash_ticketd(FILE *out);
void bash_ticketctl(FILE *out);
void zsh_ticketd(FILE *out);
void zsh_ticketctl(FILE *out);
void fish_ticketd(FILE *out);
void fish_ticketctl(FILE *out);

#endif
