/* The SQLite store's life: lock, open, close, and its table of operations. */
#include "ledger/sqlite_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/lock.h"

/* Every event's row must be there and agree with its last entry, and no entry may be past them. */
static int load_tails(struct ledger *ledger)
{
    uint32_t count = 0;
    int r = store_count_events(ledger, &count);

    for (uint32_t event = 0; r == 0 && event < count; event++) {
        r = tails_grow(&ledger->tails);
        if (r == 0)
            r = store_read_totals(ledger, event, &ledger->tails.of[event].durable);
        if (r == LEDGER_NOT_FOUND)
            r = store_finding(ledger, LEDGER_DAMAGED, "is damaged: it has no event %u", event);
    }
    if (r == 0)
        r = store_check_bounds(ledger, count);
    return r == -EUCLEAN ? LEDGER_DAMAGED : r;
}

static void ledger_free(struct ledger *ledger, bool checkpoint)
{
    if (!ledger)
        return;
    store_disconnect(ledger, checkpoint);
    tails_free(&ledger->tails);
    free(ledger);
}

static int open_as(struct ledger **ret_ledger, const char *location, bool writer, char *error,
                   size_t error_size)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    int r;

    if (!ledger) {
        (void)snprintf(error, error_size, "no memory for the ledger");
        return -ENOMEM;
    }
    ledger->writer = writer;
    if (strlen(location) >= sizeof(ledger->path) - sizeof("-journal")) {
        (void)snprintf(error, error_size, "the ledger's path is too long");
        free(ledger);
        return -ENAMETOOLONG;
    }
    memcpy(ledger->path, location, strlen(location) + 1);
    r = store_connect(ledger, writer);
    if (r == 0 && writer)
        r = load_tails(ledger);
    if (r != 0) {
        (void)snprintf(error, error_size, "%s", ledger->error);
        ledger_free(ledger, false);
        return r;
    }
    *ret_ledger = ledger;
    return 0;
}

/* The file is found by its path: what holds the lock is no use here. */
static int open_writer(struct ledger **ret_ledger, const char *location, int hold_fd, char *error,
                       size_t error_size)
{
    (void)hold_fd;
    return open_as(ret_ledger, location, true, error, error_size);
}

static int open_reader(struct ledger **ret_ledger, const char *location, int hold_fd, char *error,
                       size_t error_size)
{
    (void)hold_fd;
    return open_as(ret_ledger, location, false, error, error_size);
}

static void close_ledger(struct ledger *ledger)
{
    ledger_free(ledger, ledger && ledger->writer && ledger->faults == 0);
}

static int lock(int *ret_hold_fd, const char *location, unsigned wait_ms, char *error,
                size_t error_size)
{
    return lock_take(location, wait_ms, ret_hold_fd, error, error_size);
}

static int tidy(struct ledger *ledger)
{
    int rc;

    if (!ledger->db || ledger->faults > 0)
        return 0;
    rc = checkpointer_idle(&ledger->checkpointer);
    return rc == SQLITE_OK ? 0 : store_fault(ledger, "checkpoint", rc);
}

static const char *last_error(struct ledger *ledger)
{
    return ledger->error;
}

const struct ledger_ops ledger_sqlite_ops = {
    .name = "sqlite",
    .lock = lock,
    .open = open_writer,
    .open_reader = open_reader,
    .close = close_ledger,
    .create_event = store_create_event,
    .each_event = store_each_event,
    .each_key = store_each_key,
    .each_entry = store_each_entry,
    .append = store_append,
    .note_clock_step = store_note_clock_step,
    .each_clock_step = store_each_clock_step,
    .tidy = tidy,
    .find = store_find,
    .error = last_error,
};
