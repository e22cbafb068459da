/* The exclusive lock on a ledger: one file beside it, locked by whoever may write.
 *
 * The lock belongs to the open file, not to a process (flock): children that inherit the
 * descriptor over fork hold it too, and it is free when the last of them is dead, however they
 * died.  The file is never removed: a waiter could hold the removed one.  Its one line names the
 * holder to people and to the message of those who wait in vain; nothing is decided by it. */
#ifndef TICKETD_LEDGER_LOCK_H
#define TICKETD_LEDGER_LOCK_H

#include <stddef.h>

/* Locks the file PATH-lock, made if need be; blocks for up to wait_ms.  The descriptor is
 * close-on-exec; closing it (in every process that has it) frees the lock.
 * 0, LEDGER_HELD, or -errno; on all but 0 `error` says why in one line. */
int lock_take(const char *path, unsigned wait_ms, int *ret_fd, char *error, size_t error_size);

#endif
