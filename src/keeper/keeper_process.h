/* The keeper and the reader as processes: what the master runs in a child that it has just forked.
 * They serve until SIGTERM; the keeper then moves what is left into the ledger, and ends. */
#ifndef TICKETD_KEEPER_KEEPER_PROCESS_H
#define TICKETD_KEEPER_KEEPER_PROCESS_H

#include "heritage/heritage.h"

/* Return the exit status. */
int keeper_run(const struct heritage *heritage);
int reader_run(const struct heritage *heritage);

#endif
