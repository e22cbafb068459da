#include "ledger/sqlite_checkpoint.h"

#include <signal.h>
#include <string.h>

enum {
    /* What the writer copies at once when there is nothing to append: about one append's work. */
    IDLE_REST = 64,
};

/* A checkpoint that another one's lock or a reader cut short is no fault: the next goes on. */
static int passive(sqlite3 *db, int *ret_copied)
{
    int frames = -1, copied = -1;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);

    *ret_copied = rc == SQLITE_OK && copied >= 0 ? copied : 0;
    return (rc & 0xff) == SQLITE_BUSY ? SQLITE_OK : rc;
}

/* The thread's connection: opened on its first turn, and anew after a failure. */
static int thread_connect(const char *path, sqlite3 **db)
{
    int rc;

    if (*db)
        return SQLITE_OK;
    rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*db,
                          "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                          "SELECT count(*) FROM events",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        (void)sqlite3_close(*db);
        *db = NULL;
    }
    return rc;
}

/* With the mutex held: what the last checkpoint told, unless the log has begun anew since. */
static void note(struct checkpointer *checkpointer, unsigned generation, int rc, int copied)
{
    checkpointer->last_rc = rc;
    if (generation == checkpointer->generation && copied > checkpointer->copied)
        checkpointer->copied = copied;
}

static void *thread_main(void *context)
{
    struct checkpointer *checkpointer = context;
    sqlite3 *db = NULL;

    pthread_mutex_lock(&checkpointer->mutex);
    for (;;) {
        unsigned generation;
        int copied = 0, rc;

        while (!checkpointer->wanted && !checkpointer->stopping)
            pthread_cond_wait(&checkpointer->changed, &checkpointer->mutex);
        if (checkpointer->stopping)
            break;
        checkpointer->wanted = false;
        generation = checkpointer->generation;
        pthread_mutex_unlock(&checkpointer->mutex);

        rc = thread_connect(checkpointer->path, &db);
        if (rc == SQLITE_OK)
            rc = passive(db, &copied);
        if (rc != SQLITE_OK) {
            (void)sqlite3_close(db);
            db = NULL;
        }

        pthread_mutex_lock(&checkpointer->mutex);
        note(checkpointer, generation, rc, copied);
        checkpointer->busy = false;
        pthread_cond_broadcast(&checkpointer->changed);
    }
    pthread_mutex_unlock(&checkpointer->mutex);
    (void)sqlite3_close(db);
    return NULL;
}

static int on_commit(void *context, sqlite3 *db, const char *schema, int frames)
{
    struct checkpointer *checkpointer = context;

    (void)db;
    (void)schema;
    if (frames < checkpointer->frames) {
        pthread_mutex_lock(&checkpointer->mutex);
        checkpointer->generation++;
        checkpointer->copied = 0;
        pthread_mutex_unlock(&checkpointer->mutex);
        checkpointer->next_try = CHECKPOINT_TURN;
    }
    checkpointer->frames = frames;
    return SQLITE_OK;
}

void checkpointer_init(struct checkpointer *checkpointer, sqlite3 *db, const char *path)
{
    memset(checkpointer, 0, sizeof(*checkpointer));
    checkpointer->path = path;
    checkpointer->db = db;
    checkpointer->next_try = CHECKPOINT_TURN;
    pthread_mutex_init(&checkpointer->mutex, NULL);
    pthread_cond_init(&checkpointer->changed, NULL);
    /* Takes the place of SQLite's own checkpoint after a commit. */
    (void)sqlite3_wal_hook(db, on_commit, checkpointer);
}

void checkpointer_deinit(struct checkpointer *checkpointer)
{
    if (!checkpointer->db)
        return;
    (void)sqlite3_wal_hook(checkpointer->db, NULL, NULL);
    if (checkpointer->has_thread) {
        pthread_mutex_lock(&checkpointer->mutex);
        checkpointer->stopping = true;
        pthread_cond_broadcast(&checkpointer->changed);
        pthread_mutex_unlock(&checkpointer->mutex);
        (void)pthread_join(checkpointer->thread, NULL);
    }
    pthread_cond_destroy(&checkpointer->changed);
    pthread_mutex_destroy(&checkpointer->mutex);
    checkpointer->has_thread = false;
    checkpointer->db = NULL;
}

/* Signals are for the thread that has the process's loop. */
static bool start_thread(struct checkpointer *checkpointer)
{
    sigset_t all, before;

    if (checkpointer->has_thread)
        return true;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    checkpointer->has_thread =
        pthread_create(&checkpointer->thread, NULL, thread_main, checkpointer) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return checkpointer->has_thread;
}

/* On the caller's thread, between two appends. */
static int checkpoint_here(struct checkpointer *checkpointer)
{
    int copied = 0;
    int rc = passive(checkpointer->db, &copied);

    pthread_mutex_lock(&checkpointer->mutex);
    note(checkpointer, checkpointer->generation, rc, copied);
    pthread_mutex_unlock(&checkpointer->mutex);
    checkpointer->next_try = checkpointer->frames + CHECKPOINT_STEP;
    return rc;
}

static int ask_thread(struct checkpointer *checkpointer)
{
    if (!start_thread(checkpointer))
        return checkpoint_here(checkpointer);
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->wanted = checkpointer->busy = true;
    pthread_cond_broadcast(&checkpointer->changed);
    pthread_mutex_unlock(&checkpointer->mutex);
    return SQLITE_OK;
}

struct outlook {
    int rest; /* frames that are not in the database yet */
    bool busy;
    int last_rc;
};

/* With `wait`, when the thread has done what it was asked for. */
static struct outlook look(struct checkpointer *checkpointer, bool wait)
{
    struct outlook outlook;

    pthread_mutex_lock(&checkpointer->mutex);
    while (wait && checkpointer->busy)
        pthread_cond_wait(&checkpointer->changed, &checkpointer->mutex);
    outlook.busy = checkpointer->busy;
    outlook.rest = checkpointer->frames - checkpointer->copied;
    outlook.last_rc = checkpointer->last_rc;
    pthread_mutex_unlock(&checkpointer->mutex);
    return outlook;
}

void checkpointer_committed(struct checkpointer *checkpointer)
{
    bool due = checkpointer->frames >= checkpointer->next_try;
    bool over = due && checkpointer->frames >= CHECKPOINT_LIMIT;
    struct outlook outlook = look(checkpointer, over);

    if (outlook.busy || outlook.rest == 0)
        return;
    if (over || (due && outlook.rest < CHECKPOINT_STEP))
        (void)checkpoint_here(checkpointer);
    else if (outlook.rest >= CHECKPOINT_STEP)
        (void)ask_thread(checkpointer);
}

int checkpointer_admit(struct checkpointer *checkpointer)
{
    if (checkpointer->frames < 2 * CHECKPOINT_LIMIT ||
        look(checkpointer, true).last_rc == SQLITE_OK)
        return SQLITE_OK;
    return checkpoint_here(checkpointer);
}

int checkpointer_idle(struct checkpointer *checkpointer)
{
    struct outlook outlook = look(checkpointer, false);

    if (outlook.busy || outlook.rest == 0)
        return outlook.last_rc;
    return outlook.rest <= IDLE_REST ? checkpoint_here(checkpointer) : ask_thread(checkpointer);
}
