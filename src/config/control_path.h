/* Where the control socket is, for ticketd and ticketctl alike: CONTROL_SOCKET; else control.sock
 * in the first folder of $RUNTIME_DIRECTORY (systemd sets it); else the ledger's path with .control
 * after it.  Any process; no state. */
#ifndef TICKETD_CONFIG_CONTROL_PATH_H
#define TICKETD_CONFIG_CONTROL_PATH_H

/* What a unix socket's address has room for, its end included. */
#define CONTROL_PATH_SIZE 108

/* `setting`: CONTROL_SOCKET, empty for none; `ledger`: the ledger's file, empty for none.
 * 0; TICKETD_NOT_FOUND: there is none; TICKETD_INVALID: the path is too long, and
 * CONTROL_SOCKET can name a shorter one. */
int control_path_find(const char *setting, const char *ledger, char ret_path[CONTROL_PATH_SIZE]);

#endif
