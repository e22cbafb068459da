/* Opening and closing the SQLite file, and what must be true of it before it is believed.
 *
 * What a failed sync leaves, and why nothing here trusts a second one.  A commit appends its pages
 * to the log and syncs it.  When that sync fails, Linux may drop the pages from its list of what
 * is to be written and yet show them to every reader; the next sync of the same file then succeeds
 * without having written them.  So:
 *
 * - SQLite publishes the new end of its log in the shared index only after the sync.  As long as
 *   one connection lives, a failed commit stays invisible, and the next commit writes its pages
 *   over the failed ones: new writes, which its own sync covers.  Appending again on the same
 *   connection is therefore right, and is what sqlite_append.c does first.
 * - When the last connection has gone (every process died, or the connection had to be replaced),
 *   the index is rebuilt from the log as the page cache shows it, and a commit whose sync failed
 *   counts as committed.  Removing its rows or checkpointing it would not help: what follows it in
 *   the log hangs on its checksums, and a checkpoint would copy to the database what the log may
 *   not have.  So the writer's open writes the log again, byte by byte the same, and syncs that:
 *   after it, all that is visible is durable.  A crash in between loses nothing, because every
 *   sector holds either the same bytes as before or those that it was thought to have. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/sqlite_schema.h"
#include "ledger/sqlite_store.h"

enum {
    /* For an operator's shell that writes into the ledger; the lock keeps other writers away. */
    BUSY_MS = 2000,
    REWRITE_CHUNK = 65536,
    /* Of a path in a message: the reason after it must fit too. */
    SHOWN_PATH_MAX = 300,
};

static int errno_of(sqlite3 *db, int rc)
{
    int system = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EUCLEAN;
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ? EEXIST
                                                                                    : EINVAL;
    case SQLITE_CANTOPEN:
        return system ? system : ENOENT;
    default:
        return system ? system : EIO;
    }
}

int store_fault(struct ledger *ledger, const char *doing, int rc)
{
    int error = errno_of(ledger->db, rc);
    bool io = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;

    (void)snprintf(ledger->error, sizeof(ledger->error), "cannot %s the ledger %.*s: %s%s%s%s",
                   doing, SHOWN_PATH_MAX, ledger->path,
                   ledger->db ? sqlite3_errmsg(ledger->db) : sqlite3_errstr(rc), io ? " (" : "",
                   io ? strerror(error) : "", io ? ")" : "");
    return -error;
}

int store_finding(struct ledger *ledger, int answer, const char *format, ...)
{
    int len = snprintf(ledger->error, sizeof(ledger->error), "the ledger %.*s ", SHOWN_PATH_MAX,
                       ledger->path);
    va_list args;

    va_start(args, format);
    if (len > 0 && (size_t)len < sizeof(ledger->error))
        (void)vsnprintf(ledger->error + len, sizeof(ledger->error) - (size_t)len, format, args);
    va_end(args);
    return answer;
}

/* While opening: what SQLite cannot read is a damaged ledger. */
static int open_fault(struct ledger *ledger, int rc)
{
    int primary = rc & 0xff;

    if (primary == SQLITE_NOTADB)
        return store_finding(ledger, LEDGER_DAMAGED, "is damaged: it is not an SQLite database");
    if (primary == SQLITE_CORRUPT || primary == SQLITE_ERROR)
        return store_finding(ledger, LEDGER_DAMAGED, "is damaged: %s", sqlite3_errmsg(ledger->db));
    return store_fault(ledger, "open", rc);
}

int store_rewrite_log(sqlite3 *db)
{
    static unsigned char chunk[REWRITE_CHUNK];
    sqlite3_file *log = NULL;
    sqlite3_int64 size = 0;
    /* Holds off every other writer, and makes SQLite open the log. */
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log);
    if (rc == SQLITE_OK && log && log->pMethods)
        rc = log->pMethods->xFileSize(log, &size);
    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += REWRITE_CHUNK) {
        int amount = size - at < REWRITE_CHUNK ? (int)(size - at) : REWRITE_CHUNK;

        rc = log->pMethods->xRead(log, chunk, amount, at);
        if (rc == SQLITE_OK)
            rc = log->pMethods->xWrite(log, chunk, amount, at);
    }
    if (rc == SQLITE_OK && size > 0)
        rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static void folder_of(const char *path, char ret_folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int len = slash == path ? 1 : slash ? (int)(slash - path) : 1;

    (void)snprintf(ret_folder, PATH_MAX, "%.*s", len, slash ? path : ".");
}

/* The names of the database and its log are durable only when their folder is.  SQLite syncs it
 * too, but does not say when that fails. */
static int sync_folder(struct ledger *ledger)
{
    char folder[PATH_MAX];
    int fd, r = 0;

    folder_of(ledger->path, folder);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        r = -errno;
    if (fd >= 0)
        (void)close(fd);
    return r < 0 ? store_finding(ledger, r, "has a folder that cannot be synced: %s", strerror(-r))
                 : 0;
}

/* SQLite's own answer hides why: it tries to read what it could not make. */
static int open_failed(struct ledger *ledger, bool is_new, int rc)
{
    char folder[PATH_MAX];

    folder_of(ledger->path, folder);
    if (is_new && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        return store_finding(ledger, -errno, "cannot be made: %s", strerror(errno));
    return store_fault(ledger, "open", rc);
}

/* An empty or missing database beside a log that is not empty has lost its content: SQLite would
 * throw the log away. */
static int check_files(struct ledger *ledger)
{
    char log[PATH_MAX + 8];
    struct stat status;

    (void)snprintf(log, sizeof(log), "%s-wal", ledger->path);
    if (stat(log, &status) != 0 || status.st_size == 0)
        return 0;
    if (stat(ledger->path, &status) == 0 ? status.st_size == 0 : errno == ENOENT)
        return store_finding(ledger, LEDGER_DAMAGED,
                             "is damaged: it is empty or gone, but its log %s is not", log);
    return 0;
}

static int use_schema(struct ledger *ledger, bool create)
{
    enum schema_state state;
    int rc = schema_look(ledger->db, &state);

    if (rc != SQLITE_OK)
        return open_fault(ledger, rc);
    switch (state) {
    case SCHEMA_CURRENT:
        return 0;
    case SCHEMA_FOREIGN:
        return store_finding(ledger, LEDGER_DAMAGED, "is a database of something else");
    case SCHEMA_NEWER:
        return store_finding(ledger, LEDGER_NEWER, "was written by a newer version of ticketd");
    case SCHEMA_NONE:
    case SCHEMA_OLDER:
        break;
    }
    if (!ledger->writer)
        return store_finding(ledger, state == SCHEMA_NONE ? -ENOENT : -EAGAIN,
                             "must be made or brought up to date first, by starting ticketd");
    if (state == SCHEMA_NONE && !create)
        return store_finding(ledger, -ENOENT, "has gone; an empty file is in its place");
    rc = sqlite3_exec(ledger->db,
                      "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; "
                      "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
                      NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = schema_upgrade(ledger->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    rc = open_fault(ledger, rc);
    if (!sqlite3_get_autocommit(ledger->db))
        (void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* No automatic checkpoints (sqlite_checkpoint.h), no pages written before the commit. */
static int configure(struct ledger *ledger)
{
    static const char writer[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
        "PRAGMA cache_spill = OFF; PRAGMA journal_size_limit = 67108864";
    static const char reader[] = "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0";

    int rc = sqlite3_exec(ledger->db, ledger->writer ? writer : reader, NULL, NULL, NULL);
    sqlite3_stmt *mode = NULL;

    if (rc != SQLITE_OK || !ledger->writer)
        return rc;
    /* On a file system without shared memory SQLite stays in another mode and reports no error. */
    rc = sqlite3_prepare_v2(ledger->db,
                            "SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'wal'", -1,
                            &mode, NULL);
    if (rc == SQLITE_OK && sqlite3_step(mode) != SQLITE_ROW)
        rc = SQLITE_CANTOPEN;
    (void)sqlite3_finalize(mode);
    return rc;
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
}

/* OR FAIL: without it SQLite keeps what it needs to take back this statement alone; a batch that
 * fails is taken back with its transaction. */
static int prepare_writer(struct ledger *ledger)
{
    int rc = batch_register(ledger->db, &ledger->rows);

    if (rc == SQLITE_OK)
        rc = prepare(ledger->db, "BEGIN IMMEDIATE", &ledger->begin);
    if (rc == SQLITE_OK)
        rc = prepare(ledger->db,
                     "INSERT OR FAIL INTO entries (" BATCH_COLUMNS ") SELECT " BATCH_COLUMNS
                     " FROM " BATCH_TABLE,
                     &ledger->insert_batch);
    if (rc == SQLITE_OK)
        rc = prepare(ledger->db,
                     "UPDATE events SET entries = ?2, capacity = ?3, available = ?4, sold = ?5,"
                     " owed = ?6 WHERE event = ?1",
                     &ledger->update_event);
    if (rc == SQLITE_OK)
        rc = prepare(ledger->db, "COMMIT", &ledger->commit);
    return rc;
}

static int prepare_all(struct ledger *ledger)
{
    int rc = ledger->writer ? prepare_writer(ledger) : SQLITE_OK;

    if (rc == SQLITE_OK)
        rc = prepare(ledger->db,
                     "SELECT e.entries, e.capacity, e.available, e.sold, e.owed, n.id, n.available,"
                     " n.time_us"
                     " FROM events e LEFT JOIN entries n ON n.id = (SELECT max(id) FROM entries"
                     " WHERE id BETWEEN ?1 * 10000000000000 AND ?1 * 10000000000000 +"
                     " 9999999999999) WHERE e.event = ?1",
                     &ledger->last_entry);
    if (rc == SQLITE_OK)
        rc = prepare(ledger->db, "SELECT " STORE_ENTRY_COLUMNS " FROM entries WHERE id = ?1",
                     &ledger->find_entry);
    return rc;
}

/* The connection is there; makes it one of a ledger. */
static int settle(struct ledger *ledger, bool create)
{
    int r, rc;

    (void)sqlite3_busy_timeout(ledger->db, BUSY_MS);
    /* Until the file is known to be ours, closing it must not touch it. */
    rc = sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc != SQLITE_OK)
        return open_fault(ledger, rc);
    r = use_schema(ledger, create);
    if (r != 0)
        return r;
    rc = configure(ledger);
    if (rc == SQLITE_OK && ledger->writer)
        rc = store_rewrite_log(ledger->db);
    if (rc == SQLITE_OK)
        rc = prepare_all(ledger);
    if (rc != SQLITE_OK)
        return open_fault(ledger, rc);
    return ledger->writer ? sync_folder(ledger) : 0;
}

static void remove_new(const char *path)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ""};
    char name[PATH_MAX + 16];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
}

int store_connect(struct ledger *ledger, bool create)
{
    struct stat stat_before;
    bool is_new = create && stat(ledger->path, &stat_before) != 0 && errno == ENOENT;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (create ? SQLITE_OPEN_CREATE : 0);
    int r = check_files(ledger);
    int rc;

    if (r != 0)
        return r;
    rc = sqlite3_open_v2(ledger->path, &ledger->db, flags, NULL);
    r = rc == SQLITE_OK ? settle(ledger, create) : open_failed(ledger, is_new, rc);
    if (r == 0) {
        if (ledger->writer)
            checkpointer_init(&ledger->checkpointer, ledger->db, ledger->path);
        return 0;
    }
    store_disconnect(ledger, false);
    /* The lock is ours and the file was not there: what failed half-way is nobody's. */
    if (is_new)
        remove_new(ledger->path);
    return r;
}

static void finalize(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
    *statement = NULL;
}

void store_disconnect(struct ledger *ledger, bool checkpoint)
{
    checkpointer_deinit(&ledger->checkpointer);
    finalize(&ledger->begin);
    finalize(&ledger->insert_batch);
    finalize(&ledger->update_event);
    finalize(&ledger->commit);
    finalize(&ledger->last_entry);
    finalize(&ledger->find_entry);
    if (ledger->db && checkpoint)
        (void)sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    (void)sqlite3_close(ledger->db);
    ledger->db = NULL;
}
