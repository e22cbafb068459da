/* Text in lines, broken at blanks: for help, for comments and for manual pages.
 *
 * Any process may call these.  They block as `out` does and keep nothing; whoever needs to know
 * looks at ferror(out). */
#ifndef TICKETD_UTIL_WRAP_H
#define TICKETD_UTIL_WRAP_H

#include <stdio.h>

/* Every line begins with `prefix` and is, with it, at most `width` bytes long; a word that is
 * wider than that stays whole. */
void wrap_print(FILE *out, const char *prefix, size_t width, const char *text);

/* As roff takes text: each sentence begins a line, no line looks like a request, and the dashes
 * that begin a word stay dashes. */
void wrap_print_roff(FILE *out, const char *text);

#endif
