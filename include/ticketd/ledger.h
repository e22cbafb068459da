/* The ledger: the durable record of every entry of every event, and nothing else durable.
 *
 * One process writes it, the keeper; others may read it at the same time, each through a handle
 * that it opened itself after fork.  A store is one implementation of struct ledger_ops; the keeper
 * and the reader know no other.  Calls block on the disk: no worker ever makes one.
 *
 * Returns: 0; a positive answer named below; a negated errno for a fault of the store, after which
 * ledger_error() says more in one line.  After a fault of ledger_append nothing of that batch may
 * be believed written: the same batch is appended again, in a new transaction, until it is. */
#ifndef TICKETD_LEDGER_H
#define TICKETD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/key.h"
#include "ticketd/stock.h"

/* What an order's id has room for (ticketd/order_id.h). */
#define LEDGER_EVENT_MAX    UINT16_MAX
#define LEDGER_SEQUENCE_MAX ((UINT64_C(1) << 42) - 1)

enum ledger_answer {
    LEDGER_DONE = 0,
    LEDGER_NOT_FOUND = 1,
    LEDGER_HELD,    /* another tree has it open; ledger_error() names the holder */
    LEDGER_NEWER,   /* written by a newer version; untouched */
    LEDGER_DAMAGED, /* not a ledger, or it contradicts itself; untouched */
};

/* Why an entry exists; the numbers are on disk and never change their meaning. */
enum ledger_kind {
    LEDGER_SALE = 1,      /* takes tickets: quantity > 0 */
    LEDGER_DUPLICATE = 2, /* took tickets for a key that had sold already (origin): owed */
    LEDGER_VOID = 3,      /* took tickets and was abandoned: owed */
    LEDGER_RETURN = 4,    /* gives owed tickets back: quantity < 0 */
    LEDGER_RESTOCK = 5,   /* adds capacity (quantity < 0), or an event's first stock */
};

struct ledger_entry {
    uint32_t event;     /* the event's number in the ledger, from 0, without gaps */
    int32_t quantity;   /* tickets taken; negative: put back */
    uint64_t sequence;  /* from 0, without gaps; its low 32 bits are the stock's */
    uint64_t token;     /* random part of the order's id; 0 unless a sale */
    uint64_t origin;    /* of a duplicate: the sequence of the sale that its key has; else 0 */
    int64_t time_us;    /* microseconds since 1970, UTC; in an event it never goes back */
    uint32_t available; /* tickets left after it */
    uint8_t kind;       /* enum ledger_kind */
    struct ledger_key key;
};

/* What start-up needs of an event. */
struct ledger_event {
    uint32_t event;
    char id[STOCK_EVENT_ID_MAX + 1];
    uint64_t next_sequence; /* one past the last entry */
    uint32_t available;     /* after the last entry */
    uint64_t capacity;      /* all that was ever put in: available + sold + owed */
    uint64_t owed;          /* voids + duplicates − returns */
    int64_t time_us;        /* of the last entry: the next one's is not earlier */
};

/* What start-up needs of a sale whose key is still within its time to live. */
struct ledger_keyed_sale {
    struct ledger_key key;
    uint32_t event;
    uint64_t sequence;
    int32_t quantity;
    uint32_t available;
    uint64_t token;
    int64_t time_us;
};

struct ledger;

struct ledger_ops {
    const char *name; /* the scheme in LEDGER_URL */

    /* Takes the exclusive right to write; waits up to wait_ms for another holder to go.  Called
     * once by the master before anything else; every process that inherits the descriptor over
     * fork holds it too, so that it is free only when the whole tree is dead.  Closing it is all
     * there is to do (-1: a store that needs none).  Of a store that has no file it is the store.
     * `location` is what follows the scheme. 0, LEDGER_HELD, or -errno; on all but 0 `error` has
     * one line. */
    int (*lock)(int *ret_hold_fd, const char *location, unsigned wait_ms, char *error,
                size_t error_size);
    /* Opens for writing in a process that holds the lock: the master while it loads, closed again
     * before it forks, then the keeper.  No handle crosses fork.  `hold_fd` is what `lock`
     * returned, borrowed until close.  Makes the ledger when there is none, migrates an older one;
     * all that is visible after it is durable too. 0, LEDGER_NEWER, LEDGER_DAMAGED, or -errno.  On
     * all but 0 the ledger is as it was and `error` has one line. */
    int (*open)(struct ledger **ret_ledger, const char *location, int hold_fd, char *error,
                size_t error_size);
    /* Opens for reading beside a writer (or without one); only each_…, find, error and close may
     * be called on it.  Makes and migrates nothing: -ENOENT, or -EAGAIN for an older one.  A
     * process that is not of the tree (-1 as hold_fd) can read only a store that is a file. */
    int (*open_reader)(struct ledger **ret_ledger, const char *location, int hold_fd, char *error,
                       size_t error_size);
    void (*close)(struct ledger *ledger); /* accepts NULL */

    /* Adds an event with its first stock as one RESTOCK entry, synced.  Its number is the count of
     * events before.  */
    int (*create_event)(struct ledger *ledger, const char *id, uint32_t available, int64_t time_us);
    /* Tells every event in order of its number.  Stops early when `on_event` returns non-zero, and
     * returns that. */
    int (*each_event)(struct ledger *ledger,
                      int (*on_event)(void *context, const struct ledger_event *event),
                      void *context);
    /* Tells every keyed sale at or after since_us, in sequence order for each event. */
    int (*each_key)(struct ledger *ledger, int64_t since_us,
                    int (*on_sale)(void *context, const struct ledger_keyed_sale *sale),
                    void *context);
    /* Tells the entries of the event with from <= sequence < to, in order: as many as there are,
     * none for an event that there is not.  Millions of them neither take memory nor hold up the
     * writer.  Stops early when `on_entry` returns non-zero, and returns that. */
    int (*each_entry)(struct ledger *ledger, uint32_t event, uint64_t from, uint64_t to,
                      int (*on_entry)(void *context, const struct ledger_entry *entry),
                      void *context);

    /* One transaction with one sync at its end: all of the batch is on disk when it returns 0, and
     * none of it may be believed otherwise.  Entries come in sequence order for each event, the
     * first of them being the event's next; each one's `available` follows from the one before.
     * -EINVAL: they do not (nothing written, no use in trying again).  Any other fault: the same
     * entries are appended again, after a pause, until the disk is back; the handle recovers by
     * itself. */
    int (*append)(struct ledger *ledger, const struct ledger_entry *entries, size_t count);
    /* Records that the wall clock was set: time_us is the ledger's time just after, step_us by how
     * much the clock moved.  Synced, in a transaction of its own.  Steps at one time add up; one
     * back takes nothing from one forward, because only those forward would age a key too early.
     * After a fault it is noted again, which may count it twice: keys then live longer. */
    int (*note_clock_step)(struct ledger *ledger, int64_t time_us, int64_t step_us);
    /* Tells the steps from the newest to the oldest.  Stops early when `on_step` returns non-zero,
     * and returns that. */
    int (*each_clock_step)(struct ledger *ledger,
                           int (*on_step)(void *context, int64_t time_us, int64_t step_us),
                           void *context);
    /* Keeps the store in shape: to be called when there is nothing to append, before sleeping.
     * Takes no longer than a small append; what would is done by a thread of the store.
     * 0, or -errno: nothing is lost, it is tried again in later calls. */
    int (*tidy)(struct ledger *ledger);

    /* The entry of that event and sequence: 0 or LEDGER_NOT_FOUND. */
    int (*find)(struct ledger *ledger, uint32_t event, uint64_t sequence,
                struct ledger_entry *ret_entry);
    /* One line about the last fault; lives until the next call. */
    const char *(*error)(struct ledger *ledger);
};

/* sqlite:PATH */
extern const struct ledger_ops ledger_sqlite_ops;
/* memory: what it holds ends with the tree.  The newest million or so of an event's entries are
 * found; keys and steps of the clock are not kept. */
extern const struct ledger_ops ledger_memory_ops;

#endif
