/* Where a worker's /metrics is read: the shared memory, the scoreboard, and the stock where it has
 * one. */
#ifndef TICKETD_WORKER_METRICS_SOURCE_H
#define TICKETD_WORKER_METRICS_SOURCE_H

#include "heritage/heritage.h"
#include "metrics/exposition.h"

/* The heritage is borrowed and stays as it is. */
void metrics_source_init(struct metrics_source *source, const struct heritage *heritage);

/* What the keeper of a stock does at the moment; any process that has mapped it, at any time. */
enum metrics_keeper_state metrics_source_keeper(const struct stock *stock);

#endif
