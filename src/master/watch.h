/* Notices that the binary or the configuration file has changed, for RELOAD in development.
 * Master only.  It watches folders, so that a file that is replaced, or appears, is seen too. */
#ifndef TICKETD_MASTER_WATCH_H
#define TICKETD_MASTER_WATCH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#define WATCH_FILES 2

struct watch_file {
    char path[PATH_MAX];
    struct stat seen; /* st_ino 0: it was not there */
};

struct watch {
    int fd; /* inotify, to be polled; −1 when nothing is watched */
    struct watch_file files[WATCH_FILES];
};

/* Begins to watch.  0, or -errno (then nothing is watched, fd is −1). */
int watch_open(struct watch *watch, const char *binary, const char *config);

/* Forgets the events that fd has. */
void watch_clear(struct watch *watch);

/* Whether a file differs from when this was last true (or from the start).  A file that is missing
 * right now, as between two steps of a linker, counts as unchanged. */
bool watch_changed(struct watch *watch);

/* Accepts one that is not open. */
void watch_close(struct watch *watch);

#endif
