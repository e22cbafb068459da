/* The listening sockets of a pool: bound by the master, inherited by its workers, so that a dying
 * worker drops no queued connection.  Master only; may block on a name look-up at start. */
#ifndef TICKETD_MASTER_LISTENER_H
#define TICKETD_MASTER_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"

/* Twice what HOST may list: localhost and wildcards are two each. */
#define LISTENERS_MAX 64
/* Room for "[address%scope]:port" or "unix:/path". */
#define LISTENER_NAME_MAX 128

struct listener {
    int fd;
    char key[LISTENER_NAME_MAX]; /* what was asked for, port 0 included; finds it after a restart */
    char name[LISTENER_NAME_MAX]; /* what it became: "http://127.0.0.1:8000", "unix:/run/x" */
    bool is_unix;
};

struct listener_set {
    struct listener items[LISTENERS_MAX];
    uint32_t count;
};

/* Takes over what a restart in place left in the environment (listener_export), for
 * listener_open to find.  Call once at start. */
void listener_adopt(struct listener_set *ret_adopted);

/* Opens all of settings->host at `port`, taking from `adopted` what fits and closing the rest of
 * it.  0; TICKETD_INVALID or -errno with one line in `error` that names the address. */
int listener_open(struct listener_set *ret_set, const struct settings *settings, int64_t port,
                  struct listener_set *adopted, char error[SETTINGS_ERROR_MAX]);

/* Opens the one unix socket of the control site: whoever may open the file (its owner and group)
 * may use it.  0, or -errno with one line in `error`. */
int listener_open_control(struct listener_set *ret_set, const struct settings *settings,
                          const char *path, char error[SETTINGS_ERROR_MAX]);

/* Closes all of them; a unix socket's file is removed. */
void listener_close(struct listener_set *set);

/* Makes the sockets survive an execve and names them in the environment.  0 or -errno. */
int listener_export(const struct listener_set *set);

/* Undoes listener_export, if the execve failed. */
void listener_unexport(const struct listener_set *set);

#endif
