/* Adding to the ledger: one transaction a batch, and what is done after one has failed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/sqlite_schema.h"
#include "ledger/sqlite_store.h"

enum {
    /* After so many failures in a row the connection is replaced: its descriptors may be dead. */
    FAULTS_BEFORE_RECONNECT = 3,
};

static int run(sqlite3_stmt *statement)
{
    (void)sqlite3_step(statement);
    return sqlite3_reset(statement);
}

static int insert_entries(struct ledger *ledger, const struct ledger_entry *entries, size_t count)
{
    int rc;

    ledger->rows = (struct batch_rows){.entries = entries, .count = count};
    rc = run(ledger->insert_batch);
    /* Whatever SQL took for the batch: the totals are not to be written without its entries. */
    if (rc == SQLITE_OK && (size_t)sqlite3_changes64(ledger->db) != count)
        rc = SQLITE_INTERNAL;
    ledger->rows = (struct batch_rows){0};
    return rc;
}

/* Binding a prepared statement's own parameters cannot fail. */
static int update_event(struct ledger *ledger, uint32_t event, const struct ledger_totals *totals)
{
    sqlite3_stmt *update = ledger->update_event;

    sqlite3_bind_int64(update, 1, event);
    sqlite3_bind_int64(update, 2, (int64_t)totals->entries);
    sqlite3_bind_int64(update, 3, totals->capacity);
    sqlite3_bind_int64(update, 4, totals->available);
    sqlite3_bind_int64(update, 5, totals->sold);
    sqlite3_bind_int64(update, 6, totals->owed);
    return run(update);
}

static int add_event(struct ledger *ledger, const char *id)
{
    sqlite3_stmt *insert = NULL;
    int rc = sqlite3_prepare_v2(ledger->db, "INSERT INTO events VALUES (?1, ?2, 0, 0, 0, 0, 0)", -1,
                                &insert, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(insert, 1, ledger->tails.count - 1);
        sqlite3_bind_text(insert, 2, id, -1, SQLITE_STATIC);
        (void)sqlite3_step(insert);
        rc = sqlite3_finalize(insert);
    }
    return rc;
}

struct clock_step {
    int64_t time_us, step_us;
};

static int add_clock_step(struct ledger *ledger, const struct clock_step *step)
{
    sqlite3_stmt *insert = NULL;
    int rc = sqlite3_prepare_v2(ledger->db,
                                "INSERT INTO clock_steps VALUES (?1, ?2) ON CONFLICT (time_us) DO"
                                " UPDATE SET step_us ="
                                " CASE WHEN (step_us < 0) = (excluded.step_us < 0)"
                                " THEN step_us + excluded.step_us"
                                " ELSE max(step_us, excluded.step_us) END",
                                -1, &insert, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(insert, 1, step->time_us);
        sqlite3_bind_int64(insert, 2, step->step_us);
        (void)sqlite3_step(insert);
        rc = sqlite3_finalize(insert);
    }
    return rc;
}

/* Takes back what is beyond what was acknowledged, within the transaction that writes it anew. */
static int rewind_file(struct ledger *ledger, uint32_t acknowledged)
{
    char sql[160];
    int rc = SQLITE_OK;

    for (uint32_t i = 0; rc == SQLITE_OK && i < acknowledged; i++) {
        int64_t base = i * SCHEMA_EVENT_STRIDE;

        sqlite3_snprintf(sizeof(sql), sql, "DELETE FROM entries WHERE id >= %lld AND id < %lld",
                         base + (int64_t)ledger->tails.of[i].durable.entries,
                         base + SCHEMA_EVENT_STRIDE);
        rc = sqlite3_exec(ledger->db, sql, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = update_event(ledger, i, &ledger->tails.of[i].durable);
    }
    sqlite3_snprintf(sizeof(sql), sql,
                     "DELETE FROM entries WHERE id >= %lld; DELETE FROM events WHERE event >= %u",
                     acknowledged * SCHEMA_EVENT_STRIDE, acknowledged);
    return rc == SQLITE_OK ? sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) : rc;
}

struct batch {
    const struct ledger_entry *entries;
    size_t count;
    const struct clock_step *step; /* or NULL */
    const char *new_event;         /* the last tail's id, not in the file yet; or NULL */
    uint32_t acknowledged;         /* how many events are in the file */
    bool rewind;                   /* the file shows more than was acknowledged: see recover */
};

static int write_batch(struct ledger *ledger, const struct batch *batch)
{
    int rc = run(ledger->begin);

    if (rc == SQLITE_OK && batch->rewind)
        rc = rewind_file(ledger, batch->acknowledged);
    if (rc == SQLITE_OK && batch->new_event)
        rc = add_event(ledger, batch->new_event);
    if (rc == SQLITE_OK && batch->step)
        rc = add_clock_step(ledger, batch->step);
    if (rc == SQLITE_OK && batch->count > 0)
        rc = insert_entries(ledger, batch->entries, batch->count);
    for (uint32_t i = 0; rc == SQLITE_OK && i < ledger->tails.touched_count; i++)
        rc = update_event(ledger, ledger->tails.touched[i],
                          &ledger->tails.of[ledger->tails.touched[i]].draft);
    if (rc == SQLITE_OK)
        rc = run(ledger->commit);
    return rc;
}

/* Whether the file has more than was acknowledged; less is a ledger that lost something. */
static int compare_tails(struct ledger *ledger, uint32_t acknowledged, bool *ret_beyond)
{
    uint32_t count = 0;
    int r = store_count_events(ledger, &count);
    bool beyond = count > acknowledged;

    for (uint32_t i = 0; r == 0 && i < acknowledged; i++) {
        struct ledger_totals totals = {0};

        r = store_read_totals(ledger, i, &totals);
        if (r > 0 || (r == 0 && totals.entries < ledger->tails.of[i].durable.entries))
            return store_finding(ledger, -EUCLEAN, "lost entries of event %u that were in it", i);
        if (r == 0 && totals.entries > ledger->tails.of[i].durable.entries)
            beyond = true;
    }
    if (r == 0)
        *ret_beyond = beyond;
    return r;
}

/* After a fault: the same connection if it still works, else a new one.  The failed batch is
 * normally invisible (see sqlite_open.c).  If the file shows it nevertheless, the log is made
 * durable as it is and the batch replaced: it must not be taken for written. */
static int recover(struct ledger *ledger, struct batch *batch)
{
    bool beyond = false;
    int r, rc;

    if (!ledger->db || ledger->faults >= FAULTS_BEFORE_RECONNECT) {
        store_disconnect(ledger, false);
        r = store_connect(ledger, false);
        if (r != 0)
            return r < 0 ? r : -EUCLEAN;
    }
    r = compare_tails(ledger, batch->acknowledged, &beyond);
    if (r != 0)
        return r;
    if (beyond) {
        rc = store_rewrite_log(ledger->db);
        if (rc != SQLITE_OK)
            return store_fault(ledger, "sync", rc);
    }
    batch->rewind = beyond;
    return 0;
}

static int add(struct ledger *ledger, struct batch *batch)
{
    int r = 0, rc;

    batch->acknowledged = ledger->tails.count - (batch->new_event ? 1 : 0);
    if (ledger->faults > 0)
        r = recover(ledger, batch);
    if (r == 0) {
        rc = checkpointer_admit(&ledger->checkpointer);
        if (rc == SQLITE_OK)
            rc = write_batch(ledger, batch);
        if (rc != SQLITE_OK)
            r = store_fault(ledger, "write to", rc);
    }
    if (r != 0) {
        if (ledger->db && !sqlite3_get_autocommit(ledger->db))
            (void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
        ledger->faults++;
        return r;
    }
    ledger->faults = 0;
    return 0;
}

int store_append(struct ledger *ledger, const struct ledger_entry *entries, size_t count)
{
    struct batch batch = {.entries = entries, .count = count};
    char why[TAIL_WHY_MAX];
    int r;

    if (count == 0)
        return 0;
    r = tails_draft(&ledger->tails, entries, count, why);
    r = r == 0 ? add(ledger, &batch) : store_finding(ledger, r, "%s", why);
    tails_end(&ledger->tails, r == 0);
    if (r == 0)
        checkpointer_committed(&ledger->checkpointer);
    return r;
}

int store_note_clock_step(struct ledger *ledger, int64_t time_us, int64_t step_us)
{
    const struct clock_step step = {.time_us = time_us, .step_us = step_us};
    struct batch batch = {.step = &step};

    return add(ledger, &batch);
}

int store_create_event(struct ledger *ledger, const char *id, uint32_t available, int64_t time_us)
{
    struct ledger_entry first;
    struct batch batch = {.entries = &first, .count = 1, .new_event = id};
    char why[TAIL_WHY_MAX];
    int r = tails_draft_event(&ledger->tails, id, available, time_us, &first, why);

    if (r != 0)
        return store_finding(ledger, r, "%s", why);
    r = add(ledger, &batch);
    tails_end_event(&ledger->tails, r == 0);
    return r;
}
