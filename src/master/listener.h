/* The listening sockets of a pool: bound by the master, inherited by its workers, so that a dying
 * worker drops no queued connection.  Master only; may block on a name look-up at start.
 *
 * A start opens the sets of all its pools in this order, so that a restart in place may move
 * addresses between them:
 *
 *     listener_adopt             once
 *     listener_take              for each pool
 *     listener_close             what is adopted and nobody has taken
 *     listener_open              for each pool */
#ifndef TICKETD_MASTER_LISTENER_H
#define TICKETD_MASTER_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"

/* Of one pool: twice what HOST may list, since localhost and wildcards are two each. */
#define LISTENERS_MAX 64
/* Of a set: one pool's, or all pools' that are adopted. */
#define LISTENER_SET_MAX (2 * LISTENERS_MAX)
/* Room for "[address%scope]:port" or "unix:/path". */
#define LISTENER_NAME_MAX 128

struct listener {
    int fd;
    /* what was asked for, by which pool if it left the port to the kernel; finds it after a restart
     */
    char key[LISTENER_NAME_MAX];
    char name[LISTENER_NAME_MAX]; /* what it became: "http://127.0.0.1:8000", "unix:/run/x" */
    bool is_unix;
    bool handed; /* the service manager's: it has bound it, and keeps it when we are gone */
    bool shut;   /* see listener_shut */
};

struct listener_set {
    struct listener items[LISTENER_SET_MAX];
    uint32_t count;
};

/* What one pool listens on: all of settings->host at `port`. */
struct listener_wish {
    const struct settings *settings;
    int64_t port; /* 0: one that the kernel chooses, the same for all addresses */
    const char *pool;
};

/* Takes over what a restart in place left in the environment (listener_export).  Call once at
 * start. */
void listener_adopt(struct listener_set *ret_adopted);

/* Takes from `adopted` what the pool wishes, into an empty set.  0; TICKETD_INVALID or -errno with
 * one line in `error` that names the address. */
int listener_take(struct listener_set *ret_set, const struct listener_wish *wish,
                  struct listener_set *adopted, char error[SETTINGS_ERROR_MAX]);

/* Opens all that the pool wishes and the set does not have.  Likewise; on all but 0 the set is
 * closed. */
int listener_open(struct listener_set *set, const struct listener_wish *wish,
                  char error[SETTINGS_ERROR_MAX]);

/* Adds a socket that the service manager opened (handed.h); `name` is how the manager calls it.  On
 * all but 0 the descriptor stays open. */
int listener_take_handed(struct listener_set *set, const struct settings *settings, int fd,
                         const char *name, char error[SETTINGS_ERROR_MAX]);

/* Writes the URL by which a process of this machine reaches the set: that of its first TCP socket,
 * on the loopback address where it listens on a wildcard; without one, that of its first socket
 * with a path.  false: it has neither. */
bool listener_url(const struct listener_set *set, char ret_url[LISTENER_NAME_MAX]);

/* Opens the one unix socket of the control site: whoever may open the file (its owner and group)
 * may use it.  0, or -errno with one line in `error`. */
int listener_open_control(struct listener_set *ret_set, const struct settings *settings,
                          const char *path, char error[SETTINGS_ERROR_MAX]);

/* Lets nobody new in, for good: call when the sockets are about to be closed by all who have them.
 * Whoever is in already, or has begun to come in, can still be accepted.  A TCP handshake begins no
 * more: the client's kernel tries again, a second later, and is refused when the socket is closed
 * then.  What was handed over stays open to all, for others will accept from it.  true: handshakes
 * may be under way, and take as long as their clients are far. */
bool listener_shut(struct listener_set *set);

/* Closes all of them; a unix socket's file is removed if we have made it. */
void listener_close(struct listener_set *set);

/* Makes the sockets survive an execve and adds them to what the environment names; what was handed
 * over is named there already.  0 or -errno. */
int listener_export(const struct listener_set *set);

/* Undoes every listener_export, if the execve failed; call for each set. */
void listener_unexport(const struct listener_set *set);

#endif
