/* A batch of entries as a table that SQL can read: one statement then inserts the whole batch.
 *
 * Measured: a row of a batch of 64 or more costs about half of what it does with a statement that
 * is bound, run and reset for each.  Private to src/ledger/; belongs to the writer's connection. */
#ifndef TICKETD_LEDGER_SQLITE_BATCH_H
#define TICKETD_LEDGER_SQLITE_BATCH_H

#include <stddef.h>

#include <sqlite3.h>

#include "ticketd/ledger.h"

/* The table's name, and its columns: those of the table entries. */
#define BATCH_TABLE   "batch"
#define BATCH_COLUMNS "id, kind, quantity, available, time_us, token, origin, key"

/* What the table shows; to be set before each statement that reads it. */
struct batch_rows {
    const struct ledger_entry *entries; /* borrowed */
    size_t count;
};

/* Gives the connection the table; `rows` must outlive it.  An SQLite result code. */
int batch_register(sqlite3 *db, struct batch_rows *rows);

#endif
