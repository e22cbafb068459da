/* The vacancy_client that calls the stock of this very process.  For workers of a pool that owns
 * the stock; never for a ticket worker.  Every call completes before it returns: without a ledger
 * there is nothing to wait for. */
#ifndef TICKETD_CLIENT_VACANCY_LOCAL_H
#define TICKETD_CLIENT_VACANCY_LOCAL_H

#include "ticketd/stock.h"
#include "ticketd/vacancy_client.h"

struct vacancy_local {
    struct vacancy_client client; /* first: this is what callers hold */
    struct stock *stock;          /* borrowed, outlives the client */
};

/* Fills it in; allocates nothing, so there is nothing to tear down. */
void vacancy_local_init(struct vacancy_local *local, struct stock *stock);

#endif
