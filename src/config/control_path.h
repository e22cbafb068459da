/* Where the control socket is, for ticketd and ticketctl alike: CONTROL_SOCKET; else in the first
 * folder of $RUNTIME_DIRECTORY (systemd sets it) control.sock; else the ledger's path with .control
 * after it.  A master that runs a ticket pool alone has no ledger: ticket-control.sock, else
 * var/ticket.control in the working directory.  Any process; no state. */
#ifndef TICKETD_CONFIG_CONTROL_PATH_H
#define TICKETD_CONFIG_CONTROL_PATH_H

#include <stdbool.h>

#include "config/settings.h"

/* What a unix socket's address has room for, its end included. */
#define CONTROL_PATH_SIZE 108

/* Whether these settings run a ticket pool alone, which has no ledger. */
bool control_path_is_ticket(const struct settings *settings);

/* `ledger`: the ledger's file, empty for none.
 * 0; TICKETD_NOT_FOUND: there is none; TICKETD_INVALID: the path is too long, and
 * CONTROL_SOCKET can name a shorter one. */
int control_path_find(const struct settings *settings, const char *ledger,
                      char ret_path[CONTROL_PATH_SIZE]);

/* Makes the folder of var/ticket.control if it is missing, as a ledger's is made; the folder of
 * any other path is there, or is not ours to make.  0 or -errno. */
int control_path_prepare(const char *path);

#endif
