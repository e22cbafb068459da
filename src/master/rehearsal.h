/* Asks the binary on disk whether it would start with its present configuration, by running it with
 * --check-config.  For restarts in place: what is refused here must not replace what runs.  Master
 * only; does not block, the answer comes with SIGCHLD. */
#ifndef TICKETD_MASTER_REHEARSAL_H
#define TICKETD_MASTER_REHEARSAL_H

#include <stdbool.h>
#include <sys/types.h>

struct rehearsal {
    pid_t pid;  /* 0: none is under way */
    int output; /* what it says on stderr */
};

/* Starts it.  0 or -errno. */
int rehearsal_start(struct rehearsal *rehearsal, const char *binary, char *const *arguments);

/* Takes note of a child that was reaped.  false when it was another one; else *ret_good tells
 * whether it would start, and if not one log line has said why. */
bool rehearsal_reaped(struct rehearsal *rehearsal, pid_t pid, int status, bool *ret_good);

/* Ends one that is under way; accepts none. */
void rehearsal_cancel(struct rehearsal *rehearsal);

#endif
