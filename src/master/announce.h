/* Tells the service manager how the master fares: ready, reloading, stopping, a line for `systemctl
 * status`, and that it lives.  Decides what is to be said when, and says nothing twice; how it is
 * sent is its caller's (notify.h).  Master only; never blocks.
 *
 *   READY=1      once, when every pool serves and the keeper has loaded; and after each reload
 *   RELOADING=1  a reload was taken up, even one that is refused at once
 *   STOPPING=1   the master ends; while it does, EXTEND_TIMEOUT_USEC so long as its loop turns,
 *                which ends it at deadlines of its own
 *   WATCHDOG=1   the loop that supervises has turned.  It waits for no disk: a slow one makes the
 *                service unready, and starting it anew would not make the disk quicker */
#ifndef TICKETD_MASTER_ANNOUNCE_H
#define TICKETD_MASTER_ANNOUNCE_H

#include <stdbool.h>
#include <stdint.h>

/* While the master stops: how long the manager may wait for the next word of it, and how often that
 * comes. */
#define ANNOUNCE_EXTEND_MS       10000
#define ANNOUNCE_EXTEND_EVERY_MS 1000
/* Until what could not be sent is tried again. */
#define ANNOUNCE_RETRY_MS 500
/* Room for the text after STATUS=, its end included. */
#define ANNOUNCE_STATUS_MAX 160

enum announce_ending {
    ANNOUNCE_STAYS = 0,
    ANNOUNCE_RESTARTS, /* in place: the same process goes on as another binary */
    ANNOUNCE_DRAINS,   /* the workers answer what is in flight */
    ANNOUNCE_FLUSHES,  /* the keeper moves the rest into the ledger */
};

enum announce_ledger {
    ANNOUNCE_LEDGER_GOOD = 0, /* or there is none */
    ANNOUNCE_LEDGER_LOADING,  /* the keeper is not there yet, or again */
    ANNOUNCE_LEDGER_FAULT,    /* it cannot be written */
    ANNOUNCE_LEDGER_SLOW,     /* it has not answered for too long */
};

/* The master at one look. */
struct announce_view {
    bool ready; /* every pool serves and the keeper has loaded */
    uint32_t serving;
    uint32_t workers;
    enum announce_ledger ledger;
    uint64_t reloads; /* taken up so far */
    bool reloading;
    enum announce_ending ending;
};

struct announce {
    /* fixed after start */
    bool (*send)(void *context, const char *assignments); /* false: try again later */
    void *context;
    uint64_t feed_every_ms; /* half of the watchdog's time; 0: there is none */

    uint64_t feed_at_ms;
    uint64_t extend_at_ms;
    bool told_ready;
    bool told_reloading;
    bool told_stopping;
    uint64_t told_reloads;
    char status[ANNOUNCE_STATUS_MAX]; /* as last told */
};

/* `watchdog_ms`: 0 for none.  Says nothing yet. */
void announce_init(struct announce *ret_announce, uint64_t watchdog_ms,
                   bool (*send)(void *context, const char *assignments), void *context);

/* Says what has changed and what is due.  Returns when it wants to be called again at the latest;
 * UINT64_MAX: when something changes. */
uint64_t announce_tick(struct announce *announce, const struct announce_view *view,
                       uint64_t now_ms);

#endif
