/* The keeper and the reader as processes: what the master runs in a child that it has just forked.
 * They serve until the master tells them to end; the keeper then moves what is left into the
 * ledger, and ends. */
#ifndef TICKETD_KEEPER_KEEPER_PROCESS_H
#define TICKETD_KEEPER_KEEPER_PROCESS_H

#include <signal.h>

#include "heritage/heritage.h"

/* How the master tells them to end.  None that a terminal or a service manager sends to a whole
 * group of processes: sales that the workers still have in hand need both of them. */
#define KEEPER_SIGNAL_STOP SIGUSR2

/* Return the exit status. */
int keeper_run(const struct heritage *heritage);
int reader_run(const struct heritage *heritage);

#endif
