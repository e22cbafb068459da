/* Sockets that the service manager has opened and handed over, each named for who shall have it
 * (FileDescriptorName= of a socket unit; `--fdname` of systemd-socket-activate): the name of a pool
 * (monolith, vacancy, ticket), or "control" for the site of ticketctl.  They win over the settings
 * that would open one.  Master only; does not block.
 *
 * One that nobody here takes is a mistake, not a detail: clients could connect, and nobody would
 * ever answer them. */
#ifndef TICKETD_MASTER_HANDED_H
#define TICKETD_MASTER_HANDED_H

#include <stdint.h>

#include "config/settings.h"
#include "master/listener.h"

#define HANDED_MAX     LISTENER_SET_MAX
#define HANDED_CONTROL "control"

struct handed_socket {
    int fd;
    char *name; /* NULL: it has been taken */
};

struct handed {
    struct handed_socket items[HANDED_MAX];
    uint32_t count;
};

/* Finds what was handed over to this process.  Its environment stays as it is: after a restart in
 * place they are found again.  0; TICKETD_INVALID or -errno with one line in `error`. */
int handed_receive(struct handed *ret_handed, char error[SETTINGS_ERROR_MAX]);

/* Adds every socket of that name to the set, whose they are from now on.  0; TICKETD_INVALID or
 * -errno with one line in `error`: one of them cannot serve. */
int handed_take(struct handed *handed, const char *name, const struct settings *settings,
                struct listener_set *set, char error[SETTINGS_ERROR_MAX]);

/* Ends the taking: 0, or TICKETD_INVALID with one line in `error` that names one that is left. */
int handed_finish(struct handed *handed, char error[SETTINGS_ERROR_MAX]);

#endif
