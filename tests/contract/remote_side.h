/* The remote client with a vacancy pool at its other end: a process with the HTTP server, the
 * routes and the local client of a real one, and the keeper's turns between those of its loop. */
#ifndef TICKETD_TESTS_CONTRACT_REMOTE_SIDE_H
#define TICKETD_TESTS_CONTRACT_REMOTE_SIDE_H

#include "fixture.h"

/* A sale is on disk before it is told; many may travel together. */
void remote_make(struct fixture *fixture);

/* With a ledger in memory, one connection, and one purchase at a time on it. */
void remote_lone_make(struct fixture *fixture);

bool remote_pump(struct fixture *fixture);
void remote_destroy(struct fixture *fixture);

#endif
