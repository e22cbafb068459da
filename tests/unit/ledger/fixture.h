/* A folder of its own for each test, a ledger in it, and SQL past the ledger's back. */
#ifndef TICKETD_TESTS_LEDGER_FIXTURE_H
#define TICKETD_TESTS_LEDGER_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../crash/cmocka_first.h"

#include <sqlite3.h>

#include "../../crash/scratch.h"
#include "mixed.h"
#include "ticketd/ledger.h"

static const struct ledger_ops *const ops = &ledger_sqlite_ops;

static inline int fixture_set_up(void **state)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    *state = scratch;
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static inline struct ledger *must_open(const char *path)
{
    struct ledger *ledger = NULL;
    char error[512] = "";

    if (ops->open(&ledger, path, -1, error, sizeof(error)) != 0)
        fail_msg("open: %s", error);
    return ledger;
}

/* Runs SQL; what the last row's first column says ends up in `text`, if that is given. */
static inline void sql(const char *path, const char *statements, char *text, size_t size)
{
    sqlite3 *db = NULL;
    const char *rest = statements;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    while (*rest) {
        sqlite3_stmt *statement = NULL;
        int rc;

        if (sqlite3_prepare_v2(db, rest, -1, &statement, &rest) != SQLITE_OK)
            fail_msg("%s: %s", statements, sqlite3_errmsg(db));
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
            if (text)
                (void)snprintf(text, size, "%s", (const char *)sqlite3_column_text(statement, 0));
        if (rc != SQLITE_DONE && rc != SQLITE_MISUSE)
            fail_msg("%s: %s", statements, sqlite3_errmsg(db));
        (void)sqlite3_finalize(statement);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline void expect_sql(const char *path, const char *query, const char *expected)
{
    char text[256] = "(no row)";

    sql(path, query, text, sizeof(text));
    assert_string_equal(text, expected);
}

#endif
