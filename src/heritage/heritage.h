/* Everything that crosses fork from the master to a child, and what every child does first.
 * Nothing else of the master's may be used: its other descriptors are closed, its signals are
 * blocked. */
#ifndef TICKETD_HERITAGE_HERITAGE_H
#define TICKETD_HERITAGE_HERITAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/settings.h"
#include "metrics/metrics.h"
#include "scoreboard/scoreboard.h"
#include "ticketd/ledger.h"
#include "ticketd/role.h"
#include "ticketd/stock.h"

struct heritage {
    const struct settings *settings; /* as of the fork; a later reload does not change them */
    pid_t master;                    /* to notice that it died before the child asked to be told */
    int master_bell;                 /* eventfd: rung when the child's state changes */
    struct scoreboard scoreboard;
    struct metrics metrics; /* with a slot for each of the scoreboard */
    const int *bells;       /* eventfds, one a slot of the scoreboard: rung for that worker */

    /* who owns the stock; zero, and -1 for descriptors, in a ticket worker */
    struct stock stock;
    int keeper_bell; /* eventfds */
    int reader_bell;
    const struct ledger_ops *ledger;
    const char *ledger_location;
    int ledger_hold; /* what ledger->lock returned */
    bool durable;    /* a client waits for the ledger */

    /* workers */
    enum role role;
    uint32_t index;       /* which of its pool, from 0; shown in titles and logs */
    uint32_t slot;        /* its slot of the scoreboard */
    const int *listeners; /* descriptors */
    uint32_t listener_count;
    int control_listener; /* -1: none */
};

/* The child's first step: it dies when the master does.  false: the master is dead already. */
bool heritage_bind(const struct heritage *heritage);

/* Tells the master that it should look. */
void heritage_ring_master(const struct heritage *heritage);

#endif
