/* Moves the ledger's write-ahead log into its database, beside the appends.
 *
 * Appending never waits for it: a passive checkpoint blocks no writer, and a thread with a
 * connection of its own does them, CHECKPOINT_STEP frames at a time.  But a log that is written
 * without pause is never copied to its end by another thread, and SQLite starts it from its
 * beginning again only at that point.  So once the log has CHECKPOINT_TURN frames and the thread
 * has left less than a step of it, the writer copies that rest itself, between two appends: the
 * cost of one more sync each CHECKPOINT_TURN frames.  At CHECKPOINT_LIMIT the writer copies
 * whatever is left.  A reader that keeps a transaction open can still hold the log's end.
 *
 * Measured with 64 entries an append: on a quick disk a checkpoint of a step takes 1.5 to 2 ms, and
 * the thread makes little difference; with syncs of the database 50 ms slower the 99th percentile
 * of an append is 0.6 ms with the thread and 51 ms without. Private to src/ledger/. */
#ifndef TICKETD_LEDGER_SQLITE_CHECKPOINT_H
#define TICKETD_LEDGER_SQLITE_CHECKPOINT_H

#include <pthread.h>
#include <stdbool.h>

#include <sqlite3.h>

/* In frames of the log: pages of 4 KiB. */
enum {
    CHECKPOINT_STEP = 256,
    CHECKPOINT_TURN = 2048,
    CHECKPOINT_LIMIT = 8192,
};

struct checkpointer {
    /* Owner only. */
    const char *path;
    sqlite3 *db;  /* the writer's connection, borrowed */
    int frames;   /* in the log after the last commit */
    int next_try; /* the writer's next own checkpoint is not before so many frames */
    bool has_thread;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Shared, under the mutex. */
    bool wanted, busy, stopping;
    unsigned generation; /* counts the log's restarts */
    int copied;          /* frames of this generation that are in the database */
    int last_rc;         /* of the last checkpoint: SQLITE_OK, or why it failed */
};

/* Binds it to the writer's connection, which must stay open until checkpointer_deinit. */
void checkpointer_init(struct checkpointer *checkpointer, sqlite3 *db, const char *path);
/* Ends the thread, if there is one.  Accepts a zeroed or already ended one. */
void checkpointer_deinit(struct checkpointer *checkpointer);

/* After each commit, with no transaction open.  A checkpoint that fails loses nothing; it is tried
 * again later. */
void checkpointer_committed(struct checkpointer *checkpointer);
/* Before each append: SQLITE_OK, unless checkpoints fail and the log has outgrown its limit twice;
 * then the failure of one more try. */
int checkpointer_admit(struct checkpointer *checkpointer);
/* When there is nothing to append: what is left is copied soon, a small rest at once.  An SQLite
 * result code: that of the last checkpoint. */
int checkpointer_idle(struct checkpointer *checkpointer);

#endif
