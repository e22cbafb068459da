/* The SQLite store's inside, shared by the files src/ledger/sqlite_*.c and by their tests.
 *
 * A handle belongs to one thread of one process; only `checkpointer` has a thread of its own,
 * started when first needed, so that the master, which closes before it forks, never has it. */
#ifndef TICKETD_LEDGER_SQLITE_STORE_H
#define TICKETD_LEDGER_SQLITE_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "ledger/sqlite_batch.h"
#include "ledger/sqlite_checkpoint.h"
#include "ledger/tail.h"
#include "ticketd/ledger.h"

enum {
    LEDGER_ERROR_MAX = 512,
};

struct ledger {
    /* Fixed after open. */
    char path[PATH_MAX];
    bool writer;

    /* The connection; replaced as a whole when it does not recover. */
    sqlite3 *db;
    sqlite3_stmt *begin, *insert_batch, *update_event, *commit; /* writer only */
    sqlite3_stmt *last_entry, *find_entry;

    /* Writer only. */
    struct ledger_tails tails;
    struct batch_rows rows; /* what the statement insert_batch inserts */
    unsigned faults;        /* appends that failed in a row; after one nothing cached is believed */

    struct checkpointer checkpointer;
    char error[LEDGER_ERROR_MAX];
};

/* Writes one line into ledger->error: what was tried, the path, what SQLite and the system say.
 * Returns a negated errno for the result code, never 0. */
int store_fault(struct ledger *ledger, const char *doing, int rc);
/* Likewise, for a finding that is no result code; returns `answer`. */
__attribute__((format(printf, 3, 4))) int store_finding(struct ledger *ledger, int answer,
                                                        const char *format, ...);

/* Opens the connection of ledger->path and prepares its statements; with `create`, makes the
 * ledger if there is none.  0, LEDGER_NEWER, LEDGER_DAMAGED, -errno; on all but 0 the connection
 * is closed again. */
int store_connect(struct ledger *ledger, bool create);
/* Closes it; `checkpoint`: as SQLite does when the last connection goes, else leave the log. */
void store_disconnect(struct ledger *ledger, bool checkpoint);

/* The columns of an entry, as sqlite_read.c reads them. */
#define STORE_ENTRY_COLUMNS "kind, quantity, available, time_us, token, origin, key, id"

/* Adds up an event as the file has it: its row in `events`, checked against its last entry.
 * 0, LEDGER_NOT_FOUND, LEDGER_DAMAGED, -errno. */
int store_read_totals(struct ledger *ledger, uint32_t event, struct ledger_totals *ret_totals);
/* How many events the file has. */
int store_count_events(struct ledger *ledger, uint32_t *ret_count);
/* Whether every entry is of one of the `events` events.  0, LEDGER_DAMAGED, -errno. */
int store_check_bounds(struct ledger *ledger, uint32_t events);

/* Writes every byte of the log again and syncs it; see sqlite_open.c for why.  Writer only, not in
 * a transaction.  An SQLite result code. */
int store_rewrite_log(sqlite3 *db);

/* The operations of struct ledger_ops. */
int store_append(struct ledger *ledger, const struct ledger_entry *entries, size_t count);
int store_create_event(struct ledger *ledger, const char *id, uint32_t available, int64_t time_us);
int store_each_event(struct ledger *ledger,
                     int (*on_event)(void *context, const struct ledger_event *event),
                     void *context);
int store_each_key(struct ledger *ledger, int64_t since_us,
                   int (*on_sale)(void *context, const struct ledger_keyed_sale *sale),
                   void *context);
int store_each_entry(struct ledger *ledger, uint32_t event, uint64_t from, uint64_t to,
                     int (*on_entry)(void *context, const struct ledger_entry *entry),
                     void *context);
int store_note_clock_step(struct ledger *ledger, int64_t time_us, int64_t step_us);
int store_each_clock_step(struct ledger *ledger,
                          int (*on_step)(void *context, int64_t time_us, int64_t step_us),
                          void *context);
int store_find(struct ledger *ledger, uint32_t event, uint64_t sequence,
               struct ledger_entry *ret_entry);

#endif
