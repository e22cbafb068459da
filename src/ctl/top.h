/* What a running ticketd tells once a second of what happens (metrics/live.h), decoded.  Pure; a
 * figure that was not told is NAN, a text empty. */
#ifndef TICKETD_CTL_TOP_H
#define TICKETD_CTL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/stock.h"

enum {
    /* Most rows that are kept; a ticketd has no more pools, and tells of no more events. */
    TOP_POOLS = 3,
    TOP_EVENTS = 32,
};

struct top_latency {
    double p50, p90, p99, max;
};

struct top_pool {
    char name[16];
    double starting, serving, draining, died;
};

struct top_event {
    char id[STOCK_EVENT_ID_MAX + 1];
    double available, sold, sales, tickets; /* the last two per second */
};

struct top {
    char service[65], version[32], role[16];
    double time, uptime;
    bool has_rates; /* this look had one before it */
    bool has_stock, has_hop;
    bool ready; /* with a stock: it can sell durably */

    double available, capacity, sold;
    struct top_event events[TOP_EVENTS];
    uint32_t event_count;
    char keeper[16];
    double lag, batch;
    struct top_latency sync;

    double total_sales;
    struct {
        double requests, sales, tickets, sold_out, replays, refused, errors, retries;
    } rate; /* per second */
    struct top_latency sales, all;

    struct top_pool pools[TOP_POOLS];
    uint32_t pool_count;
    double connections, streams, parked;
    char breaker[16];
    double queue, busy, idle;
};

/* 0; TICKETD_INVALID: it is none; or -ENOMEM. */
int top_decode(struct top *ret_top, const char *text, size_t len);

#endif
