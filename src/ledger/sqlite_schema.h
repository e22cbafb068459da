/* What is in the ledger's SQLite file, and how an older one becomes a current one.
 *
 * The file says what it is by its application_id and which version by its user_version.  A version
 * is reached from the one before by one step; a new file goes through all of them.  Steps that
 * were released never change.  Private to src/ledger/. */
#ifndef TICKETD_LEDGER_SQLITE_SCHEMA_H
#define TICKETD_LEDGER_SQLITE_SCHEMA_H

#include <sqlite3.h>

#define SCHEMA_APPLICATION_ID 0x544b544c /* "TKTL" */
#define SCHEMA_VERSION        3

/* An entry's id is event * SCHEMA_EVENT_STRIDE + sequence: in decimal a reader sees both. */
#define SCHEMA_EVENT_STRIDE INT64_C(10000000000000)

enum schema_state {
    SCHEMA_CURRENT = 0,
    SCHEMA_NONE,    /* an empty database: a ledger can be made in it */
    SCHEMA_OLDER,   /* a ledger that schema_upgrade makes current */
    SCHEMA_NEWER,   /* a ledger of a version that this program does not know */
    SCHEMA_FOREIGN, /* a database of something else */
};

/* Reads only.  An SQLite result code; *ret_state is set when it is SQLITE_OK. */
int schema_look(sqlite3 *db, enum schema_state *ret_state);

/* Makes an empty or older database current, in the transaction that the caller began.  An SQLite
 * result code. */
int schema_upgrade(sqlite3 *db);

#endif
