/* The master: the parent of all processes of one ticketd.  It owns listeners, segment and children,
 * and serves nobody itself. */
#ifndef TICKETD_MASTER_MASTER_H
#define TICKETD_MASTER_MASTER_H

#include <stdbool.h>

#include "config/settings.h"

struct master_options {
    const struct settings *settings;    /* as loaded; copied */
    const struct settings_input *input; /* to load them again on reload; borrowed */
    char *const *arguments; /* of this process, argv[0] first, ended by NULL; borrowed */
};

/* Whether these settings fit together, name a ledger where one of the pools has one, and ask for no
 * more files than this process may open.  false with one line in `error`.  Looks only; for
 * --check-config, the start and a reload. */
bool master_can_run(const struct settings *settings, char error[SETTINGS_ERROR_MAX]);

/* Runs until told to stop.  Returns the exit status: 0 after a stop, else why it could not serve
 * (after one line in the log). */
int master_run(const struct master_options *options);

#endif
