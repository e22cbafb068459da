/* What the control site tells of this tree: from the scoreboard and the stock.  Workers only. */
#ifndef TICKETD_WORKER_CONTROL_SOURCE_H
#define TICKETD_WORKER_CONTROL_SOURCE_H

#include "heritage/heritage.h"
#include "route/control.h"

/* `heritage` is borrowed, and outlives it. */
void control_source_init(struct control_source *source, const struct heritage *heritage);

#endif
