/* What this process and its service manager (systemd) say to each other, and the only place that
 * knows libsystemd: notify.c where the build has that library, notify-fallback.c, which hears and
 * says nothing, where not.  Master only.
 *
 * Nothing blocks: a manager that does not read (it may have crashed and still hold its socket) must
 * not stop who supervises the workers. */
#ifndef TICKETD_MASTER_NOTIFY_H
#define TICKETD_MASTER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* The first descriptor that a manager hands over; the others follow it. */
#define NOTIFY_SOCKETS_FIRST 3

struct notify {
    int probe;            /* connected to the manager's socket, to see its room; −1: no manager */
    uint64_t watchdog_ms; /* the manager wants to hear from this process so often; 0: it does not */
};

/* Finds out what the manager wants to hear, by the environment, which stays as it is: it serves
 * after a restart in place, too. */
void notify_open(struct notify *ret_notify);

/* Sends assignments, one a line: "READY=1\nSTATUS=…" (sd_notify(3)).  true: they are sent, or there
 * is nobody to send them to; false: not now, try again. */
bool notify_send(const struct notify *notify, const char *assignments);

/* The sockets that the manager has opened for this process (LISTEN_FDS).  Returns how many, or
 * -errno; *ret_names, a name each, is the caller's to free, with each of them, if there are any.
 * Marks them close-on-exec. */
int notify_sockets(char ***ret_names);

/* Closes what notify_open opened; in a child, too. */
void notify_close(struct notify *notify);

#endif
