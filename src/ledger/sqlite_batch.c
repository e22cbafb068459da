#include "ledger/sqlite_batch.h"

#include <stdlib.h>

#include "ledger/sqlite_schema.h"

/* In the order of BATCH_COLUMNS. */
enum column {
    COLUMN_ID,
    COLUMN_KIND,
    COLUMN_QUANTITY,
    COLUMN_AVAILABLE,
    COLUMN_TIME,
    COLUMN_TOKEN,
    COLUMN_ORIGIN,
    COLUMN_KEY,
};

struct batch_table {
    sqlite3_vtab base; /* SQLite's, first */
    const struct batch_rows *rows;
};

struct batch_cursor {
    sqlite3_vtab_cursor base; /* SQLite's, first */
    const struct ledger_entry *at, *end;
};

static int on_connect(sqlite3 *db, void *rows, int argc, const char *const *argv,
                      sqlite3_vtab **ret_table, char **ret_error)
{
    struct batch_table *table;
    int rc = sqlite3_declare_vtab(db, "CREATE TABLE x (" BATCH_COLUMNS ")");

    (void)argc;
    (void)argv;
    (void)ret_error;
    if (rc != SQLITE_OK)
        return rc;
    table = calloc(1, sizeof(*table));
    if (!table)
        return SQLITE_NOMEM;
    table->rows = rows;
    *ret_table = &table->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *table)
{
    free(table);
    return SQLITE_OK;
}

/* There is one way to read it: from the first row to the last. */
static int on_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    info->estimatedCost = 1;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
    struct batch_cursor *cursor = calloc(1, sizeof(*cursor));

    (void)table;
    if (!cursor)
        return SQLITE_NOMEM;
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *cursor)
{
    free(cursor);
    return SQLITE_OK;
}

static int on_filter(sqlite3_vtab_cursor *base, int index, const char *name, int argc,
                     sqlite3_value **argv)
{
    struct batch_cursor *cursor = (struct batch_cursor *)base;
    const struct batch_rows *rows = ((struct batch_table *)base->pVtab)->rows;

    (void)index;
    (void)name;
    (void)argc;
    (void)argv;
    cursor->at = rows->entries;
    cursor->end = rows->entries + rows->count;
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *base)
{
    ((struct batch_cursor *)base)->at++;
    return SQLITE_OK;
}

static int on_eof(sqlite3_vtab_cursor *base)
{
    const struct batch_cursor *cursor = (const struct batch_cursor *)base;

    return cursor->at == cursor->end;
}

/* A column that is given no result is NULL. */
static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *result, int column)
{
    const struct ledger_entry *entry = ((const struct batch_cursor *)base)->at;

    switch (column) {
    case COLUMN_ID:
        sqlite3_result_int64(result, entry->event * SCHEMA_EVENT_STRIDE + (int64_t)entry->sequence);
        break;
    case COLUMN_KIND:
        sqlite3_result_int(result, entry->kind);
        break;
    case COLUMN_QUANTITY:
        sqlite3_result_int(result, entry->quantity);
        break;
    case COLUMN_AVAILABLE:
        sqlite3_result_int64(result, entry->available);
        break;
    case COLUMN_TIME:
        sqlite3_result_int64(result, entry->time_us);
        break;
    case COLUMN_TOKEN:
        if (entry->kind == LEDGER_SALE)
            sqlite3_result_int64(result, (int64_t)entry->token);
        break;
    case COLUMN_ORIGIN:
        if (entry->kind == LEDGER_DUPLICATE)
            sqlite3_result_int64(result, (int64_t)entry->origin);
        break;
    case COLUMN_KEY:
        if (!ledger_key_is_none(&entry->key))
            sqlite3_result_blob(result, &entry->key, sizeof(entry->key), SQLITE_STATIC);
        break;
    default:
        return SQLITE_ERROR;
    }
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    const struct ledger_entry *entry = ((const struct batch_cursor *)base)->at;

    *ret_rowid = entry->event * SCHEMA_EVENT_STRIDE + (int64_t)entry->sequence;
    return SQLITE_OK;
}

/* Without xCreate the table is there by its name alone, and nothing of it is in the file. */
static const sqlite3_module module = {
    .xConnect = on_connect,
    .xBestIndex = on_best_index,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

int batch_register(sqlite3 *db, struct batch_rows *rows)
{
    return sqlite3_create_module(db, BATCH_TABLE, &module, rows);
}
