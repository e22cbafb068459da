/* What the completions of all shells have in common: each program's options, and what a value of
 * each may be. */
#ifndef TICKETD_DOCUMENTS_COMPLETION_H
#define TICKETD_DOCUMENTS_COMPLETION_H

#include <stdbool.h>
#include <stdio.h>

#include "config/command_line.h"

enum completion_value {
    COMPLETION_NONE,  /* it takes none */
    COMPLETION_PATH,  /* a file */
    COMPLETION_WORDS, /* one of some words */
    COMPLETION_OTHER, /* nothing to propose */
};

struct completion_option {
    char name[COMMAND_LINE_OPTION_MAX];
    char letter; /* 0: none */
    enum completion_value value;
    const char *words; /* between bars */
    const char *help;
};

enum { COMPLETION_OPTIONS_MAX = SETTING_COUNT + 32 };

/* Every option in the order of help: of ticketd its own, then the settings; of ticketctl as in its
 * table (ctl_line_takes knows them by their place).  How many there are. */
size_t completion_ticketd(struct completion_option ret_options[COMPLETION_OPTIONS_MAX]);
size_t completion_ticketctl(struct completion_option ret_options[COMPLETION_OPTIONS_MAX]);

/* True where ticketctl has a command of two words that begins with that one. */
bool completion_has_second_word(const char *command);

/* The words, with blanks between them. */
void completion_print_words(FILE *out, const char *words);

/* The first sentence of a help without its end, with a backslash before each character of
 * `escaped`. */
void completion_print_brief(FILE *out, const char *help, const char *escaped);

#endif
