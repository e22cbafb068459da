/* What ticketctl can do: one function a command.  Each reads the context, writes its answer to
 * standard output and returns the exit status (ctl.h). */
#ifndef TICKETD_CTL_COMMANDS_H
#define TICKETD_CTL_COMMANDS_H

#include "ctl/ctl.h"

/* Checks every rule of audit.h, and prints what differs.  CTL_NO when something does. */
int command_audit(struct ctl *ctl);
/* arguments[0]: an event, an order's id, or NULL. */
int command_orders(struct ctl *ctl);
/* arguments[0]: an event or NULL. */
int command_stock(struct ctl *ctl);
/* arguments: the event and a number. */
int command_stock_add(struct ctl *ctl);
int command_top(struct ctl *ctl);
int command_status(struct ctl *ctl);
int command_reload(struct ctl *ctl);

#endif
