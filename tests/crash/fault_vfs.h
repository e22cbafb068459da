/* A disk that fails on purpose and remembers: a layer over SQLite's own file access.
 *
 * It is the process's default while it is in place.  It counts writes (truncations included) and
 * syncs of the database and its logs, can fail them with an answer of choice, and keeps a record of
 * all that reached the files, from which power-loss images are made.  A failed sync leaves what it
 * should have written visible and unwritten for good, as Linux does: later syncs do not cover it.
 *
 * One ledger at a time; one thread. */
#ifndef TICKETD_TESTS_CRASH_FAULT_VFS_H
#define TICKETD_TESTS_CRASH_FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_file {
    FAULT_DATABASE = 0,
    FAULT_LOG,
    FAULT_JOURNAL, /* SQLite's other log, used only until the ledger is in WAL mode */
    FAULT_FILES,
};

enum fault_kind {
    FAULT_WRITE = 0,
    FAULT_SYNC,
    FAULT_KINDS,
};

struct fault_plan {
    enum fault_kind kind;
    unsigned at;     /* the operation of that kind to fail, from 1, counted from fault_set */
    unsigned length; /* how many of that kind fail from there; UINT_MAX: until fault_clear */
    int rc;          /* what SQLite is told: SQLITE_FULL, SQLITE_IOERR_WRITE, … */
    bool torn;       /* a failing write writes its first half */
};

void fault_install(void);
void fault_uninstall(void);

/* Forgets the record and every plan. */
void fault_forget(void);
void fault_set(const struct fault_plan *plan);
void fault_clear(void);
/* How many operations failed since fault_set. */
unsigned fault_failed(void);

/* From now on whatever a connection does reaches no file: its process is dead.  After fault_revive
 * connections opened from then on work. */
void fault_kill(void);
void fault_revive(void);

/* Whether what happens is recorded (it is, after fault_install), and may fail. */
void fault_watch(bool watch);

/* How many operations are in the record: a moment to which an image can be made. */
size_t fault_moment(void);

/* Writes what a disk may hold if the power fails at that moment: `path` and its logs.  Every write
 * that was synced is there.  Of the others each one is there, not there, or there in some of its
 * sectors, by the numbers that follow from `seed`; seed 0 keeps all of them, 1 none. */
void fault_image(size_t moment, uint64_t seed, const char *path);

#endif
