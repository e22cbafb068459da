/* LEDGER_URL: which store, and where.
 *
 *   sqlite:PATH  a file; a relative path is relative to the working directory
 *   sqlite:      ledger.db in the first folder of $STATE_DIRECTORY (set by systemd), else in ./var
 *   memory:      nothing is left when the tree has ended
 *
 * For the master before it forks, and for ticketctl; holds no state. */
#ifndef TICKETD_LEDGER_LEDGER_URL_H
#define TICKETD_LEDGER_LEDGER_URL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "ticketd/ledger.h"

struct ledger_place {
    const struct ledger_ops *ops;
    char location[PATH_MAX]; /* an absolute path; empty for a store without a file */
    bool durable;            /* what it says it has is there after the end of the tree, too */
};

/* 0; TICKETD_INVALID: one line in `error` says what is allowed; -errno: the working directory
 * cannot be told, one line too.  Makes and opens nothing. */
int ledger_place_find(const char *url, struct ledger_place *ret_place, char *error,
                      size_t error_size);

/* Makes the folder of the location if it is missing, durably; its parent must be there.
 * 0, or -errno with one line in `error`. */
int ledger_place_prepare(const struct ledger_place *place, char *error, size_t error_size);

#endif
