/* A worker: the child process that serves HTTP for one pool.  Runs only in a process that the
 * master has just forked. */
#ifndef TICKETD_WORKER_WORKER_H
#define TICKETD_WORKER_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#include "config/settings.h"
#include "scoreboard/scoreboard.h"
#include "ticketd/role.h"
#include "ticketd/stock.h"

/* Most listening sockets that a worker takes. */
#define WORKER_LISTENERS_MAX 64

/* Everything that crosses fork from the master to a worker.  Nothing else of the master's may be
 * used: its other descriptors are closed, its signals are blocked. */
struct heritage {
    const struct settings *settings; /* as of the fork; a later reload does not change them */
    enum role role;
    uint32_t index; /* which of its pool, from 0; shown in titles and logs */
    uint32_t slot;  /* its slot of the scoreboard */
    struct scoreboard scoreboard;
    struct stock stock;   /* zeroed for a ticket worker */
    const int *listeners; /* descriptors */
    uint32_t listener_count;
    const int *bells; /* eventfds, one a slot: rung when its owner may accept again */
    int master_bell;  /* eventfd: rung when the worker's state changes */
    pid_t master;     /* to notice that it died before the worker asked to be told */
};

/* How the master ends a worker: a stopping service closes idle connections soon, a rolling reload
 * leaves them time for one more request.  Both answer what is in flight. */
#define WORKER_SIGNAL_STOP SIGTERM
#define WORKER_SIGNAL_ROLL SIGUSR2

/* Serves until it is told to end and has drained.  Returns the exit status. */
int worker_run(const struct heritage *heritage);

#endif
