/* What start-up and look-ups read. */
#include <errno.h>
#include <string.h>

#include "ledger/sqlite_schema.h"
#include "ledger/sqlite_store.h"

enum {
    /* A reader in the middle of a look keeps the log from being copied to its end. */
    ENTRIES_A_LOOK = 4096,
};

int store_read_totals(struct ledger *ledger, uint32_t event, struct ledger_totals *ret_totals)
{
    sqlite3_stmt *last = ledger->last_entry;
    struct ledger_totals totals = {0};
    bool found, agrees = false;
    int rc;

    sqlite3_bind_int64(last, 1, event);
    found = sqlite3_step(last) == SQLITE_ROW;
    if (found) {
        totals.entries = (uint64_t)sqlite3_column_int64(last, 0);
        totals.capacity = sqlite3_column_int64(last, 1);
        totals.available = sqlite3_column_int64(last, 2);
        totals.sold = sqlite3_column_int64(last, 3);
        totals.owed = sqlite3_column_int64(last, 4);
        totals.time_us = sqlite3_column_int64(last, 7);
        agrees = sqlite3_column_type(last, 5) != SQLITE_NULL &&
                 sqlite3_column_int64(last, 5) ==
                     event * SCHEMA_EVENT_STRIDE + (int64_t)totals.entries - 1 &&
                 sqlite3_column_int64(last, 6) == totals.available;
    }
    rc = sqlite3_reset(last);
    if (rc != SQLITE_OK)
        return store_fault(ledger, "read", rc);
    if (!found)
        return LEDGER_NOT_FOUND;
    if (!agrees)
        return store_finding(ledger, LEDGER_DAMAGED,
                             "is damaged: the last entry of event %u is not what the table events "
                             "says",
                             event);
    *ret_totals = totals;
    return 0;
}

/* One number; a reader's or writer's connection may have gone after a fault. */
static int read_number(struct ledger *ledger, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int rc;

    if (!ledger->db)
        return store_finding(ledger, -EIO, "is not open after a fault");
    rc = sqlite3_prepare_v2(ledger->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        if (sqlite3_step(statement) == SQLITE_ROW)
            *ret_number = sqlite3_column_int64(statement, 0);
        rc = sqlite3_finalize(statement);
    }
    return rc == SQLITE_OK ? 0 : store_fault(ledger, "read", rc);
}

int store_count_events(struct ledger *ledger, uint32_t *ret_count)
{
    int64_t count = 0;
    int r = read_number(ledger, "SELECT count(*) FROM events", &count);

    if (r == 0)
        *ret_count = (uint32_t)count;
    return r;
}

int store_check_bounds(struct ledger *ledger, uint32_t events)
{
    int64_t first = 0, last = -1;
    int r = read_number(ledger, "SELECT coalesce(min(id), 0) FROM entries", &first);

    if (r == 0)
        r = read_number(ledger, "SELECT coalesce(max(id), -1) FROM entries", &last);
    if (r == 0 && (first < 0 || last >= events * SCHEMA_EVENT_STRIDE))
        r = store_finding(ledger, LEDGER_DAMAGED, "is damaged: it has entries of no event");
    return r;
}

static void read_event(sqlite3_stmt *row, struct ledger_event *event)
{
    const unsigned char *id = sqlite3_column_text(row, 1);

    memset(event, 0, sizeof(*event));
    event->event = (uint32_t)sqlite3_column_int64(row, 0);
    if (id)
        memcpy(event->id, id, strnlen((const char *)id, STOCK_EVENT_ID_MAX));
    event->next_sequence = (uint64_t)sqlite3_column_int64(row, 2);
    event->available = (uint32_t)sqlite3_column_int64(row, 3);
    event->capacity = (uint64_t)sqlite3_column_int64(row, 4);
    event->owed = (uint64_t)sqlite3_column_int64(row, 5);
    event->time_us = sqlite3_column_int64(row, 6);
}

int store_each_event(struct ledger *ledger,
                     int (*on_event)(void *context, const struct ledger_event *event),
                     void *context)
{
    sqlite3_stmt *rows = NULL;
    struct ledger_event event;
    uint32_t count;
    int r = store_count_events(ledger, &count);
    int rc;

    if (r != 0)
        return r;
    rc = sqlite3_prepare_v2(ledger->db,
                            "SELECT e.event, e.id, e.entries, e.available, e.capacity, e.owed,"
                            " n.time_us FROM events e LEFT JOIN entries n"
                            " ON n.id = e.event * 10000000000000 + e.entries - 1 ORDER BY e.event",
                            -1, &rows, NULL);
    while (rc == SQLITE_OK && r == 0 && sqlite3_step(rows) == SQLITE_ROW) {
        read_event(rows, &event);
        r = on_event(context, &event);
    }
    if (rows)
        rc = sqlite3_finalize(rows);
    if (r != 0)
        return r;
    return rc == SQLITE_OK ? 0 : store_fault(ledger, "read", rc);
}

/* The time of an entry; a negated errno if it cannot be read. */
static int read_time(sqlite3_stmt *find, int64_t id, int64_t *ret_time_us)
{
    bool found;

    sqlite3_bind_int64(find, 1, id);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found)
        *ret_time_us = sqlite3_column_int64(find, 3);
    return found ? sqlite3_reset(find) : (sqlite3_reset(find), SQLITE_CORRUPT);
}

/* The first id of the event at or after since_us: times never go back within an event, so halving
 * finds it with a few dozen look-ups and no index. */
static int first_since(struct ledger *ledger, int64_t base, uint64_t entries, int64_t since_us,
                       int64_t *ret_id)
{
    uint64_t low = 0, high = entries;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int64_t time_us;
        int rc = read_time(ledger->find_entry, base + (int64_t)middle, &time_us);

        if (rc != SQLITE_OK)
            return rc;
        if (time_us < since_us)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_id = base + (int64_t)low;
    return SQLITE_OK;
}

static void read_sale(sqlite3_stmt *row, struct ledger_keyed_sale *sale)
{
    int64_t id = sqlite3_column_int64(row, 0);
    const void *key = sqlite3_column_blob(row, 5);

    sale->event = (uint32_t)(id / SCHEMA_EVENT_STRIDE);
    sale->sequence = (uint64_t)(id % SCHEMA_EVENT_STRIDE);
    sale->quantity = (int32_t)sqlite3_column_int64(row, 1);
    sale->available = (uint32_t)sqlite3_column_int64(row, 2);
    sale->time_us = sqlite3_column_int64(row, 3);
    sale->token = (uint64_t)sqlite3_column_int64(row, 4);
    if (key && sqlite3_column_bytes(row, 5) == (int)sizeof(sale->key))
        memcpy(&sale->key, key, sizeof(sale->key));
    else
        memset(&sale->key, 0, sizeof(sale->key));
}

struct key_walk {
    sqlite3_stmt *rows;
    int64_t since_us;
    int (*on_sale)(void *context, const struct ledger_keyed_sale *sale);
    void *context;
};

static int walk_event(struct ledger *ledger, const struct key_walk *walk, uint32_t event)
{
    struct ledger_totals totals = {0};
    struct ledger_keyed_sale sale;
    int64_t base = event * SCHEMA_EVENT_STRIDE, first = 0;
    int r = store_read_totals(ledger, event, &totals);
    int rc;

    if (r != 0)
        return r < 0 ? r : -EUCLEAN;
    rc = first_since(ledger, base, totals.entries, walk->since_us, &first);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(walk->rows, 1, first);
        sqlite3_bind_int64(walk->rows, 2, base + SCHEMA_EVENT_STRIDE - 1);
        while (r == 0 && sqlite3_step(walk->rows) == SQLITE_ROW) {
            read_sale(walk->rows, &sale);
            r = walk->on_sale(walk->context, &sale);
        }
        rc = sqlite3_reset(walk->rows);
    }
    if (r != 0)
        return r;
    return rc == SQLITE_OK ? 0 : store_fault(ledger, "read", rc);
}

int store_each_key(struct ledger *ledger, int64_t since_us,
                   int (*on_sale)(void *context, const struct ledger_keyed_sale *sale),
                   void *context)
{
    struct key_walk walk = {.since_us = since_us, .on_sale = on_sale, .context = context};
    uint32_t events = 0;
    int r = store_count_events(ledger, &events);
    int rc;

    if (r != 0)
        return r;
    rc = sqlite3_prepare_v2(ledger->db,
                            "SELECT id, quantity, available, time_us, token, key FROM entries"
                            " WHERE id BETWEEN ?1 AND ?2 AND kind = 1 AND key IS NOT NULL"
                            " ORDER BY id",
                            -1, &walk.rows, NULL);
    if (rc != SQLITE_OK)
        return store_fault(ledger, "read", rc);
    for (uint32_t event = 0; r == 0 && event < events; event++)
        r = walk_event(ledger, &walk, event);
    (void)sqlite3_finalize(walk.rows);
    return r;
}

/* A row of STORE_ENTRY_COLUMNS. */
static void read_entry(sqlite3_stmt *row, struct ledger_entry *entry)
{
    const void *key = sqlite3_column_blob(row, 6);
    int64_t id = sqlite3_column_int64(row, 7);

    memset(entry, 0, sizeof(*entry));
    entry->event = (uint32_t)(id / SCHEMA_EVENT_STRIDE);
    entry->sequence = (uint64_t)(id % SCHEMA_EVENT_STRIDE);
    entry->kind = (uint8_t)sqlite3_column_int(row, 0);
    entry->quantity = (int32_t)sqlite3_column_int64(row, 1);
    entry->available = (uint32_t)sqlite3_column_int64(row, 2);
    entry->time_us = sqlite3_column_int64(row, 3);
    entry->token = (uint64_t)sqlite3_column_int64(row, 4);
    entry->origin = (uint64_t)sqlite3_column_int64(row, 5);
    if (key && sqlite3_column_bytes(row, 6) == (int)sizeof(entry->key))
        memcpy(&entry->key, key, sizeof(entry->key));
}

int store_find(struct ledger *ledger, uint32_t event, uint64_t sequence,
               struct ledger_entry *ret_entry)
{
    struct ledger_entry entry;
    sqlite3_stmt *find = ledger->find_entry;
    bool found;
    int rc;

    if (event > LEDGER_EVENT_MAX || sequence > LEDGER_SEQUENCE_MAX)
        return LEDGER_NOT_FOUND;
    if (!ledger->db)
        return store_finding(ledger, -EIO, "is not open after a fault");
    sqlite3_bind_int64(find, 1, event * SCHEMA_EVENT_STRIDE + (int64_t)sequence);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found)
        read_entry(find, &entry);
    rc = sqlite3_reset(find);
    if (rc != SQLITE_OK)
        return store_fault(ledger, "read", rc);
    if (!found)
        return LEDGER_NOT_FOUND;
    *ret_entry = entry;
    return 0;
}

struct entry_walk {
    sqlite3_stmt *rows;
    int (*on_entry)(void *context, const struct ledger_entry *entry);
    void *context;
    int64_t next, end; /* ids: what is left to tell */
};

/* Tells up to ENTRIES_A_LOOK entries; the walk is at its end when there were fewer. */
static int walk_on(struct ledger *ledger, struct entry_walk *walk)
{
    struct ledger_entry entry;
    unsigned told = 0;
    int r = 0, rc;

    sqlite3_bind_int64(walk->rows, 1, walk->next);
    sqlite3_bind_int64(walk->rows, 2, walk->end);
    while (r == 0 && sqlite3_step(walk->rows) == SQLITE_ROW) {
        read_entry(walk->rows, &entry);
        walk->next = sqlite3_column_int64(walk->rows, 7) + 1;
        told++;
        r = walk->on_entry(walk->context, &entry);
    }
    rc = sqlite3_reset(walk->rows);
    if (told < ENTRIES_A_LOOK)
        walk->next = walk->end;
    if (r != 0)
        return r;
    return rc == SQLITE_OK ? 0 : store_fault(ledger, "read", rc);
}

int store_each_entry(struct ledger *ledger, uint32_t event, uint64_t from, uint64_t to,
                     int (*on_entry)(void *context, const struct ledger_entry *entry),
                     void *context)
{
    struct entry_walk walk = {.on_entry = on_entry, .context = context};
    int r = 0, rc;

    if (event > LEDGER_EVENT_MAX || from > LEDGER_SEQUENCE_MAX)
        return 0;
    if (to > LEDGER_SEQUENCE_MAX)
        to = LEDGER_SEQUENCE_MAX + 1;
    if (!ledger->db)
        return store_finding(ledger, -EIO, "is not open after a fault");
    rc = sqlite3_prepare_v2(ledger->db,
                            "SELECT " STORE_ENTRY_COLUMNS " FROM entries"
                            " WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
                            -1, &walk.rows, NULL);
    if (rc != SQLITE_OK)
        return store_fault(ledger, "read", rc);
    sqlite3_bind_int(walk.rows, 3, ENTRIES_A_LOOK);
    walk.next = event * SCHEMA_EVENT_STRIDE + (int64_t)from;
    walk.end = event * SCHEMA_EVENT_STRIDE + (int64_t)to;
    while (r == 0 && walk.next < walk.end)
        r = walk_on(ledger, &walk);
    (void)sqlite3_finalize(walk.rows);
    return r;
}

int store_each_clock_step(struct ledger *ledger,
                          int (*on_step)(void *context, int64_t time_us, int64_t step_us),
                          void *context)
{
    sqlite3_stmt *rows = NULL;
    int r = 0, rc;

    if (!ledger->db)
        return store_finding(ledger, -EIO, "is not open after a fault");
    rc = sqlite3_prepare_v2(ledger->db,
                            "SELECT time_us, step_us FROM clock_steps ORDER BY time_us DESC", -1,
                            &rows, NULL);
    while (rc == SQLITE_OK && r == 0 && sqlite3_step(rows) == SQLITE_ROW)
        r = on_step(context, sqlite3_column_int64(rows, 0), sqlite3_column_int64(rows, 1));
    if (rows)
        rc = sqlite3_finalize(rows);
    if (r != 0)
        return r;
    return rc == SQLITE_OK ? 0 : store_fault(ledger, "read", rc);
}
