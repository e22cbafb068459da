/* Asks the binary on disk whether it runs and accepts its present configuration, by running it with
 * --check-config.  For restarts in place: what is refused here must not replace what runs.  It does
 * not try whether addresses are free.  Master only; does not block, the answer comes with SIGCHLD.
 */
#ifndef TICKETD_MASTER_REHEARSAL_H
#define TICKETD_MASTER_REHEARSAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rehearsal {
    pid_t pid;  /* 0: none is under way */
    int output; /* what it says on stderr */
    uint64_t kill_at_ms;
};

/* Starts it.  0 or -errno. */
int rehearsal_start(struct rehearsal *rehearsal, const char *binary, char *const *arguments);

/* Takes note of a child that was reaped.  false when it was another one; else *ret_good tells
 * whether it would start, and if not one log line has said why. */
bool rehearsal_reaped(struct rehearsal *rehearsal, pid_t pid, int status, bool *ret_good);

/* Ends one that is under way, whose end is nobody's business then; accepts none. */
void rehearsal_cancel(struct rehearsal *rehearsal);

/* Ends one that hangs.  Returns when it wants to be called again at the latest. */
uint64_t rehearsal_tick(struct rehearsal *rehearsal, uint64_t now_ms);

#endif
