/* What the control site tells and does beyond what the vacancy client can: a table of functions
 * that the worker fills in.  They run in the worker, read shared memory or signal the master, and
 * never block. */
#ifndef TICKETD_ROUTE_CONTROL_H
#define TICKETD_ROUTE_CONTROL_H

#include <stdint.h>
#include <sys/types.h>

#include "metrics/exposition.h"
#include "ticketd/stock.h"

/* Most events of one listing; a longer stock's listing says that it was cut. */
#define CONTROL_EVENTS_MAX 1024

struct control_status {
    pid_t master_pid;
    /* reloads since the master started: asked for, whoever asked; done; refused as invalid */
    uint64_t reloads_asked;
    uint64_t reloads_done;
    uint64_t reloads_refused;
    enum metrics_keeper_state keeper;
    uint64_t keeper_lag; /* entries of all events that are in the journal and not yet durable */
};

struct control_event {
    char id[STOCK_EVENT_ID_MAX + 1];
    uint64_t capacity; /* tickets that it ever had: available + sold */
    uint64_t available;
    uint64_t sequence; /* entries ever */
    /* the same as the keeper last published it: as of the last durable entry */
    uint64_t published_sequence;
    uint64_t published_available;
};

/* Every slot is filled, except `event` where there is no stock. */
struct control_source {
    void *context; /* handed to each function; the worker's */
    /* Fills in the whole struct, at one (not quite atomic) look. */
    void (*status)(void *context, struct control_status *ret_status);
    /* The event of that index, from 0 in the order in which they were created.  0, or
     * TICKETD_EVENT_UNKNOWN past the last.  NULL in a worker that owns no stock. */
    int (*event)(void *context, uint32_t index, struct control_event *ret_event);
    /* Asks the master to reload, and returns at once: the number of this request, which is reached
     * by reloads_done + reloads_refused when the reload has ended. */
    uint64_t (*reload)(void *context);
};

#endif
