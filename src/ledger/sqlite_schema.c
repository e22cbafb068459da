#include "ledger/sqlite_schema.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Comments inside a statement are kept by SQLite: `.schema` explains the ledger to its reader.
 *
 * There is no second index: with one on a random column a row costs ten times as much.  Orders are
 * found by id (event and sequence are part of the order's id), keys are loaded at start.
 * The totals in `events` change in the transaction that adds the entries, so that start-up needs
 * no pass over all entries and SQLite itself refuses a batch that does not add up. */
static const char tables[] =
    "CREATE TABLE events (\n"
    "    event INTEGER PRIMARY KEY,   -- its number, from 0\n"
    "    id TEXT NOT NULL UNIQUE,     -- its name in URLs\n"
    "    entries INTEGER NOT NULL,    -- how many it has; the next one's sequence\n"
    "    capacity INTEGER NOT NULL,   -- tickets that were ever put in\n"
    "    available INTEGER NOT NULL,  -- of these: can be sold\n"
    "    sold INTEGER NOT NULL,       -- of these: are sold\n"
    "    owed INTEGER NOT NULL,       -- of these: taken by a void or duplicate, not yet returned\n"
    "    CHECK (capacity = available + sold + owed),\n"
    "    CHECK (available BETWEEN 0 AND 2147483647 AND sold >= 0 AND owed >= 0)\n"
    ") STRICT;\n"
    "CREATE TABLE kinds (\n"
    "    kind INTEGER PRIMARY KEY,\n"
    "    name TEXT NOT NULL,\n"
    "    meaning TEXT NOT NULL\n"
    ") STRICT;\n"
    "INSERT INTO kinds VALUES\n"
    "    (1, 'sale', 'an order: tickets sold'),\n"
    "    (2, 'duplicate', 'took tickets for a key that had sold already; owed to the stock'),\n"
    "    (3, 'void', 'took tickets and was abandoned; owed to the stock'),\n"
    "    (4, 'return', 'owed tickets went back to the stock'),\n"
    "    (5, 'restock', 'tickets were added; an event''s first entry is its first stock');\n"
    "CREATE TABLE entries (\n"
    "    id INTEGER PRIMARY KEY,      -- event * 10000000000000 + sequence\n"
    "    kind INTEGER NOT NULL,       -- see the table kinds\n"
    "    quantity INTEGER NOT NULL,   -- tickets taken from the stock; negative: put in\n"
    "    available INTEGER NOT NULL,  -- tickets left after this entry\n"
    "    time_us INTEGER NOT NULL,    -- microseconds since 1970, UTC\n"
    "    token INTEGER,               -- of a sale: the random part of its order's id\n"
    "    origin INTEGER,              -- of a duplicate: the sequence of the sale it repeats\n"
    "    key BLOB,                    -- SHA-256 of the Idempotency-Key, its first 16 bytes\n"
    "    event INTEGER NOT NULL AS (id / 10000000000000) VIRTUAL,\n"
    "    sequence INTEGER NOT NULL AS (id % 10000000000000) VIRTUAL,\n"
    "    CHECK (kind BETWEEN 1 AND 5)\n"
    ") STRICT;\n";

#define TIME_TEXT                                                                                  \
    "strftime('%Y-%m-%dT%H:%M:%S', n.time_us / 1000000, 'unixepoch')"                              \
    " || printf('.%06dZ', n.time_us % 1000000)"

/* Views have a step of their own: a later version replaces them without touching a row.
 * The order's id is the text of ticketd/order_id.h.  In SQL <<, >>, | and & have one precedence. */
static const char views[] =
    "CREATE VIEW journal AS\n"
    "-- Every entry in words. Quick: WHERE n BETWEEN 10000000000000 * event AND ...\n"
    "SELECT n.id AS n, e.id AS event, n.sequence, k.name AS kind, n.quantity, n.available,\n"
    "    " TIME_TEXT " AS time, n.origin,\n"
    "    CASE WHEN n.key IS NOT NULL THEN lower(hex(n.key)) END AS key\n"
    "FROM entries n LEFT JOIN events e ON e.event = n.id / 10000000000000\n"
    "    LEFT JOIN kinds k ON k.kind = n.kind;\n"
    "CREATE VIEW orders AS\n"
    "-- Every sale under the id that the HTTP API shows.\n"
    "SELECT printf('%08x-%04x-8%03x-%04x-%012x',\n"
    "        n.event << 16 | (n.sequence >> 26), n.sequence >> 10 & 65535,\n"
    "        (n.sequence & 1023) << 2 | (n.token >> 62 & 3),\n"
    "        32768 | (n.token >> 48 & 16383), n.token & 281474976710655) AS order_id,\n"
    "    e.id AS event, n.sequence, n.quantity,\n"
    "    " TIME_TEXT " AS time,\n"
    "    CASE WHEN n.key IS NOT NULL THEN lower(hex(n.key)) END AS key\n"
    "FROM entries n LEFT JOIN events e ON e.event = n.id / 10000000000000\n"
    "WHERE n.kind = 1;\n"
    "CREATE VIEW balances AS\n"
    "-- Each event's balance, counted from its entries, not copied from the table events.\n"
    "-- continuous: sequences have no gap; balanced: no ticket is lost or sold twice, and the\n"
    "-- table events says the same.\n"
    "SELECT c.id AS event, c.entries, c.capacity, l.available, c.sold, c.owed,\n"
    "    c.first = 0 AND c.entries = c.last + 1 AS continuous,\n"
    "    c.capacity = l.available + c.sold + c.owed AND e.entries = c.entries\n"
    "        AND e.capacity = c.capacity AND e.available = l.available\n"
    "        AND e.sold = c.sold AND e.owed = c.owed AS balanced\n"
    "FROM (SELECT e.event, e.id, count(*) AS entries,\n"
    "        min(n.sequence) AS first, max(n.sequence) AS last, max(n.id) AS last_id,\n"
    "        coalesce(-sum(n.quantity) FILTER (WHERE n.kind = 5), 0) AS capacity,\n"
    "        coalesce(sum(n.quantity) FILTER (WHERE n.kind = 1), 0) AS sold,\n"
    "        coalesce(sum(n.quantity) FILTER (WHERE n.kind IN (2, 3, 4)), 0) AS owed\n"
    "    FROM events e CROSS JOIN entries n\n"
    "        ON n.id BETWEEN e.event * 10000000000000 AND e.event * 10000000000000 + "
    "9999999999999\n"
    "    GROUP BY e.event) c\n"
    "JOIN entries l ON l.id = c.last_id\n"
    "JOIN events e ON e.event = c.event;\n";

static const char clock_steps[] =
    "CREATE TABLE clock_steps (\n"
    "    -- When somebody set the clock. Idempotency keys do not age by it.\n"
    "    time_us INTEGER PRIMARY KEY, -- the time just after, in microseconds since 1970, UTC\n"
    "    step_us INTEGER NOT NULL     -- by how much the clock moved; negative: back\n"
    ") STRICT;\n";

static const char *const steps[SCHEMA_VERSION] = {tables, views, clock_steps};

static int read_int(sqlite3 *db, const char *sql, int *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        *ret_value = sqlite3_column_int(statement, 0);
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement);
    return rc;
}

int schema_look(sqlite3 *db, enum schema_state *ret_state)
{
    int application = 0, version = 0, objects = 0;
    int rc = read_int(db, "PRAGMA application_id", &application);

    if (rc == SQLITE_OK)
        rc = read_int(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = read_int(db, "SELECT count(*) FROM sqlite_schema", &objects);
    if (rc != SQLITE_OK)
        return rc;
    if (application == 0 && version == 0 && objects == 0)
        *ret_state = SCHEMA_NONE;
    else if (application != SCHEMA_APPLICATION_ID || version < 0)
        *ret_state = SCHEMA_FOREIGN;
    else if (version > SCHEMA_VERSION)
        *ret_state = SCHEMA_NEWER;
    else
        *ret_state = version < SCHEMA_VERSION ? SCHEMA_OLDER : SCHEMA_CURRENT;
    return SQLITE_OK;
}

int schema_upgrade(sqlite3 *db)
{
    char sql[96];
    int version = 0;
    int rc = read_int(db, "PRAGMA user_version", &version);

    while (rc == SQLITE_OK && version < SCHEMA_VERSION)
        rc = sqlite3_exec(db, steps[version++], NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}
