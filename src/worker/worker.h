/* A worker: the child process that serves HTTP for one pool.  Runs only in a process that the
 * master has just forked. */
#ifndef TICKETD_WORKER_WORKER_H
#define TICKETD_WORKER_WORKER_H

#include "heritage/heritage.h"

/* Most listening sockets that a worker takes. */
#define WORKER_LISTENERS_MAX 64

/* How the master ends a worker: a stopping service closes idle connections soon, a rolling reload
 * leaves them time for one more request.  Both answer what is in flight. */
#define WORKER_SIGNAL_STOP SIGTERM
#define WORKER_SIGNAL_ROLL SIGUSR2

/* Serves until it is told to end and has drained.  Returns the exit status. */
int worker_run(const struct heritage *heritage);

#endif
